"""Which configurations of a grid to measure, until the best is found. Pure: what is measured comes from the caller.

The rule is a descent over dimensions, in two passes. Begin with the default configuration. First, measure of one dimension
after the other what tells most about it (`FIRST`): of numbers, twice as many while that is better, or else half as many; then,
with so many executors, one pool of each kind; of anything else, every value. Go on from the best so far, and repeat until a
whole round changes nothing. Numbers come before pools, since with few executors pools differ little, and by chance. Then the
rest: for one block of dimensions after the other (`BLOCKS`), every configuration that differs from the best so far in it
alone. Pool and concurrency are one block there: which number of executors is best differs from pool to pool. It ends when a
whole round changes nothing, or the budget of measurements is used up. In other dimensions rates multiply, more or less (a call
that is twice as fast in one pool is faster in all), which is why so few measurements suffice; `harness tune --replay` shows how
many on a run that has the whole grid.

A grid of few configurations (FEW) is measured whole, and so is one of which all may be measured.

A configuration that keeps every bound is better than one that does not; among those, more rows a second are; of those that
do not, the one whose broken bound is nearest to being kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS

SHARE = 0.10  # of the grid, at most
FEW = 16  # configurations that are all measured: a descent among so few saves little, and may leave out the best
LEAST = 12  # may be measured, however small the share: a value or two of each dimension of a grid of one hundred
BLOCKS: tuple[tuple[str, ...], ...] = (
    ("call",), ("batch",), ("pool", "concurrency"), ("engine_threads",), ("variables",), ("prefetch",), ("max_tasks",),
    ("placement", "parent"), ("backend", "environment"),
)  # fmt: skip

ORDERED = ("batch", "concurrency", "prefetch")
FIRST = (*BLOCKS[:2], ("concurrency",), ("pool",), *BLOCKS[3:])


@dataclass(frozen=True, kw_only=True, order=True)
class Score:
    """How good a configuration is; later fields count where earlier ones are equal. `nearness`: of the worst broken bound,
    minus the logarithm of how many times it is broken by; 0 where none is."""

    answers: bool  # it ended ok, and has figures
    nearness: float
    rows_per_s: float


NOTHING = Score(answers=False, nearness=-math.inf, rows_per_s=0.0)
#: those that it had no time for are missing; of cells that were asked for before, there may be other scores
Measure = Callable[[Sequence[Cell]], Mapping[Cell, Score]]


@dataclass
class Search:
    """`grid`: what may be measured; `start`: the default, one of them; `most`: how many may be measured."""

    grid: Sequence[Cell]
    start: Cell
    measure: Measure
    most: int
    known: dict[Cell, Score] = field(default_factory=dict)
    stopped: str = ""  # why it ended before a round changed nothing

    def run(self) -> Cell:
        """Search; the best that was measured."""
        self._look([self.start])
        if self.is_whole:
            self._look(self.grid)
            return self.best
        if not self.known.get(self.start, NOTHING).answers:
            self._look(self._pools())
        self._rounds(FIRST, self._first)
        self._rounds(BLOCKS, lambda block: self._look(list(neighbours(self.grid, self.best, block))))
        return self.best

    @property
    def is_whole(self) -> bool:
        """Whether all of the grid is measured, whatever comes of it."""
        return len(self.grid) <= FEW or self.most >= len(self.grid)

    def _rounds(self, blocks: Sequence[tuple[str, ...]], look: Callable[[tuple[str, ...]], None]) -> None:
        """One block after the other, until a whole round changes nothing."""
        before = None
        while not self.stopped and before != self.best:
            before = self.best
            for block in blocks:
                if not self.stopped and len({values(cell, block) for cell in self.grid}) > 1:
                    look(block)

    def _first(self, block: tuple[str, ...]) -> None:
        """Of a block, what tells most."""
        if block == ("pool",):
            self._look(self._pools())
        elif block[0] in ORDERED:
            self._climb(block[0])
        else:
            self._look(list(neighbours(self.grid, self.best, block)))

    def _pools(self) -> list[Cell]:
        """A pool of each kind, but of the best one's only if nothing answers; with as many executors as it has, or nearly."""
        here, kinds = self.best, dict[str, Cell]()
        own = POOLS[here.pool].executors if self.known.get(here, NOTHING).answers else ""
        others = neighbours(self.grid, here, ("pool", "concurrency"))
        for cell in sorted(others, key=lambda one: abs(one.concurrency - here.concurrency)):
            if cell.pool != here.pool and POOLS[cell.pool].executors != own:
                kinds.setdefault(POOLS[cell.pool].executors, cell)
        return list(kinds.values())

    def _climb(self, name: str) -> None:
        """Upwards while that is better, doubling; else downwards, halving."""
        for step in (1, -1):
            first = self.best
            while not self.stopped:
                here, place = self.best, getattr(self.best, name)
                beyond = [cell for cell in neighbours(self.grid, here, (name,)) if (getattr(cell, name) - place) * step > 0]
                if not beyond:
                    break
                far = [cell for cell in beyond if _twice(getattr(cell, name), place, step)]
                away = {cell: abs(getattr(cell, name) - place) for cell in far or beyond}
                self._look([min(away, key=away.__getitem__) if far else max(away, key=away.__getitem__)])
                if self.best == here:
                    break
            if self.best != first:
                return

    @property
    def best(self) -> Cell:
        return max(self.known, key=lambda cell: self.known[cell], default=self.start)

    def ranked(self) -> list[Cell]:
        """What was measured, the best first."""
        return sorted(self.known, key=lambda cell: self.known[cell], reverse=True)

    def _look(self, cells: Sequence[Cell]) -> None:
        """Measure those that are not known, as far as the budget goes."""
        fresh = [cell for cell in cells if cell not in self.known]
        room = self.most - len(self.known)
        if len(fresh) > room:
            fresh, self.stopped = fresh[: max(room, 0)], f"{self.most} configurations were measured"
        if not fresh:
            return
        found = self.measure(fresh)
        self.known |= found
        if any(cell not in found for cell in fresh):
            self.stopped = "the time was used up"


def _twice(value: int, place: int, step: int) -> bool:
    """Whether it is at least twice as many (a step of 1), or at most half as many (-1)."""
    return value >= 2 * place if step > 0 else 2 * value <= place


def values(cell: Cell, block: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(cell, name) for name in block)


def neighbours(grid: Sequence[Cell], cell: Cell, block: Sequence[str]) -> Iterator[Cell]:
    """The grid's cells that differ from this one in the block alone."""
    others = [name for name in vars(cell) if name not in block]
    here = values(cell, others)
    return (other for other in grid if other != cell and values(other, others) == here)


def default(grid: Sequence[Cell], cores: int) -> Cell:
    """What Celery does if nothing is said (prefork, as many children as cores, prefetch 4), or what comes nearest to it.

    `cores`: those that one may use. Celery itself counts all that the machine has, and knows of no CPU quota.
    """
    wishes: tuple[tuple[str, object], ...] = (
        ("pool", "prefork"), ("concurrency", cores), ("call", "predict"), ("batch", 1), ("engine_threads", "auto"),
        ("variables", ""), ("prefetch", 4), ("max_tasks", 0), ("placement", "first-task"),
    )  # fmt: skip
    return max(grid, key=lambda cell: [getattr(cell, name) == value for name, value in wishes])


def most_of(grid: Sequence[Cell], share: float = SHARE) -> int:
    """How many configurations may be measured: all of a few, else the share, and LEAST at the least.

    >>> [most_of([Cell(backend="null", pool="solo")] * count) for count in (6, 16, 20, 216)]
    [6, 16, 12, 21]
    """
    return len(grid) if len(grid) <= FEW else max(LEAST, math.floor(share * len(grid)))
