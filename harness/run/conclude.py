"""From what a trial left to its record: the sections are made, the judge is asked, the files are written. Starts nothing.

`observed` says what the judge gets to see, `measured` makes the sections of pace, CPU and memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

from harness import workloads
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.judge.causes import Cause, cause_of
from harness.judge.outcome import Observations, classify
from harness.judge.unusable import unusable
from harness.measure import doubts, figures, timeline
from harness.records import answers, stamps
from harness.records.answers import Requests
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.sections import Answers, Asked, Backlog, Certainty, Client, Ended, Pace
from harness.run import measured, observed, unnoticed
from harness.run.bundles import Bundle
from harness.trial.left import Left


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What a record says of its trial before anything was run."""

    plan_key: str
    started: str
    versions: dict[str, str]


def record_of(left: Left, heading: Heading, requests: Requests | None, run_folder: Path, *, seconds: float) -> TrialRecord:
    """The record; the time line and the requests' stamps beside it. `requests`: checked; None if there are none."""
    requests_file, samples_file = keep_files(left, requests, run_folder)
    cpu = measured.cpu(left, requests, samples_file)
    seen = observed.observations(left, requests, cpu)
    outcome, reason = classify(seen)
    cause = cause_of(observed.facts(left, outcome))
    if cause is not None:
        keep_cause(left, outcome, cause, heading)
    pace = measured.pace(left, requests, seen.waiting)
    record = TrialRecord(
        asked=asked(left.cell, left.trial, heading),
        ended=ended(left, outcome, reason, cause, run_folder, seconds),
        answers=answered(seen, requests_file, observed.backlog(left)),
        pace=pace,
        cpu=cpu,
        memory=measured.memory(left, cpu.use),
        client=Client(sending=seen.sending),
        silent=unnoticed.silent(left, requests),
        certainty=certainty(left.cell, requests, pace, seen),
    )
    return record.changed(certainty={"doubts": [str(doubt) for doubt in doubts.of_trial(record)]})


def skipped(cell: Cell, trial: int, heading: Heading, reason: str, instead: str = "") -> TrialRecord:
    """The record of a cell that was not run."""
    told = Ended(outcome=Outcome.SKIPPED, reason=reason, instead=instead)
    return TrialRecord(asked=asked(cell, trial, heading), ended=told)


def asked(cell: Cell, trial: int, heading: Heading) -> Asked:
    return Asked(
        cell_id=cell.id,
        cell=cell.as_dict(),
        trial=trial,
        plan_key=heading.plan_key,
        started=heading.started,
        versions=heading.versions,
    )


def ended(left: Left, outcome: Outcome, reason: str, cause: Cause | None, run_folder: Path, seconds: float) -> Ended:
    end = left.ended
    verdict = end.verdict if end.by == "verdict" else end.partial
    after_s = None
    if verdict is not None and end.judged_s is not None and verdict.since_s is not None:
        after_s = end.judged_s - verdict.since_s
    return Ended(
        outcome=outcome,
        reason=reason,
        seconds=seconds,
        evidence=str(end.evidence.path.relative_to(run_folder)) if end.evidence else "",
        last_progress_s=_since_ready(left),
        verdict_after_s=after_s,
        cause=cause.name if cause else "",
        support=list(cause.support) if cause else [],
        executors=(verdict.executors or None) if verdict else None,
        executors_hung=(verdict.hung or None) if verdict else None,
        withdrawn=list(end.withdrawn),
        proof=verdict.how.value if verdict and verdict.how else "",
    )


def _since_ready(left: Left) -> float | None:
    signs = left.signs
    return None if signs.ready_at_s is None or signs.last_event_s is None else signs.last_event_s - signs.ready_at_s


def certainty(cell: Cell, requests: Requests | None, pace: Pace, seen: Observations) -> Certainty:
    """The figures; or why those that were measured cannot be used."""
    known = None
    if requests is not None:
        loop = figures.of_loop(requests, cell.traffic, executors_of(cell), seen.sending)
        known = figures.of_trial(answers.measured_of(requests), pace, traffic=cell.traffic, sending=seen.sending, loop=loop)
    why = unusable(seen) if known is not None else ""
    return Certainty(figures=None if why else known, unusable=why)


def executors_of(cell: Cell) -> int:
    """How many requests its pool runs at once at the most."""
    return 1 if cell.is_baseline or POOLS[cell.pool].executors == "main" else cell.concurrency


def answered(seen: Observations, requests_file: str, backlog: Sequence[Backlog] = ()) -> Answers:
    return Answers(
        requests=seen.requests,
        ok=seen.ok,
        wrong=seen.wrong,
        unanswered=seen.unanswered,
        errors=dict(seen.errors),
        max_error=seen.max_error,
        duplicates=seen.duplicates,
        backlog=list(backlog),
        died=seen.dead_children,
        requests_file=requests_file,
    )


def keep_files(left: Left, requests: Requests | None, run_folder: Path) -> tuple[str, str]:
    """Write the requests' stamps, if there are any, and the time line; (path, path) in the run's folder."""
    name = left.cell.id if left.trial == 1 else f"{left.cell.id}.{left.trial}"
    requests_file, samples_file = "", f"samples/{name}.parquet"
    if requests is not None and len(requests):
        requests_file = f"requests/{name}.parquet"
        answers.save(requests, run_folder / requests_file)
    timeline.save(left.machine.watched.samples, run_folder / samples_file)
    return requests_file, samples_file


def keep_cause(left: Left, outcome: Outcome, cause: Cause, heading: Heading) -> None:
    """The cause stands in the evidence folder, too, with the versions."""
    if left.ended.evidence is not None:
        told = {"outcome": outcome.value, "cause": cause.name, "support": cause.support, "versions": heading.versions}
        (left.ended.evidence.path.parent / "cause.json").write_text(json.dumps(told, indent=2) + "\n")


def compared(left: Left, bundle: Bundle) -> Requests | None:
    """The requests of one of our own workers, compared with the workload's reference."""
    rtol, atol = workloads.tolerance(bundle.dtype)
    try:
        found = answers.load(left.result, bundle.reference, batch=left.cell.batch, rtol=rtol, atol=atol)
    except (OSError, BadZipFile, KeyError, ValueError):
        return None  # killed before it could write, or while it did
    return found if left.cell.is_baseline else replace(found, columns=stamps.joined(found.columns, left.events))
