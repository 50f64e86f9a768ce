"""Eyes that never stop what they look at, and know what is billiard's without having seen the worker begin.

Before Python 3.11 an interpreter does not keep the native ids of its threads, and `observe.stacks.glance` lets py-spy stop the
process for a moment to find them. Such a stop wakes each thread that waits, so that nobody can tell any more since when it
did. Here they are read from memory instead; a process of which that cannot be done is not looked into. Only a thread that
begins between two readings still makes `glance` stop a process of such a Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.live.versions import beside
from harness.machine.native_ids import native_ids
from harness.observe import eyes, stacks
from harness.observe.looks import ProcessLook
from harness.observe.roles import Role
from harness.observe.stacks import Glance

PROCESS, POOL = re.compile(r"/billiard/process\.py$"), re.compile(r"/billiard/pool\.py$")
NOTHING = Glance(foreign=frozenset(), gil_owner=None, functions={}, own=frozenset(), ids={})


class Eyes(eyes.Eyes):
    """Like those of a trial. `ids`: by process, Python's ids of threads to native ones, where Python does not keep these."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.ids: dict[int, Mapping[int, int]] = {}
        self._asked: dict[int, frozenset[int]] = {}  # the threads that a process had when it was asked
        self._billiard = ""  # its version
        self._of_pool: dict[int, bool] = {}  # children that start up, or run something else for good

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        """Billiard 3 gives each child a handler of SIGUSR2, which ends it; a trial sees that when its worker is ready."""
        looks = tuple(map(self._named, super().look(closely=closely)))
        self._of_pool = {one.pid: self._of_pool[one.pid] for one in looks if one.pid in self._of_pool}
        billiards = eyes.set_by_billiard(self.main, looks) if self._billiard.startswith("3.") else frozenset()
        return tuple(one if one.pid == self.main else replace(one, caught=one.caught - billiards) for one in looks)

    def _named(self, look: ProcessLook) -> ProcessLook:
        """Without its role, if it is a child that serves no pool: the beat of `celery worker -B`, or the application's own."""
        if look.role is not Role.STARTING:
            return look
        if look.pid not in self._of_pool:
            threads = stacks.dumped(look.pid, "--nonblocking") or []
            mains = [thread for thread in threads if thread.get("thread_name") == "MainThread"]
            serves = serves_pool([(one["name"], one["filename"]) for thread in mains for one in thread["frames"]])
            if serves is None:
                return look
            self._of_pool[look.pid] = serves
        return look if self._of_pool[look.pid] else replace(look, role=Role.UNKNOWN)

    def _stacks(self, look: ProcessLook) -> dict[str, Any]:
        """Nothing, if the threads cannot be told."""
        tids = frozenset(thread.tid for thread in look.threads)
        if self.ids.get(look.pid) != {} and not tids <= self._asked.get(look.pid, frozenset()):  # {}: Python keeps them
            threads = stacks.dumped(look.pid, "--nonblocking") or []
            if not threads or (found := told(look.pid, threads)) is None:
                return {}
            self.ids[look.pid], self._asked[look.pid] = found, tids
            files = (frame["filename"] for thread in threads for frame in thread["frames"])
            self._billiard = self._billiard or beside(look.pid, files).get("billiard", "")
        known = self._glances.setdefault(look.pid, eyes._Glances())
        before = known.last
        if self.ids[look.pid]:  # a glance takes over those of the one before it
            known.last = replace(before or NOTHING, ids=dict(self.ids[look.pid]))
        seen = super()._stacks(look)
        return {} if before is None and known.last is not None and not known.last.own | known.last.foreign else seen


def serves_pool(frames: Sequence[tuple[str, str]]) -> bool | None:
    """Whether a forked child runs the pool's own loop, by what billiard's `Process.run` calls in it (billiard/process.py); None
    before it has come so far. `frames`: names and files, innermost first.

    >>> rest = [("Process._bootstrap", "/v/billiard/process.py"), ("Popen._launch", "/v/billiard/popen_fork.py")]
    >>> serves_pool([("Worker.__call__", "/v/billiard/pool.py"), ("Process.run", "/v/billiard/process.py"), *rest])
    True
    >>> serves_pool([("_Process.run", "/v/celery/beat.py"), *rest]), serves_pool(rest)
    (False, None)
    """
    begins = max(
        (at for at, (name, file) in enumerate(frames) if name.endswith("_bootstrap") and PROCESS.search(file)), default=0
    )
    if not begins or not frames[begins - 1][0].endswith("run"):
        return None
    called = begins - 1 if not PROCESS.search(frames[begins - 1][1]) else begins - 2
    return bool(POOL.search(frames[called][1])) if called >= 0 else None


def told(pid: int, threads: Iterable[Mapping[str, Any]]) -> dict[int, int] | None:
    """The native ids of a process's Python threads, by Python's; {} if Python keeps them; None if nobody can tell."""
    unknown = [thread["thread_id"] for thread in threads if not thread.get("os_thread_id")]
    return (native_ids(pid, unknown) or None) if unknown else {}
