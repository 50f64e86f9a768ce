"""The highest rate of requests at which a percentile of the latency stays within a bound: the search, as pure functions.

MLPerf LoadGen's *Server* scenario: Poisson arrivals, and its early-stopping rule to decide whether a step at one rate met the
bound. With `misses` requests over the bound, the rule asks for so many requests that a true share of misses as high as
allowed would produce so few of them with a probability of 1 % at the most: of p99, 459 with none, 662 with one, 838 with two.
A step goes on until it is decided: met, missed (more misses than its requests could make good), or undecided where time ran
out. It lasts for bound / (PRECISION - 1) at the least: by then, a rate that exceeds the capacity by no more than the search's
precision has made requests wait for as long as the bound. (LoadGen asks for a duration, too; in a shorter step, twice the
capacity can pass.)

The search is by ratios: down from a first guess until a rate meets the bound, up until one misses it, then in the middle
(geometrically), until the highest that met it and the lowest that did not are within PRECISION. A rate that met the bound once
is not tried again: with 1 % per step the search as a whole is somewhat less certain than one step, and the measured window
at the rate that was found is the proof.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

CONFIDENCE = 0.99
MOST_MISSES = 3  # for which a step is made long enough; if it is longer for other reasons, more can be made good
MOST_STEPS = 12
PRECISION = 1.05
FACTOR = 1.5  # from rate to rate, until there is one that meets the bound and one that does not
LOWEST = 0.02  # of the first guess: a bound that is missed even there is not the load's doing


class Met(StrEnum):
    """Whether a step kept the bound."""

    YES = "met"
    NO = "missed"
    OPEN = "undecided"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One step: a rate, and whether it met the bound."""

    rate_per_s: float
    met: Met


@cache
def needed(misses: int, fraction: float) -> int:
    """Requests that a step needs in all, if `misses` of them are over the bound: LoadGen's early stopping, at 99 %.

    The smallest h + misses for which the regularised incomplete beta function I_fraction(h, misses + 1) is at most 1 %
    (`MinPassingQueriesFinder` in LoadGen's early_stopping.cc, with a tolerance of 0).

    >>> [needed(misses, 0.99) for misses in (0, 1, 10)]
    [459, 662, 2010]
    >>> [needed(0, fraction) for fraction in (0.90, 0.95)]
    [44, 90]
    """
    from scipy import special  # here, since every trial's client imports this module, and few search

    low, high = 1, 1 << 24
    while low < high:
        middle = (low + high) // 2
        if special.betainc(middle, misses + 1, fraction) <= 1 - CONFIDENCE:
            high = middle
        else:
            low = middle + 1
    return low + misses


@dataclass(frozen=True, kw_only=True)
class Size:
    """How many requests a step has: `least` before it may be met, `most` in all."""

    least: int
    most: int

    def decide(self, requests: int, misses: int, fraction: float) -> Met:
        """Whether the bound is met, once `requests` are answered or over the bound, `misses` of them over it.

        >>> size = Size(least=500, most=1001)
        >>> size.decide(500, 0, 0.99), size.decide(499, 0, 0.99), size.decide(500, 1, 0.99), size.decide(100, 4, 0.99)
        (<Met.YES: 'met'>, <Met.OPEN: 'undecided'>, <Met.OPEN: 'undecided'>, <Met.NO: 'missed'>)
        """
        enough = needed(misses, fraction)
        if enough > self.most:
            return Met.NO
        return Met.YES if requests >= max(enough, self.least) else Met.OPEN


def size(rate_per_s: float, bound_s: float, fraction: float) -> Size:
    """The size of a step at this rate."""
    least = max(needed(0, fraction), math.ceil(rate_per_s * least_s(bound_s)))
    return Size(least=least, most=max(least, needed(MOST_MISSES, fraction)))


def least_s(bound_s: float) -> float:
    """How long a step lasts at the least.

    >>> round(least_s(0.1), 3)
    2.0
    """
    return bound_s / (PRECISION - 1)


def next_rate(guess_per_s: float, steps: Sequence[Tried]) -> float | None:
    """The rate to try next, in requests per second; None when the search is over. `guess_per_s`: where it begins."""
    best, worst = found(steps), missed(steps)
    if len(steps) >= MOST_STEPS or any(step.met is Met.OPEN for step in steps):
        return None
    if best is None and worst is None:
        return guess_per_s
    if best is None:
        assert worst is not None
        return None if worst <= guess_per_s * LOWEST else max(worst / FACTOR ** len(steps), guess_per_s * LOWEST)
    if worst is None:
        return best * FACTOR
    return None if worst / best <= PRECISION else math.sqrt(best * worst)


def found(steps: Sequence[Tried]) -> float | None:
    """The highest rate that met the bound, below all that missed it."""
    ceiling = missed(steps) or math.inf
    return max((step.rate_per_s for step in steps if step.met is Met.YES and step.rate_per_s < ceiling), default=None)


def missed(steps: Sequence[Tried]) -> float | None:
    """The lowest rate that missed the bound."""
    return min((step.rate_per_s for step in steps if step.met is Met.NO), default=None)


def nothing_meets(guess_per_s: float, steps: Sequence[Tried]) -> bool:
    """Whether even the lowest rate that is worth trying missed the bound."""
    worst = missed(steps)
    return found(steps) is None and worst is not None and worst <= guess_per_s * LOWEST


def reason(guess_per_s: float, steps: Sequence[Tried], bound: str) -> str:
    """What the search came to, in a sentence; `bound` such as 'p99 within 100 ms'."""
    best, worst = found(steps), missed(steps)
    if best is not None and worst is not None and worst / best <= PRECISION:
        return f"{best:.4g} requests per second keep {bound}, {worst:.4g} do not"
    if nothing_meets(guess_per_s, steps):
        return f"no rate keeps {bound}, not even {worst:.4g} requests per second"
    over = any(step.met is Met.OPEN for step in steps)
    why = "time ran out" if over else f"{len(steps)} steps did not decide more"
    below = f" below {worst:.4g} requests per second" if worst is not None else ""
    if best is not None:
        return f"{best:.4g} requests per second keep {bound}, whether a higher rate{below} does is not known, as {why}"
    return f"whether a rate{below} keeps {bound} is not known, as {why}"
