"""One trial of any source, from its slot to its record. What a trial does is in `trial`, what becomes of it in `conclude`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from harness.observe import diagnosis
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.store import now
from harness.run import conclude, plan, sparing
from harness.run.conclude import Heading
from harness.run.plan import Planned
from harness.run.source import Desk, Slot, Source
from harness.trial import supervisor
from harness.trial.assignment import Assignment
from harness.trial.trial import Trial

#: the packages whose versions stand in each record
NAMED = (
    "keras", "tensorflow", "tensorflow-cpu", "theano", "torch", "onnxruntime", "scikit-learn", "lightgbm", "xgboost",
    "xgboost-cpu", "jax", "openvino", "celery", "kombu", "gevent", "eventlet", "numpy", "django",
)  # fmt: skip
CELL_FILE = "cell"  # in the folder of a trial that is under way: its cell's id, for whoever looks from outside


def carried_out(source: Source, desk: Desk, item: Planned, records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Run it; its record, or None if the user interrupted it. `records`: what the run has of other trials."""
    record = once(source, desk, item, records)
    if record is not None and source.unsettled(record):
        record = once(source, desk, item, records)
    return record


def once(source: Source, desk: Desk, item: Planned, records: Sequence[TrialRecord]) -> TrialRecord | None:
    with source.assignment(slot(desk, item, records)) as work:
        heading, begun = heading_of(source, item), time.monotonic()
        left = Trial(work).run()
        if left.interrupted:
            return None
        requests = source.read(left)
        record = conclude.record_of(left, heading, requests, desk.folder.path, seconds=time.monotonic() - begun)
        record = with_log(record, work, desk.folder.path)
    return source.revised(record)


def with_log(record: TrialRecord, work: Assignment, run_folder: Path) -> TrialRecord:
    """With the worker's log as its evidence, if it has none and did not end well: of a task that raised, the traceback."""
    if record.ended.evidence or record.outcome in (Outcome.OK, Outcome.SKIPPED):
        return record
    kept = diagnosis.keep_log(work.evidence, work.log)
    return record.changed(ended={"evidence": str(kept.relative_to(run_folder))})


def slot(desk: Desk, item: Planned, records: Sequence[TrialRecord]) -> Slot:
    baseline, folder = item.cell.baseline().id, supervisor.fresh_folder((desk.scratch / f"trial-{desk.turn.number}").resolve())
    (folder / CELL_FILE).write_text(item.cell.id)
    return Slot(
        item=item, desk=desk, folder=folder,
        evidence=desk.folder.path / "evidence" / f"{item.cell.id}.{item.trial}",
        loss_shown=plan.loss_shown(item.cell, records),
        rival=sparing.rival(item.cell, records) if desk.settings.stop_early else None,
        **plan.pace([record for record in records if record.cell_id == baseline]),
    )  # fmt: skip


def skipped(source: Source, item: Planned, reason: str, instead: str = "") -> TrialRecord:
    """The record of a trial that is not run. `instead`: the cell whose record is read in its place."""
    return conclude.skipped(item.cell, item.trial, heading_of(source, item), reason, instead)


def heading_of(source: Source, item: Planned) -> Heading:
    installed = source.installed(item)
    return Heading(plan_key=item.key, started=now(), versions={name: installed[name] for name in NAMED if name in installed})
