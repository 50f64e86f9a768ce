"""The highest rate of requests at which a percentile of the latency stays within a bound: the search, as pure functions.

MLPerf LoadGen's *Server* scenario: Poisson arrivals, and its early-stopping rule to decide whether a step at one rate met the
bound. With `misses` requests over the bound, the rule asks for so many requests that a true share of misses as high as
allowed would produce so few of them with a probability of 1 % at the most: of p99, 459 with none, 662 with one, 838 with two.
A step goes on until it is decided: met, missed (more misses than MOST_MISSES could make good), or undecided where time ran out.

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

from scipy import special

CONFIDENCE = 0.99
MOST_MISSES = 3
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
    low, high = 1, 1 << 24
    while low < high:
        middle = (low + high) // 2
        if special.betainc(middle, misses + 1, fraction) <= 1 - CONFIDENCE:
            high = middle
        else:
            low = middle + 1
    return low + misses


def most_requests(fraction: float) -> int:
    """After how many requests a step is always decided."""
    return needed(MOST_MISSES, fraction)


def decide(requests: int, misses: int, fraction: float) -> Met:
    """Whether the bound is met, once `requests` are answered or over the bound, `misses` of them over it.

    >>> decide(459, 0, 0.99), decide(459, 1, 0.99), decide(100, 4, 0.99)
    (<Met.YES: 'met'>, <Met.OPEN: 'undecided'>, <Met.NO: 'missed'>)
    """
    if misses > MOST_MISSES:
        return Met.NO
    return Met.YES if requests >= needed(misses, fraction) else Met.OPEN


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
