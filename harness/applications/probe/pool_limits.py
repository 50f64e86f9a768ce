"""Which time limits of a task a pool does not keep, and which limit of the broker's its requests do not; in words. Pure."""

from __future__ import annotations

from harness.applications.probe.served import VALKEY
from harness.experiment.matrix import Cell
from harness.experiment.mix import Mix
from harness.experiment.pools import POOLS
from harness.records.record import TrialRecord
from harness.trial.application import Application, Limits

HARD_IN_GREENLETS = "gevent"  # as a timeout of its loop (celery/concurrency/gevent.py); eventlet, threads, solo keep none


def notes(record: TrialRecord, application: Application, mix: Mix | None, broker: str) -> list[str]:
    """What a reader has to know of limits beside this trial's figures; `broker`: the kind that served."""
    again = delivered_again(record, application) if broker == VALKEY else []
    return [*not_kept_by(record.as_cell, application, mix), *again]


def delivered_again(record: TrialRecord, application: Application) -> list[str]:
    """What is unacknowledged for longer than the application's own visibility timeout: Redis is searched for that from time to
    time only (kombu's `restore_visible`, about every 100 s), so that a short trial need not show it."""
    options, limits = application.settings.get("broker_transport_options") or {}, application.limits
    window_s = options.get("visibility_timeout")
    if record.as_cell.is_baseline or not isinstance(window_s, int | float):
        return []
    held = [("is put off for", limits.put_off_s or 0.0)]
    held += [("took", record.pace.slowest_s or 0.0)] if limits.acks_late else []
    return [
        f"a request {how} {held_s:.3g} s, and is unacknowledged until then: after visibility_timeout, {window_s:g} s, it may "
        "be delivered again, and run twice; make that longer"
        for how, held_s in held
        if held_s >= window_s
    ]


def not_kept(cell: Cell, limits: Limits, whose: str = "the task's") -> list[str]:
    """The time limits of the task that this pool does not keep."""
    if cell.is_baseline or POOLS[cell.pool].executors == "processes":
        return []
    names = [("soft", limits.soft_s), ("hard", limits.hard_s if cell.pool != HARD_IN_GREENLETS else None)]
    return [f"{cell.pool} does not keep {whose} {name} time limit of {bound:g} s" for name, bound in names if bound]


def not_kept_by(cell: Cell, application: Application, mix: Mix | None) -> list[str]:
    """The time limits that this pool does not keep, of each task."""
    if mix is None:
        return not_kept(cell, application.limits)
    each = zip(mix.tasks, application.limits_of, strict=True)
    return [line for task, own in each for line in not_kept(cell, own, f"{task}'s")]
