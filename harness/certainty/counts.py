"""Whether something happens more often in one run than in another, by counts of trials. Pure.

The test is Fisher's exact one, two-sided: it holds for any numbers of trials, and is stricter than it need be for few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

EVERY = 3  # trials of each run, at least, before "none then, all now" is a claim


@dataclass(frozen=True, kw_only=True)
class Counts:
    """It happened in `before` of `trials_before` trials, and later in `after` of `trials_after`."""

    before: int
    trials_before: int
    after: int
    trials_after: int

    @property
    def more(self) -> bool:
        """Whether a larger share than before."""
        return self.after * self.trials_before > self.before * self.trials_after

    @property
    def p(self) -> float:
        return _fisher(self.before, self.trials_before, self.after, self.trials_after)

    @property
    def least_p(self) -> float:
        """What p is at the least with so many trials: none of the one, all of the other."""
        return _fisher(0, self.trials_before, self.trials_after, self.trials_after)

    @property
    def every(self) -> bool:
        """It happened in no trial before and in each one now, and there are EVERY trials or more of both."""
        enough = min(self.trials_before, self.trials_after) >= EVERY
        return enough and self.before == 0 and self.after == self.trials_after

    @property
    def every_by_chance(self) -> float:
        """How often a like pair looks so at the most, whatever the rate r is: the highest (1-r)^n r^m.

        >>> Counts(before=0, trials_before=3, after=3, trials_after=3).every_by_chance
        0.015625
        """
        share = self.trials_after / (self.trials_before + self.trials_after)
        return float((1 - share) ** self.trials_before * share**self.trials_after)


def trials_for(level: float) -> int:
    """Trials of each run with which counts can reach the level at all: none then, all now, by Fisher's test.

    >>> trials_for(0.01), trials_for(0.001)
    (5, 7)
    """
    trials = 1
    while 2 / math.comb(2 * trials, trials) >= level:
        trials += 1
    return trials


@lru_cache(maxsize=4096)
def _fisher(before: int, trials_before: int, after: int, trials_after: int) -> float:
    from scipy.stats import fisher_exact  # takes most of a second to import, and runs that ended alike need none of it

    table = [[before, trials_before - before], [after, trials_after - after]]
    return float(fisher_exact(table).pvalue)
