"""The tasks of a mix, each in a line: how it ended, and what it took. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.certainty import intervals
from harness.records.of_task import OfTask
from harness.records.record import TrialRecord
from harness.texts import milliseconds


def lines(trials: Sequence[TrialRecord]) -> list[str]:
    """One per task, of all trials of a cell together; [] if they are of no mix."""
    by_task: dict[str, list[OfTask]] = {}
    for record in trials:
        for one in record.answers.tasks:
            by_task.setdefault(one.task, []).append(one)
    return [_line(each) for each in by_task.values()]


def _line(each: Sequence[OfTask]) -> str:
    first = each[0]
    raised = sum(sum(one.errors.values()) for one in each)
    counts = [f"{sum(one.ok for one in each)} of {sum(one.requests for one in each)} ok"]
    others = (
        (raised, "raised"),
        (sum(one.wrong for one in each), "wrong"),
        (sum(one.unanswered for one in each), "unanswered"),
    )
    counts += [f"{count} {word}" for count, word in others if count]
    return f"{first.task} ({100 * first.share:.3g} %): {', '.join(counts)}{_times(each)}"


def _times(each: Sequence[OfTask]) -> str:
    names = list(dict.fromkeys(name for one in each for name in one.latency_s))
    told = [
        f"{name} {milliseconds(value)}"
        for name in names
        if all(name in one.latency_s for one in each) and (value := intervals.middle([one.latency_s[name] for one in each]))
    ]
    parts = [(word, [getattr(one, name) for one in each]) for word, name in (("waits", "waited_p50_s"), ("runs", "ran_p50_s"))]
    inside = [
        f"{word} {milliseconds(value)}"
        for word, values in parts
        if None not in values and all(values) and (value := intervals.middle(values))
    ]
    if not told:
        measured = sum(one.measured for one in each)
        return f"; {measured} measured, too few for its latency" if measured else ""
    of_which = f" ({', '.join(inside)})" if inside else ""
    return f"; {', '.join(told)}{of_which}"


def mean_s(trials: Sequence[TrialRecord]) -> float | None:
    """What a request of the mix computes for in the mean, by its shares; None if that is not known, or it is no mix."""
    found = []
    for record in trials:
        if not record.answers.tasks or any(one.ran_mean_s is None for one in record.answers.tasks):
            continue
        found.append(sum(one.share * (one.ran_mean_s or 0.0) for one in record.answers.tasks))
    return intervals.middle(found) if found else None
