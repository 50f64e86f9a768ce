"""What a budget of time buys: how many requests a pool gets, so that the most is learned first. Pure, but for one clock.

If all pools fit with the same number of requests, GOOD or more, they get it. Else the pools that come first get GOOD, as long
as each later one can still be seen to end; if not even that fits, the later ones are not measured, and the answer says so.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.display import duration
from harness.experiment.matrix import Cell
from harness.machine import since

GOOD = 4  # requests that tell a pace with an interval
SERIAL_SHARE = 0.5  # of the budget, that the serial calls may take
END_S = 6.0  # for the end of the last worker, and for the tables


@dataclass(kw_only=True)
class Budget:
    """Seconds of wall time since this program was started; None for as long as it takes."""

    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    began_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.began_s = (since.started_s(os.getpid()) if self.clock is time.monotonic else None) or self.clock()

    @property
    def left_s(self) -> float:
        return math.inf if self.seconds is None else self.seconds - END_S - (self.clock() - self.began_s)

    @property
    def serial_s(self) -> float:
        return math.inf if self.seconds is None else SERIAL_SHARE * self.seconds

    def too_dear(self, needed_s: float) -> str:
        """Why a trial is not run that takes so long; what `plan.NOT_BOUGHT` names."""
        left = duration(max(0.0, self.left_s))
        return f"of {duration(self.seconds or 0.0)}: it takes about {duration(needed_s)}, and {left} are left"


@dataclass(frozen=True, kw_only=True)
class Prices:
    """`cost`: seconds of a trial with so many requests; `wanted` and `least`: how many it is to have, and must have."""

    cost: Callable[[Cell, int], float]
    wanted: Callable[[Cell], int]
    least: Callable[[Cell], int]

    def whole(self, cells: Sequence[Cell]) -> float:
        return sum(self.cost(cell, self.wanted(cell)) for cell in cells)


def requests(cell: Cell, later: Sequence[Cell], left_s: float, prices: Prices, further: Sequence[Cell] = ()) -> int:
    """How many the cell's trial gets, before those of `later`; 0 if it cannot be had. `further`: more trials of cells of a
    search, for which nothing is saved that would leave out one of its cells."""
    most, least = prices.wanted(cell), prices.least(cell)
    for count in range(most, max(GOOD, least) - 1, -1):
        if sum(prices.cost(one, _of(one, count, prices)) for one in (cell, *later, *further)) <= left_s:
            return count
    outcomes_s, further_s = (sum(prices.cost(one, prices.least(one)) for one in cells) for cells in (later, further))
    for kept_s in (outcomes_s + further_s, outcomes_s, 0.0):
        for count in range(max(least, min(GOOD, most)), least - 1, -1):
            if prices.cost(cell, count) + kept_s <= left_s:
                return count
    return 0


def _of(cell: Cell, count: int, prices: Prices) -> int:
    """How many requests it gets if each gets `count`."""
    return max(prices.least(cell), min(count, prices.wanted(cell)))
