"""The exact (Clopper and Pearson 1934) interval of a rate that was counted. Pure, of the standard library alone: whoever only
reads the atlas has neither SciPy nor NumPy.
"""

from __future__ import annotations

import math
from functools import lru_cache

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
HALVINGS = 60  # the rate is then known to 1e-18, finer than a float holds


def interval(found: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a rate that was seen as `found` of `of` trials, of one or more.

    >>> [round(end, 3) for end in interval(3, 12)], interval(0, 3)[0], interval(3, 3)[1]
    ([0.055, 0.572], 0.0, 1.0)
    """
    return low(found, of, TAIL), high(found, of, TAIL)


def low(found: int, of: int, tail: float) -> float:
    """The rate at which `found` or more of `of` have the probability `tail`; 0 if none was found.

    It is one less the upper end of those that were not found.
    """
    return 1.0 - high(of - found, of, tail) if found else 0.0


@lru_cache(maxsize=4096)
def high(found: int, of: int, tail: float) -> float:
    """The rate at which `found` or fewer of `of` have the probability `tail`; 1 if all were found."""
    if found >= of:
        return 1.0
    below, above = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        if _at_most(found, of, middle) > tail:
            below = middle
        else:
            above = middle
    return (below + above) / 2


def _at_most(found: int, of: int, rate: float) -> float:
    """The probability of `found` or fewer successes in `of` trials, by logarithms: a binomial coefficient of 2,000 trials is no
    float."""
    hit, miss = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(of + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(one + 1) - math.lgamma(of - one + 1) + one * hit + (of - one) * miss)
        for one in range(found + 1)
    )
