"""The time limits with which a prefork pool enforces its tasks: of each job, read out of the main process's memory.

Whoever has named a limit (the message, the task's class or one of its bases, the worker), it ends in the job that billiard
keeps for the task until its answer is there (billiard/pool.py: `Pool._cache`, `ApplyResult`), with the pool's own limits in it.
So a limit that a job does not have is none. Celery 5.2 to 5.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.live import at_rest
from harness.machine import procfs
from harness.machine.python_memory import Unreadable
from harness.machine.python_objects import Objects

Limits = tuple[float, float]  # hard and soft, in seconds; 0: none


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """Limits by the id of the task, and by the process that has taken it, by that process's own number; None for a job whose
    limits are no numbers that can be read. `pids` are of those alone that were taken, and have not ended."""

    ids: Mapping[str, Limits | None] = field(default_factory=dict)
    pids: Mapping[int, Limits | None] = field(default_factory=dict)

    def of(self, pid: int, task: str) -> Limits | None:
        """Of this task, else of what this process has taken; None if that is not known, or there is no such job."""
        return self.ids[task] if task in self.ids else self.pids.get(_own_number(pid))


def _own_number(pid: int) -> int:
    """By which its own container knows it."""
    return (procfs.own_numbers(pid) or (pid,))[-1]


def of(main: int, worker: int) -> Jobs | None:
    """Of the worker with this main process, whose `WorkController` is at this address, 0 if that is not known; None if they
    cannot be read: it has no such pool, too."""
    return at_rest.read(main, lambda objects: read(objects, worker)) if worker else None


def read(objects: Objects, worker: int) -> Jobs:
    """Raises Unreadable."""
    pool = objects.attribute(objects.attribute(worker, "pool"), "_pool")
    ids, pids = dict[str, Limits | None](), dict[int, Limits | None]()
    for _, job in objects.entries(objects.attribute(pool, "_cache")):
        known, found = objects.attribute(job, "correlation_id"), _limits(objects, job)
        if known and not objects.is_none(known):
            ids[objects.text(known)] = found
        for taken in _taken(objects, job):
            pids[taken] = found
    return Jobs(ids=ids, pids=pids)


def _taken(objects: Objects, job: int) -> list[int]:
    """The processes that have taken it: one, or none yet."""
    pid = objects.attribute(job, "_worker_pid")
    return [int(objects.number(pid))] if pid and not objects.is_none(pid) else []


def _limits(objects: Objects, job: int) -> Limits | None:
    try:
        hard, soft = (_seconds(objects, objects.attribute(job, name)) for name in ("_timeout", "_soft_timeout"))
    except Unreadable:
        return None
    return hard, soft


def _seconds(objects: Objects, place: int) -> float:
    if not place:
        raise Unreadable("a job has no such attribute")
    return 0.0 if objects.is_none(place) else objects.number(place)
