"""The time limits of a task that its message does not name: those of its class, and those of the worker.

Celery takes a hard and a soft limit, each from the message, else from the task's class, else from the worker's own setting
(celery/worker/request.py, `execute_using_pool`, and billiard's `Pool.apply_async`). All three together are in the job that the
pool keeps (`live.jobs`). Where that cannot be read, the class is read in the child, where the task stands in its own stack; the
setting in the main process, whose stack begins with its `WorkController`. What could not be read is not taken for none.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from harness.live import at_rest, find, jobs
from harness.live.jobs import Jobs
from harness.live.jobs import Limits as Limits
from harness.machine import python_attributes
from harness.machine.python_objects import Objects
from harness.observe import stacks

NAMES = ("time_limit", "soft_time_limit")
OBJECT = re.compile(r"^<\S+ at 0x(?P<place>[0-9a-f]+)>$")  # as py-spy shows one
STARTS, WORKER = re.compile(r"\bstart$"), re.compile(r"celery/worker/worker\.py$")
UNKNOWN_S = math.inf  # of a limit that there may be: it may still strike, however long one waits
ALIVE_S = 4.0  # worker_proc_alive_timeout, if nobody has set it
TRIES, AGAIN_S = 3, 0.1


def of_task(pid: int, task: str) -> Limits | None:
    """By the class of a task; None if that cannot be read. `task`: as py-spy shows it."""
    told = OBJECT.match(task)
    found = python_attributes.of_class(pid, int(told["place"], 16), NAMES) if told else None
    return None if found is None else _limits(found)


def of_jobs(main: int) -> Jobs | None:
    """By what its pool keeps of each task that it has given out; None if that cannot be read, or it has no such pool."""
    for attempt in range(TRIES):
        time.sleep(AGAIN_S if attempt else 0.0)
        if place := worker_of(main):
            return jobs.of(main, place)
    return None


def of_worker(main: int) -> Limits | None:
    """By its command line, else by its settings; None if neither tells, for the settings could not be read."""
    words = find.words_of(main)
    given = tuple(_seconds(find.option(words, long, long)) for long in ("--time-limit", "--soft-time-limit"))
    for attempt in range(TRIES):  # what is at work may be met in the middle of it
        time.sleep(AGAIN_S if attempt else 0.0)
        place = worker_of(main)
        found = python_attributes.of_object(main, place, NAMES) if place else None
        if found is not None:
            return first(given, _limits(found))
    return first(given) if any(given) else None


def of_start(main: int) -> float:
    """How long a child that replaces another one may take to be up, before the pool ends it; the usual time, if that cannot be
    read. 0 if it waits for none so: those that it began with may take for ever (celery/concurrency/asynpool.py,
    `on_process_up`)."""
    worker = worker_of(main)
    found = at_rest.read(main, lambda objects: _alive_s(objects, worker)) if worker else None
    return ALIVE_S if found is None else found


def _alive_s(objects: Objects, worker: int) -> float:
    pool = objects.attribute(objects.attribute(worker, "pool"), "_pool")
    if not list(objects.members(objects.attribute(pool, "_waiting_to_start"))):
        return 0.0
    return objects.number(objects.attribute(pool, "_proc_alive_timeout"))


def worker_of(main: int) -> int:
    """The address of the `WorkController` of a main process; 0 if its stacks do not show it."""
    return worker_in(stacks.dumped(main, "--nonblocking", "--locals") or ())


def worker_in(threads: Iterable[Mapping[str, Any]]) -> int:
    """The address of the `WorkController` in the stacks of a main process; 0 if it is not there."""
    for thread in threads:
        for frame in thread["frames"]:
            if STARTS.search(frame["name"]) and WORKER.search(frame["filename"]):
                shown = [str(one.get("repr") or "") for one in frame.get("locals") or () if one["name"] == "self"]
                if told := OBJECT.match(next(iter(shown), "")):
                    return int(told["place"], 16)
    return 0


def first(*known: Iterable[float]) -> Limits:
    """Of each kind the first one that is set.

    >>> first((0.0, 5.0), (300.0, 200.0))
    (300.0, 5.0)
    """
    hard, soft = (next((one for one in each if one), 0.0) for each in zip(*known, strict=True))
    return hard, soft


def _limits(found: Mapping[str, float]) -> Limits:
    return found.get(NAMES[0], 0.0), found.get(NAMES[1], 0.0)


def _seconds(word: str) -> float:
    return float(word) if re.fullmatch(r"\d+(\.\d+)?", word) else 0.0
