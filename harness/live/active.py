"""Which tasks a green pool runs, whose greenlets stand on no thread's stack: what the worker has begun and not ended.

Celery keeps that in `celery.worker.state.active_requests` (5.2 to 5.7), which is read out of the memory of the main process
while its thread waits. The way there begins with an object in the thread's stack, as gevent's or eventlet's hub is one at rest:
a function of its class leads to its module, that to `sys`, and `sys.modules` to Celery's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from harness.live import at_rest, green_stacks
from harness.live.limits import OBJECT
from harness.live.tasks import Task
from harness.machine.python_memory import Unreadable
from harness.machine.python_objects import Objects
from harness.observe import stacks

MOST_STACKS = 64  # greenlets, the oldest ones, whose stacks are read
STATE, ACTIVE = "celery.worker.state", "active_requests"


def running(pid: int) -> tuple[Task, ...] | None:
    """The tasks of a worker's main process, the oldest first; None if they cannot be read."""
    places = tuple(in_stacks(stacks.dumped(pid, "--nonblocking", "--locals") or ()))
    if not places:
        return None
    return at_rest.read(pid, lambda objects: read(objects, pid, places), same=lambda found: tuple(one.id for one in found))


def in_stacks(threads: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """The addresses of the objects whose methods run, as py-spy shows them."""
    for thread in threads:
        for frame in thread["frames"]:
            for one in frame.get("locals") or ():
                told = OBJECT.match(str(one.get("repr") or "")) if one["name"] == "self" else None
                if told:
                    yield int(told["place"], 16)


def read(
    objects: Objects, pid: int, places: Iterable[int], clocks: tuple[Callable[[], float], ...] = (time.monotonic, time.time)
) -> tuple[Task, ...]:
    """By any of these objects. Raises Unreadable."""
    found = requests(objects, pid, places, clocks)
    stands = [green_stacks.of(objects, request) for _, request in found[:MOST_STACKS]]
    return tuple(replace(task, stand=stand) for (task, _), stand in zip_longest(found, stands))


def requests(
    objects: Objects, pid: int, places: Iterable[int], clocks: tuple[Callable[[], float], ...] = (time.monotonic, time.time)
) -> list[tuple[Task, int]]:
    """The tasks, the oldest first, each with the address of its request. Raises Unreadable."""
    active = objects.module(modules(objects, places)[STATE])[ACTIVE]
    referents = [objects.referent(one) for one in objects.members(objects.attribute(active, "data"))]
    now_s, today_s = (clock() for clock in clocks)
    found = [(_task(objects, pid, one, now_s - today_s), one) for one in referents if one]
    return sorted(found, key=lambda one: one[0].since_s or 0.0)


def modules(objects: Objects, places: Iterable[int]) -> dict[str, int]:
    """`sys.modules`, with Celery's worker among them."""
    for place in places:
        try:
            found = next((one for one in _known_modules(objects, place) if STATE in one), None)
        except Unreadable:
            continue
        if found is not None:
            return found
    raise Unreadable("nothing in its stack leads to Celery's worker")


def _known_modules(objects: Objects, place: int) -> Iterator[dict[str, int]]:
    """By the functions of an object's class whose modules have imported `sys`."""
    for kind in objects.bases(objects.kind(place)):
        for value in objects.namespace(kind).values():
            names = objects.globals(value) if objects.kind(value).builtin == "function" else {}
            if "sys" in names and objects.kind(names["sys"]).builtin == "module":
                yield objects.table(objects.module(names["sys"])["modules"])


def _task(objects: Objects, pid: int, request: int, begin_s: float) -> Task:
    """Of a request (celery/worker/request.py). `begin_s`: of the other clock, by CLOCK_MONOTONIC."""
    uuid, name, since = (objects.attribute(request, each) for each in ("id", "name", "time_start"))
    known = since and not objects.is_none(since)
    return Task(
        pid=pid, tid=pid, id=objects.text(uuid), name=objects.text(name),
        since_s=begin_s + objects.number(since) if known else None,
    )  # fmt: skip
