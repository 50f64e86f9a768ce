"""Tasks that wait for the results of other tasks: for which, for how long at most, and whether nobody is left to run these.

What is waited for stands in the memory of the process that waits, behind the `self` of Celery's own frame (celery/result.py):
an `AsyncResult` has an id and, in a chain, a parent; a `ResultSet` has several. What a worker was given, and has not ended,
stands in the memory of its main process (`live.kept`). If each executor waits, with no time limit, for what the worker itself
was given, then no executor here will ever get to it (but what expires may be revoked); nor will another worker, unless the
broker hands it out anew. It is looked at twice: a result may be on its way. What else of its process may end a wait is judged
as beside any other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.judge.closed import alarms, closed, scene_of
from harness.live import at_rest, kept
from harness.live.attach import Seen
from harness.live.green_stacks import RESULT
from harness.live.limits import OBJECT
from harness.machine.python_memory import Unreadable
from harness.machine.python_objects import Objects
from harness.observe import stacks
from harness.observe.looks import window

Place = tuple[int, int]  # (process, thread)
NUMBER = re.compile(r"\d+(\.\d+)?")
AGAIN_S = 2.0  # a result that is stored reaches whoever waits for it within a second (celery/backends/asynchronous.py)
DEEPEST = 20  # parents of a result


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """`limit`: the wait's `timeout`, as shown, '' if it has none; `result`: where that is in memory, 0 if nobody knows."""

    limit: str = ""
    result: int = 0


def awaited(pid: int, tid: int) -> Awaited:
    """By the locals `timeout` and `self` of Celery's own frames; no other local is kept."""
    for thread in stacks.dumped(pid, "--nonblocking", "--locals") or ():
        if (thread.get("os_thread_id") or tid) == tid:
            found = of_frames(thread["frames"])
            if found is not None:
                return found
    return Awaited()


def of_frames(frames: Iterable[Mapping[str, Any]]) -> Awaited | None:
    """By frames, innermost first; None if none of them waits for a result."""
    calls = [frame for frame in frames if RESULT.search(f"{frame['name']} ({frame['filename']}")]
    if not calls:
        return None
    shown = [{one["name"]: str(one.get("repr") or "") for one in frame.get("locals") or ()} for frame in calls]
    limit = next((text for one in shown if NUMBER.fullmatch(text := one.get("timeout", ""))), "")
    place = OBJECT.match(shown[-1].get("self", ""))
    return Awaited(limit=limit, result=int(place["place"], 16) if place else 0)


def is_closed(seen: Seen, waits: Mapping[Place, Awaited], *, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Whether these are all executors of a worker, and none of them can go on."""
    if any(one.limit or not one.result for one in waits.values()) or any(stage.limit_s for stage in seen.last.stages):
        return False
    pids = {pid for pid, _ in waits}
    if any(alarms(one) for one in seen.last.processes if one.pid in pids):
        return False
    if any(others_doubt(seen, pid, {tid for at, tid in waits if at == pid}) for pid in pids):
        return False
    if not _all_here(seen, waits):
        return False
    sleep(AGAIN_S)
    return _all_here(seen, {(pid, tid): awaited(pid, tid) for pid, tid in waits}, before=waits)


def others_doubt(seen: Seen, pid: int, waiting: set[int]) -> str:
    """Why anything beside these threads may end their wait (a timer that raises in them, say); '' if nothing can."""
    scene = scene_of(window(seen.looks))
    process = scene.processes.get(pid)
    return closed(scene, process, 0, waiting).doubt if process else f"process {pid} was not seen all the time"


def _all_here(seen: Seen, waits: Mapping[Place, Awaited], before: Mapping[Place, Awaited] | None = None) -> bool:
    """Whether each of them waits (still) for what the worker was given."""
    if not waits or (before is not None and before != waits):
        return False
    keeps = kept.of(seen.worker.main)
    if keeps.lasting is None or keeps.executors != len(waits):
        return False
    if seen.pool == "prefork" and len(seen.children) != len(waits):
        return False
    return all(at_rest.read(pid, _asks(one.result, keeps.lasting)) for (pid, _), one in waits.items())


def _asks(result: int, given: Collection[str]) -> Callable[[Objects], bool]:
    return lambda objects: only_here(objects, result, given)


def only_here(objects: Objects, result: int, given: Collection[str], deep: int = 0) -> bool:
    """Whether a result can come from these tasks alone: from its own, or from one before it in a chain; of several results,
    each one that is still to come. Raises Unreadable."""
    if deep > DEEPEST:
        raise Unreadable("a result has a parent, and so on")
    several = objects.attribute(result, "results")
    if several and not objects.is_none(several):
        left = [one for one in objects.items(several) if not _has_come(objects, one)]
        return bool(left) and all(only_here(objects, one, given, deep + 1) for one in left)
    own, parent = objects.attribute(result, "id"), objects.attribute(result, "parent")
    if own and objects.text(own) in given:
        return True
    return bool(parent and not objects.is_none(parent)) and only_here(objects, parent, given, deep + 1)


def _has_come(objects: Objects, result: int) -> bool:
    """Whether a result is there, and was fetched."""
    cached = objects.attribute(result, "_cache")
    return bool(cached) and not objects.is_none(cached)
