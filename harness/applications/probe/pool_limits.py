"""Which time limits of a task a pool does not keep, in words. Pure."""

from __future__ import annotations

from harness.experiment.matrix import Cell
from harness.experiment.mix import Mix
from harness.experiment.pools import POOLS
from harness.trial.application import Application, Limits

HARD_IN_GREENLETS = "gevent"  # as a timeout of its loop (celery/concurrency/gevent.py); eventlet, threads, solo keep none


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
