"""Which tasks the children of a prefork pool have taken, by the account of its main process.

A child's stacks tell that, as long as the task's own greenlet stands on its thread. Code that uses gevent, eventlet or
Playwright's synchronous API within a task leaves another one there while it waits (a hub, a dispatcher), with no frame of
Celery's below. Then the main process alone knows: each of its active requests has the number of the child that has taken it
(celery/worker/request.py, `on_accepted`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness.live import active, at_rest
from harness.live.tasks import Task
from harness.machine import procfs
from harness.machine.python_objects import Objects
from harness.observe import stacks


def of(main: int, children: Iterable[int]) -> Mapping[int, Task] | None:
    """By child, of these children of a worker's main process, those that have taken one; None if it cannot be read."""
    places = tuple(active.in_stacks(stacks.dumped(main, "--nonblocking", "--locals") or ()))
    found = at_rest.read(main, lambda objects: read(objects, main, places), same=frozenset) if places else None
    if found is None:
        return None
    own = {pid: (procfs.own_numbers(pid) or (pid,))[-1] for pid in children}
    return {pid: replace(found[number], pid=pid, tid=pid, apart=True) for pid, number in own.items() if number in found}


def read(objects: Objects, main: int, places: Iterable[int]) -> dict[int, Task]:
    """By the number that each child has for itself. Raises Unreadable."""
    taken = {}
    for task, request in active.requests(objects, main, places):
        pid = objects.attribute(request, "worker_pid")
        if pid and not objects.is_none(pid):
            taken[int(objects.number(pid))] = task
    return taken
