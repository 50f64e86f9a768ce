"""One worker that is watched: its pulse, what was found of it, and when it is to be looked at again.

A look has two tiers of its own, see `live.quick`. It is due as soon as a process has stood still for some seconds and was not
looked at since, as soon as one moves that was found to wait or to be stuck, and now and then: at intervals that grow while
nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from harness.live.answer import Report
from harness.live.executor import State
from harness.live.eyes import Eyes
from harness.live.find import Worker
from harness.live.quick import First, Judged
from harness.live.watch.pulse import Counters, Pulse

STILL_S = 10.0  # so long a process stands still before anybody looks, and an executor waits before that is told
FIRST_AGAIN_S, QUIET_S, ODD_S = 15.0, 60.0, 600.0  # between looks: at first, and at most while all is well, or is not
Sign = frozenset[tuple[int, int]]  # (thread, its switches): as long as it is the same, none of these threads has run


@dataclass
class Watched:
    """`counters` of the main process and its children go in, at every round; `report` is the last one with a finding."""

    worker: Worker
    label: str = "new"  # what it is before its first state: or 'restarted'
    pulse: Pulse = field(default_factory=Pulse)
    state: State | None = None
    report: Report | None = None
    looked_s: float = float("-inf")
    again_s: float = 0.0  # after the last look
    looked_at: dict[int, int] = field(default_factory=dict)  # process -> its counter at the last look
    harmless: dict[int, Sign] = field(default_factory=dict)
    eyes: Eyes | None = None  # of the last look, while the processes are the same

    def beat(self, found: Counters, now_s: float) -> None:
        """Take a round's counters."""
        if self.pulse.known.keys() != found.keys():
            self.eyes = None  # what they know of processes that have ended is no use
        moved = self.pulse.beat(found, now_s)
        odd = {one.pid for one in self.report.executors} if self.report and self.state is not State.WORKS else set()
        if moved & odd:
            self.again_s = min(self.again_s, STILL_S)
        self.looked_at = {pid: count for pid, count in self.looked_at.items() if pid in found}

    def due(self, now_s: float) -> bool:
        """Whether it is to be looked at now."""
        if now_s - self.looked_s >= self.again_s:
            return True
        return bool(self._new(now_s)) and now_s - self.looked_s >= STILL_S

    def dismiss(self, now_s: float, idle: Callable[[int, Collection[int]], Collection[int]]) -> None:
        """Forget those that stand still because they wait for the main process, which turns."""
        main, new = self.worker.main, self._new(now_s)
        if new and main not in self.pulse.still(now_s, STILL_S):
            self.looked_at |= {pid: self.pulse.known[pid][0] for pid in idle(main, new)}

    def _new(self, now_s: float) -> frozenset[int]:
        """The processes that stand still, and were not looked at since they do."""
        still = self.pulse.still(now_s, STILL_S)
        return frozenset(pid for pid in still if self.looked_at.get(pid) != self.pulse.known[pid][0])

    def open_suspects(self, seen: First) -> frozenset[int]:
        """The suspects that were not found harmless, or have run since."""
        return frozenset(pid for pid in seen.suspects if self.harmless.get(pid) != sign(seen, pid))

    def put_off(self, now_s: float) -> None:
        """It is to be looked at later: nothing was found."""
        self.looked_s, self.again_s = now_s, FIRST_AGAIN_S

    def found(self, seen: First, judged: Judged, now_s: float) -> bool:
        """Take what a look has found; whether the state is another one now."""
        before, self.eyes, report = self.state, seen.eyes, judged.report
        known = {pid for pid in seen.suspects if self.harmless.get(pid) == sign(seen, pid)}
        self.harmless = {pid: sign(seen, pid) for pid in known | (judged.glanced - judged.busy)}
        self.report, self.state = report, _state(seen, report)
        # of what has stood still for less nothing can be said yet, if it is not proved: it is new once it has stood for long
        proved = judged.busy if self.state is State.STUCK else frozenset()
        done = (self.pulse.still(now_s, STILL_S) | proved) & self.pulse.known.keys()
        self.looked_at = {pid: self.pulse.known[pid][0] for pid in done}
        changed = before is not self.state
        longer_s = FIRST_AGAIN_S if changed else max(FIRST_AGAIN_S, 2 * self.again_s)
        most_s = QUIET_S if self.state is State.WORKS else ODD_S
        # what is proved stays so until it moves, which its counter tells
        self.looked_s, self.again_s = now_s, ODD_S if self.state is State.STUCK else min(most_s, longer_s)
        return changed


def sign(seen: First, pid: int) -> Sign:
    """Of the threads of a suspect that stood still."""
    last = next(one for one in seen.looks[-1][1] if one.pid == pid)
    return frozenset((one.tid, one.switches) for one in last.threads if one.tid in seen.still[pid])


def _state(seen: First, report: Report | None) -> State:
    """A wait is told once it has lasted: tasks that wait for a peer for some seconds are everyday life."""
    if report is None:
        return State.UNKNOWN if seen.worker.main in seen.hidden else State.WORKS
    if report.state is State.WAITING and (report.since_s or 0.0) < STILL_S:
        return State.WORKS
    return report.state
