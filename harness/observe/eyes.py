"""Look at the processes of a worker, again and again: what the kernel tells of all, and closely at those that matter.

Of a trial's worker or of anybody's: what is looked at cannot tell. Nothing is asked of a process, but for the greenlets of a
trial's own worker (`observe.greenlets`), which nobody can see from outside.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.machine import procfs, python_layouts
from harness.machine.procfs import ProcessStat
from harness.observe import greenlets, stacks
from harness.observe.diagnosis import lost_threads
from harness.observe.looks import ProcessLook
from harness.observe.roles import Role
from harness.observe.stacks import Glance
from harness.observe.wakers import Wakers
from harness.worker import contract, own_handlers

GLANCE_EVERY_S = 0.9  # at a process that holds an overdue request
HUB_WAITS = ("epoll", "poll", "select")  # of a green library's event loop
BILLIARDS = frozenset({signal.SIGUSR2})
LATE = frozenset({signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, 32, 33})  # libraries and we take these when they need them


class Eyes:
    """`main`: the worker's own process; `tree`: all its processes now; `pool`: its executors among them; `events`: where a
    trial's worker tells of its greenlets, None if nobody may be asked."""

    def __init__(
        self, *, main: int, tree: Callable[[], list[ProcessStat]], pool: Callable[[], Collection[int]], events: Path | None
    ) -> None:
        self.main, self.tree, self.pool, self.events = main, tree, pool, events
        self.billiards: frozenset[int] = frozenset()  # signals that billiard has given every child a handler for
        self.at_ready: dict[int, frozenset[int]] = {}  # the signals that each process handled when the worker was ready
        self.begun: frozenset[int] = frozenset()  # the children that had begun by then
        self._glances: dict[int, _Glances] = {}
        self._data: dict[int, tuple[tuple[int, int], ...]] = {}  # of a Python: where its own data lie
        self._wakers: dict[int, Wakers] = {}
        self._python: dict[int, tuple[frozenset[int], frozenset[int]]] = {}  # of a parent: its threads, those that run Python

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        """All processes of the worker and their threads; of those in `closely` the Python stacks (and greenlets), too."""
        stats = self.tree()
        parents = {stat.pid: stat.parent for stat in stats}
        threads = {stat.pid: tuple(procfs.threads(stat.pid)) for stat in stats}
        looks = [
            ProcessLook(
                pid=stat.pid,
                cpu_s=stat.own_cpu_s + stat.reaped_cpu_s,
                children=tuple(pid for pid, parent in parents.items() if parent == stat.pid),
                threads=threads[stat.pid],
                caught=(caught := procfs.caught_signals(stat.pid) - (self.billiards if stat.pid != self.main else frozenset())),
                new_signals=(caught - self.known(stat.pid, caught) - LATE) | self._handlers(stat.pid),
                untold_signals=self._untold(stat.pid, caught),
                timer_signals=procfs.timer_signals(stat.pid),
                hooks=self._hooks() if stat.pid == self.main else (),
                lost_threads=stat.forked and bool(lost_threads(threads.get(stat.parent, ()), threads[stat.pid])),
            )
            for stat in stats
        ]
        return self._closely(looks, closely, parents)

    def settled(self, processes: Sequence[ProcessLook]) -> None:
        """Remember how they were when the worker was ready and idle."""
        self.billiards = set_by_billiard(self.main, processes)
        self.at_ready = {look.pid: look.caught for look in processes}
        self.begun = frozenset(self.pool())

    def known(self, pid: int, caught: frozenset[int]) -> frozenset[int]:
        """The signals that a process handled when the worker was ready; of a child that had not begun then, those of now: a
        spawned one may have been there, and import still."""
        late = pid in self.pool() and pid not in self.begun
        return caught if late else self.at_ready.get(pid, caught)

    def _handlers(self, pid: int) -> frozenset[int]:
        """The signals for which a process has told of handlers of the application's, see `harness.worker.own_handlers`."""
        try:
            said = (self.events / f"{pid}{own_handlers.SUFFIX}").read_text().split() if self.events else ()
        except OSError:
            return frozenset()
        return frozenset(int(number) for number in said)

    def _untold(self, pid: int, caught: frozenset[int]) -> frozenset[int]:
        """The signals of which nobody can say whose their handlers are; a trial's worker tells of the application's."""
        return frozenset()

    def _hooks(self) -> tuple[str, ...]:
        """What the worker has told of its own loop, see `harness.worker.hooks`."""
        try:
            return tuple(json.loads((self.events / contract.HOOKS).read_text())) if self.events else ()
        except (OSError, ValueError):
            return ()

    def _closely(
        self, looks: Sequence[ProcessLook], suspects: frozenset[int], parents: Mapping[int, int]
    ) -> tuple[ProcessLook, ...]:
        """The looks; more of these processes, and of all that could end a wait in them. Of a program that a task has started
        the kernel alone is asked."""
        found, left = {look.pid: look for look in looks}, set(suspects)
        pool, done = {*self.pool(), self.main, *suspects}, set[int]()
        while left := (left & set(found)) - done:
            look = found[pid := min(left)]
            done.add(pid)
            seen = self._stacks(look) if pid in pool else {}
            if look.lost_threads and parents[pid] in found:
                seen["lost_native"] = self._lost_native(found[parents[pid]], look)
            threads = self._wakers.setdefault(pid, Wakers()).told(look)
            found[pid] = look = replace(look, threads=threads, **seen)
            left |= {*look.children, *(waker for thread in look.threads for waker in thread.wakers)}
        return tuple(found.values())

    def _lost_native(self, parent: ProcessLook, child: ProcessLook) -> bool:
        """Whether it lacks native threads of its parent, as an engine's pool has: of Python's own, nobody waits for one. False
        if the parent's stacks cannot be read."""
        tids = frozenset(thread.tid for thread in parent.threads)
        if parent.pid not in self._python or self._python[parent.pid][0] != tids:
            seen = stacks.glance(parent.pid, ours=self.events is not None)
            if seen is None:
                return False
            self._python[parent.pid] = (tids, frozenset(seen.functions))
        python = self._python[parent.pid][1]
        lost = lost_threads(parent.threads, child.threads)
        return bool(lost - Counter(thread.name for thread in parent.threads[1:] if thread.tid in python))

    def _stacks(self, look: ProcessLook) -> dict[str, Any]:
        """What glances into a process's stacks say, as fields of ProcessLook; repeated now and then."""
        pid, known = look.pid, self._glances.setdefault(look.pid, _Glances())
        now, tids = time.monotonic(), frozenset(thread.tid for thread in look.threads)
        in_hub = any(thread.tid == pid and thread.waits_in in HUB_WAITS for thread in look.threads)
        if now - known.at_s >= GLANCE_EVERY_S or not tids <= known.tids:
            ids, ours = known.last.ids if known.last else None, self.events is not None
            known.take(stacks.glance(pid, ids, ours=ours, is_main=pid == self.main), tids, now)
            # where a C call blocks it, the signal would only disturb what is looked at
            if in_hub and self.events and known.turns.due(now, greenlets.answer_id(self.events, pid)):
                greenlets.ask(pid)
        last = known.last
        return {
            "python_tids": last.foreign if last else None,
            "own_tids": last.own if last else frozenset(),
            "gil_owner": last.gil_owner if last else None,
            "python_data": self._data_of(pid) if last and last.gil_owner is not None else (),
            "functions": dict(known.functions),
            "role": last.role if last else Role.UNKNOWN,
            "tracing": last.tracing if last else frozenset(),
            "greenlets": greenlets.answer(self.events, pid) if in_hub and self.events else None,
        }

    def _data_of(self, pid: int) -> tuple[tuple[int, int], ...]:
        if pid not in self._data:
            self._data[pid] = python_layouts.data(pid)
        return self._data[pid]


def set_by_billiard(main: int, processes: Sequence[ProcessLook]) -> frozenset[int]:
    """SIGUSR2, if all children of a worker that is ready handle it: billiard 3.6 gives each a handler that ends the process
    (billiard/common.py, TERMSIGS_DEFAULT). What the main process handles is the application's.
    """
    children = [look.caught for look in processes if look.pid != main]
    return BILLIARDS & frozenset.intersection(*children) if children else frozenset()


@dataclass
class _Glances:
    """The glances at one process: the last, what threads there were then, and how often each function was seen in a row."""

    at_s: float = 0.0
    tids: frozenset[int] = frozenset()
    last: Glance | None = None
    turns: greenlets.Turns = field(default_factory=greenlets.Turns)
    functions: dict[int, tuple[str, int]] = field(default_factory=dict)

    def take(self, glance: Glance | None, tids: frozenset[int], now: float) -> None:
        self.at_s, self.tids, self.last = now, tids, glance
        if glance is None:  # a glance that failed says nothing against those before it
            return
        before = self.functions
        self.functions = {}
        for tid, function in glance.functions.items():
            again = before.get(tid, ("", 0))
            self.functions[tid] = (function, again[1] + 1 if again[0] == function else 1)
