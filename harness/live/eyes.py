"""Eyes that know what is billiard's and what the application's in a worker which nobody has seen begin."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.live import find, taken, versions
from harness.live.signal_handlers import SignalHandlers
from harness.live.tasks import Task
from harness.machine.freezer import Freezer
from harness.machine.procfs import Thread
from harness.observe import eyes, stacks
from harness.observe.looks import ProcessLook, any_runs
from harness.observe.roles import Role

PROCESS, POOL = re.compile(r"/billiard/process\.py$"), re.compile(r"/billiard/pool\.py$")


class Eyes(eyes.Eyes):
    """Like those of a trial."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._billiard: str | None = None  # its version, '' if it cannot be told; None while nobody has asked
        self._signals = SignalHandlers()
        self._freezer = Freezer()
        self._rested: dict[int, tuple[tuple[Thread, ...], dict[str, Any]]] = {}  # what a glance has shown, and of which threads
        self._of_pool: dict[int, bool] = {}  # children that start up, or run something else for good
        self.taken: Mapping[int, Task] = {}  # by child whose own stacks do not tell of the task that it runs
        self._asked: tuple[float, list[int]] = (-math.inf, [])  # when the main process was read for these, and for which

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        """Billiard 3 gives each child a handler of SIGUSR2, which ends it; a trial sees that when its worker is ready."""
        looks = tuple(replace(self._named(one), frozen=self._freezer.thaws(one.pid)) for one in super().look(closely=closely))
        looks = tuple(replace(one, caught=one.caught - self._signals.known(one.pid)) for one in looks)
        looks = self._with_taken(looks, closely)
        self._of_pool = {one.pid: self._of_pool[one.pid] for one in looks if one.pid in self._of_pool}
        billiards = eyes.set_by_billiard(self.main, looks)
        if billiards and not self._version().startswith("3."):
            return looks
        return tuple(one if one.pid == self.main else replace(one, caught=one.caught - billiards) for one in looks)

    def _with_taken(self, looks: tuple[ProcessLook, ...], closely: Collection[int]) -> tuple[ProcessLook, ...]:
        """Children whose stacks show nothing of Celery run what the main process says that they have taken."""
        silent = [one.pid for one in looks if one.pid != self.main and _is_silent(one) and one.pid in closely]
        if not silent:
            return looks
        if (now := time.monotonic()) - self._asked[0] >= eyes.GLANCE_EVERY_S or self._asked[1] != silent:
            self._asked = now, silent
            found = taken.of(self.main, silent)
            self.taken = self.taken if found is None else found
        return tuple(
            replace(one, role=Role.RUNNING, tracing=frozenset({one.pid})) if one.pid in self.taken else one for one in looks
        )

    def _stacks(self, look: ProcessLook) -> dict[str, Any]:
        """What a glance has shown holds while none of the threads that the kernel had shown before it runs: of forty children
        that wait, each is looked at once."""
        threads, known = look.threads, self._rested.get(look.pid)
        if known and known[0] == threads and not any_runs((look,)):
            return known[1]
        found = super()._stacks(look)
        self._rested.pop(look.pid, None)
        if found["python_tids"] is not None:
            self._rested[look.pid] = threads, found
        return found

    def _handlers(self, pid: int) -> frozenset[int]:
        return self._signals.own(pid)

    def _untold(self, pid: int, caught: frozenset[int]) -> frozenset[int]:
        return self._signals.untold(pid, caught)

    def _version(self) -> str:
        if self._billiard is None:
            self._billiard = versions.of(self.main, find.command(self.main), ()).get("billiard", "")
        return self._billiard

    def _named(self, look: ProcessLook) -> ProcessLook:
        """Without its role, if it is a child that serves no pool: the beat of `celery worker -B`, or the application's own."""
        if look.role is not Role.STARTING:
            return look
        if look.pid not in self._of_pool:
            serves = of_pool(look.pid)
            if serves is None:
                return look
            self._of_pool[look.pid] = serves
        return look if self._of_pool[look.pid] else replace(look, role=Role.UNKNOWN)


def _is_silent(look: ProcessLook) -> bool:
    """Whether its stacks were seen, and show nothing of Celery."""
    return look.role is Role.UNKNOWN and look.python_tids is not None


def of_pool(pid: int) -> bool | None:
    """Whether a child of a worker serves its pool, by its main stack; None if that does not tell, or not yet."""
    threads = stacks.dumped(pid, "--nonblocking") or []
    mains = [thread for thread in threads if thread.get("thread_name") == "MainThread"]
    return serves_pool([(one["name"], one["filename"]) for thread in mains for one in thread["frames"]])


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
