"""What each task of a mix did in a trial, and what the tasks do to each other. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.applications.probe.pace import LEAST
from harness.certainty import intervals
from harness.experiment.mix import Mix
from harness.measure.figures import PERCENTILES
from harness.records.answers import NS, Requests
from harness.records.of_task import OfTask
from harness.records.outcomes import ANSWERED, Outcome
from harness.records.record import TrialRecord
from harness.texts import milliseconds, visible

STARVED_S, STARVED_TIMES = 0.5, 5.0  # a usual wait that is so long, and so many times what the request itself takes
TIMES_LONGER = 5.0  # than it, is the task that it waits for
MOST_OF_IT = 0.5  # of the executors' time, which that task has


def of_tasks(requests: Requests, mix: Mix) -> list[OfTask]:
    """The requests of each, in the order of the mix."""
    task_of_row = np.array(mix.of_rows)
    place = task_of_row[requests.columns["row"]] if len(requests) else np.empty(0, dtype=np.int64)
    return [_of_task(requests, place == task, name, mix.shares[task]) for task, name in enumerate(mix.tasks)]


def _of_task(requests: Requests, own: np.typing.NDArray[np.bool_], name: str, share: float) -> OfTask:
    columns, measured = requests.columns, requests.measured() & own
    latency_s, waited_s, ran_s = (
        (columns[end] - columns[begin])[measured & (columns[end] >= 0) & (columns[begin] >= 0)] * NS
        for begin, end in (("intended", "received"), ("published", "begin"), ("predict_begin", "predict_end"))
    )
    told = {kind: intervals.percentile(latency_s, fraction) for kind, fraction in PERCENTILES.items()}
    return OfTask(
        task=visible(name), share=share, requests=int(own.sum()), ok=int((own & requests.right).sum()),
        wrong=int((own & requests.wrong).sum()), unanswered=int((own & ~requests.answered & ~requests.raised).sum()),
        errors=dict(Counter(visible(str(text)) for text in columns["error"][own & requests.raised])),
        measured=int(measured.sum()), latency_s={kind: value for kind, value in told.items() if value is not None},
        waited_p50_s=intervals.percentile(waited_s, 0.5), ran_p50_s=intervals.percentile(ran_s, 0.5),
        ran_mean_s=float(ran_s.mean()) if len(ran_s) else None,
    )  # fmt: skip


def kept(record: TrialRecord) -> list[OfTask]:
    """What stands in the record: without times, if the figures of the whole cannot be used either."""
    tasks = record.answers.tasks
    if not record.certainty.unusable:
        return tasks
    return [replace(one, measured=0, latency_s={}, waited_p50_s=None, ran_p50_s=None, ran_mean_s=None) for one in tasks]


def doubts(record: TrialRecord) -> list[str]:
    """That the pace of the whole hangs on a few requests of one task: a window holds more or fewer of it than its share."""
    found = record.certainty.figures is not None and not record.as_cell.is_baseline
    few = [one for one in record.answers.tasks if one.measured < LEAST and not one.errors] if found else []
    return [
        f"few of a task: {one.task} was measured {one.measured} times, and the pace of the whole hangs on it, "
        f"raise --requests to {math.ceil(LEAST / one.share)}"
        for one in few
    ]


def said(record: TrialRecord) -> list[str]:
    """How each task ended, if not all ended alike; and which one waits for another; a sentence each."""
    if record.as_cell.is_baseline:
        return []
    tasks = record.answers.tasks
    return [*_ends(record, tasks), *_behind(tasks)]


def _ends(record: TrialRecord, tasks: Sequence[OfTask]) -> list[str]:
    if record.outcome in (*ANSWERED, Outcome.SKIPPED):
        return []
    return ["by task: " + ", ".join(f"{one.task} {counts(one)}" for one in tasks)]


def counts(one: OfTask) -> str:
    """'54 of 60 ok, 6 raised'."""
    others = ((sum(one.errors.values()), "raised"), (one.wrong, "wrong"), (one.unanswered, "unanswered"))
    return ", ".join([f"{one.ok} of {one.requests} ok", *(f"{count} {word}" for count, word in others if count)])


def _behind(tasks: Sequence[OfTask]) -> list[str]:
    """Which short task queues behind which long one."""
    worked_s = {one.task: one.measured * (one.ran_mean_s or 0.0) for one in tasks}
    whole_s = sum(worked_s.values())
    longest = max(tasks, key=lambda one: worked_s[one.task])
    usual_s = longest.ran_mean_s or 0.0
    if not whole_s or worked_s[longest.task] < MOST_OF_IT * whole_s:
        return []
    has = f"{longest.task} has {100 * worked_s[longest.task] / whole_s:.0f} % of the executors' time"
    return [
        f"{one.task} queues behind {longest.task}: it usually waits {milliseconds(one.waited_p50_s)} and runs for "
        f"{milliseconds(one.ran_p50_s)}, and {has}; a queue and a worker of its own end that"
        for one in tasks
        if one is not longest and one.waited_p50_s is not None and one.ran_p50_s is not None
        and one.waited_p50_s >= max(STARVED_S, STARVED_TIMES * one.ran_p50_s) and usual_s >= TIMES_LONGER * one.ran_p50_s
    ]  # fmt: skip
