"""When the measured phase of closed traffic may end before its time, because what it is for is decided.

Only where the plan asks for it (`Plan.early`). A request that raised decides how the cell ends: more of them add nothing that a
reader would use. A cell that is clearly slower than its rival (`certainty.slower`) is not the one to choose. A null control is
there to hold others against: its pace need not be known any better than within `slower.WITHIN`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.certainty import slower
from harness.client.log import Log, executor
from harness.client.plan import Plan
from harness.client.schedule import NS_PER_S


class Early:
    """Is told what has ended, and says in words why the phase may end; '' to go on."""

    def __init__(self, plan: Plan, log: Log, begin_s: float) -> None:
        self.plan, self.log, self._begin_s = plan, log, begin_s
        self._race = slower.Race(plan.rival_per_s, begin_s)
        self._raised = 0

    def add(self, numbers: Sequence[int]) -> None:
        if not self.plan.early:
            return
        ended = [(number, raw) for number in numbers if (raw := self.log.raw[number]) is not None]
        self._raised += sum(executor(raw) is None for _, raw in ended)
        if self.plan.rival_per_s or self.plan.control:
            self._race.add([self.log.received[number] / NS_PER_S for number, _ in ended])

    def why(self, now_s: float) -> str:
        since = self._since()
        return f"after {now_s - self._begin_s:.1f} of {self.plan.measure_s:g} s, since {since}" if since else ""

    def _since(self) -> str:
        if self._raised:
            return "requests raise"
        if self._race.lost:
            return f"it is clearly slower than {self.plan.rival} ({slower.CONFIDENCE:.0%} confidence)"
        if self.plan.control and self._race.known:
            return f"its pace is known within {slower.WITHIN:.0%} ({slower.CONFIDENCE:.0%} confidence)"
        return ""
