"""The rounds of `harness watch`: which workers there are, whether they run, and a look at what stands still.

A round costs a counter for each process. Glances at stacks have a budget of CPU time (`Budget`), so that a worker which gives
much to look at is looked at more seldom.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.live import find, quick, screen
from harness.live.executor import State
from harness.live.eyes import Eyes
from harness.live.find import Worker
from harness.live.quick import First, Judged
from harness.live.watch.event import Event, Kind
from harness.live.watch.names import name_of, same
from harness.live.watch.pulse import Counters, counters
from harness.live.watch.worker import Watched
from harness.machine import containers, procfs

SHARE, BURST_S = 0.0008, 1.0  # of a core, and CPU seconds that may be taken beforehand
LATE_S = 2.0  # beyond the round's time: less is a busy machine's everyday life
YOUNG_ROUNDS = 12  # so many rounds a new process is asked anew whether it is a worker: a shell may become one
ALL_EVERY = 24  # rounds, and so is every other
AT_ONCE = 4  # workers that are looked at in one round: each takes more than a second
MOST_GONE = 64  # that may still come back


@dataclass
class Budget:
    """CPU seconds for glances: `BURST_S` at first, and `SHARE` of the time that goes by."""

    clock: Callable[[], float]
    spent_s: float = 0.0
    begin_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.begin_s = self.clock()

    def allows(self) -> bool:
        return self.spent_s < BURST_S + SHARE * (self.clock() - self.begin_s)


def own_cpu_s() -> float:
    """CPU seconds of this process and of all its children that have ended."""
    return sum(os.times()[:4])


@dataclass
class Means:
    """What a watch sees with; in a test, plain values. `clock` goes on while the machine is suspended."""

    pids: Callable[[], Collection[int]] = lambda: procfs.numbers("/proc")
    main_of: Callable[[int], int] = lambda pid: find.main_of(pid) if find.is_worker(find.command(pid)) else 0
    described: Callable[[int], Worker] = find.described
    is_here: Callable[[int], bool] = containers.is_here
    counters: Callable[[int], Counters] = counters
    idle: Callable[[int, Collection[int]], Collection[int]] = quick.waiting_for
    first: Callable[[Worker, Eyes | None], First | None] = quick.first
    worst: Callable[..., Judged | None] = quick.worst
    clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    wall: Callable[[], float] = time.time
    cpu_s: Callable[[], float] = own_cpu_s


@dataclass
class Watch:
    """`named`: only these workers, and who follows them; all of this container if there are none."""

    every_s: float
    means: Means
    named: list[Worker] = field(default_factory=list)
    workers: dict[int, Watched] = field(default_factory=dict)
    gone: list[Worker] = field(default_factory=list)
    rounds: int = 0
    looks: int = 0
    restarts: dict[str, int] = field(default_factory=dict)
    late_s: float = 0.0  # in all
    _asked: dict[int, int] = field(default_factory=dict)  # process -> how often it was asked whether it is a worker
    _strangers: set[int] = field(default_factory=set)  # workers that are not to be watched
    _due_s: float | None = None
    _budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        self._budget = Budget(self.means.clock)

    def round(self) -> Iterator[Event]:
        """One round, and what it has to tell."""
        now_s = self.means.clock()
        yield from self._lateness(now_s)
        found = {main: self.means.counters(main) for main in self.workers}
        yield from self._ended([main for main, one in found.items() if not one])
        yield from self._appeared()
        for main, watched in self.workers.items():
            watched.beat(found.get(main) or self.means.counters(main), now_s)
        for watched in self.workers.values():
            watched.dismiss(now_s, self.means.idle)
        due = sorted((one for one in self.workers.values() if one.due(now_s)), key=lambda one: one.looked_s)
        for watched in due[:AT_ONCE]:
            yield from self._look(watched)
        self.rounds += 1
        # a look takes its time, and is no delay of this program's own
        self._due_s = self.means.clock() + self.every_s

    def _lateness(self, now_s: float) -> Iterator[Event]:
        late_s = now_s - self._due_s if self._due_s is not None else 0.0
        if late_s > LATE_S:
            self.late_s += late_s
            reason = f"it was late by {late_s:.0f} s: the machine was busy, or slept; what came and went meanwhile was not seen"
            yield Event(at=self.means.wall(), kind=Kind.LATE, reason=reason, since_s=late_s)

    def _ended(self, mains: Iterable[int]) -> Iterator[Event]:
        for main in mains:
            watched = self.workers.pop(main)
            self.gone.append(watched.worker)
            self.gone = self.gone[-MOST_GONE:]
            yield self._event(watched, Kind.GONE, str(watched.state or watched.label), "gone", "its main process has ended")

    def _appeared(self) -> Iterator[Event]:
        for main in sorted(self._mains() - set(self.workers)):
            worker = self.means.described(main)
            strange = main in self._strangers  # it was there before, and so is nobody's successor
            before = next((one for one in self.gone if same(one, worker)), None) if not strange else None
            wanted = before is not None or main in {one.main for one in self.named} if self.named else self.means.is_here(main)
            if not wanted:
                self._strangers.add(main)
                continue
            self.workers[main] = watched = Watched(worker=worker)
            if before is not None:
                self.gone.remove(before)
                watched.label, name = "restarted", name_of(worker)
                self.restarts[name] = self.restarts.get(name, 0) + 1
                yield self._event(watched, Kind.RESTARTED, "gone", "restarted", f"it was process {before.main}")

    def _mains(self) -> set[int]:
        """The workers among the processes that are new, and now and then among all."""
        self._asked = {pid: self._asked.get(pid, 0) for pid in self.means.pids()}
        self._strangers &= self._asked.keys()
        whole = self.rounds % ALL_EVERY == 0
        chosen = [pid for pid, times in self._asked.items() if whole or times < YOUNG_ROUNDS]
        for pid in chosen:
            self._asked[pid] += 1
        return {main for pid in chosen if (main := self.means.main_of(pid))}

    def _look(self, watched: Watched) -> Iterator[Event]:
        before_s = self.means.cpu_s()
        before, seen = watched.state, self.means.first(watched.worker, watched.eyes)
        if seen is None:
            return  # the next round says that it is gone
        suspects = watched.open_suspects(seen)
        if suspects and not self._budget.allows():
            watched.put_off(self.means.clock())
            return
        judged = self.means.worst(seen, suspects, told=before is not State.WAITING) if suspects else Judged()
        if judged is None:
            return  # it ended meanwhile
        if watched.found(seen, judged, self.means.clock()):
            yield self._changed(watched, str(before or watched.label))
        self.looks += 1
        self._budget.spent_s += self.means.cpu_s() - before_s

    def _changed(self, watched: Watched, before: str) -> Event:
        report, state = watched.report, watched.state
        kind = Kind.NEW if before == Kind.NEW else Kind.STATE
        if report is None or state is State.WORKS:
            odd = state is State.UNKNOWN
            reason = "its system calls may not be read; see 'harness doctor'" if odd else "nothing in it is stuck for good"
            return self._event(watched, kind, before, str(state), reason)
        event = self._event(watched, kind, before, str(state), report.reason)
        busy = {one.pid for one in report.executors}
        ago = self.means.wall() - self.means.clock()
        still = {pid: ago + since for pid in busy if (since := watched.pulse.since_s(pid)) is not None}
        return replace(event, since_s=report.since_s, worker=screen.of_worker(report), still_since=still)

    def _event(self, watched: Watched, kind: Kind, before: str, after: str, reason: str, **more: Any) -> Event:
        known: dict[str, Any] = {"pid": watched.worker.main, "name": name_of(watched.worker), "before": before, "after": after}
        return Event(at=self.means.wall(), kind=kind, reason=reason, **known, **more)
