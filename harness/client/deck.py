"""Which row each request takes: the n-th that is dealt is that of request n, by the seed alone.

So whoever has the plan knows what any request is, before anything of it is written down: the watchdog tells the pace of a long
task from that of a short one by the number of the request.

The rows of one task are drawn at random; if requests are few, each is sent as often as the others. In a mix, requests are dealt
in blocks that hold each task, at the shares that were asked for, each block in an order of its own; rows of a task take turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.client.plan import Plan

ROWS_AT_ONCE = 1024


class Deck:
    """`row(n)` is asked for in any order; what was dealt is kept."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._dice = plan, np.random.default_rng(plan.rows_seed)
        self._dealt: list[int] = []
        self._sent: list[int] = []  # of each task
        self._hands: dict[int, list[int]] = {}  # rows of each task that are still to come

    def row(self, number: int) -> int:
        while number >= len(self._dealt):
            self._dealt += self._block() if self._plan.shares else self._rows()
        return self._dealt[number]

    def task(self, number: int) -> int:
        """The place of its task in the mix; 0 without one."""
        return self._plan.of_rows[self.row(number)] if self._plan.shares else 0

    def _rows(self) -> list[int]:
        plan, dice = self._plan, self._dice
        found = dice.permutation(plan.rows) if plan.few else dice.integers(0, plan.rows, ROWS_AT_ONCE)
        return [int(row) for row in found[::-1]]

    def _block(self) -> list[int]:
        plan = self._plan
        there = sorted(set(plan.of_rows[: plan.rows]))
        self._sent = self._sent or [0] * len(plan.shares)
        shares = [share if task in there else 0.0 for task, share in enumerate(plan.shares)]
        size = plan.requests if plan.few and not self._dealt else block_size([shares[task] for task in there])
        counts = dealt(shares, size, self._sent)
        self._sent = [before + count for before, count in zip(self._sent, counts, strict=True)]
        block = [self._next(task) for task, count in enumerate(counts) for _ in range(count)]
        return [block[place] for place in self._dice.permutation(len(block)).tolist()]

    def _next(self, task: int) -> int:
        if not self._hands.get(task):
            own = [row for row in range(self._plan.rows) if self._plan.of_rows[row] == task]
            self._hands[task] = [own[place] for place in self._dice.permutation(len(own)).tolist()]
        return self._hands[task].pop()


def block_size(shares: Sequence[float]) -> int:
    """Requests of a block: as few as hold the rarest task once.

    >>> block_size([0.9, 0.1]), block_size([1.0])
    (10, 1)
    """
    return max(len(shares), math.ceil(sum(shares) / min(shares) - 1e-9))


def dealt(shares: Sequence[float], size: int, sent: Sequence[int]) -> list[int]:
    """How many of the next `size` requests each task gets, so that all that were sent come as near to the shares as can be; one
    at the least, if there is room for one of each.

    >>> dealt([0.9, 0.1], 10, [0, 0]), dealt([0.5, 0.5], 3, [2, 1]), dealt([0.98, 0.02], 8, [0, 0])
    ([9, 1], [1, 2], [7, 1])
    """
    there = [task for task, share in enumerate(shares) if share]
    counts = [int(bool(share) and size >= len(there)) for share in shares]
    whole, total = sum(shares), sum(sent) + size
    while sum(counts) < size:
        lacking = {task: shares[task] / whole * total - sent[task] - counts[task] for task in there}
        counts[max(there, key=lambda task: lacking[task])] += 1
    return counts
