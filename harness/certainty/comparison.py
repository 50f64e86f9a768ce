"""Whether two cells (or the same cell of two runs) really differ: *differ*, *tie* or *cannot say*. Pure.

The rule asks for both a factor and a test, like asv's (factor 1.1 and p < 0.002):

* *differ*: the figures are at least FACTOR apart, and Welch's t-test on the logarithms of the trials' figures has p < 0.002;
* *tie*: the whole 95 % interval of their ratio lies within FACTOR;
* *cannot say*: neither. That is an answer: the trials are too few or too unlike.

asv's test (Mann-Whitney) cannot reach its level with fewer than seven trials a side; Welch's can with three. FACTOR is less
than asv's 1.1, since trials here are interleaved in one run and not days apart. With p < 0.002 two runs of the same cell
differ in fewer than 1 % of comparisons, whatever their number of trials (`harness.proof.instrument.same_cell`), as long as the
trials of both met the same machine: figures of two runs on different days include the difference of the days.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

from harness.certainty.intervals import t_quantile

FACTOR = 1.05
LEVEL = 0.002
STATED_RATE = 0.01  # of false differences between runs of the same cell, at most


class ComparisonWord(StrEnum):
    DIFFER = "differ"
    TIE = "tie"
    CANNOT_SAY = "cannot say"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`ratio` is that of the second cell's figure to the first's; `low` and `high` its 95 % interval; None where unknown."""

    word: ComparisonWord
    reason: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def compare(first: Sequence[float], second: Sequence[float], *, factor: float = FACTOR) -> Comparison:
    """Compare two cells by one figure a trial (requests per second, or seconds), all above 0."""
    if min(len(first), len(second)) < 2:
        return Comparison(
            word=ComparisonWord.CANNOT_SAY, reason="one trial does not tell how much fresh workers differ; --repeat 3 or more"
        )
    if min(*first, *second) <= 0:
        return Comparison(word=ComparisonWord.CANNOT_SAY, reason="a figure is not above 0")
    difference, error, freedom = _welch(np.log(first), np.log(second))
    if error == 0.0:
        p, half = float(difference == 0.0), 0.0
    else:
        p, half = 2 * float(special.stdtr(freedom, -abs(difference) / error)), t_quantile(freedom) * error
    ratio, low, high = (math.exp(value) for value in (difference, difference - half, difference + half))
    word, reason = _word(ratio, low, high, p, factor)
    return Comparison(word=word, reason=reason, ratio=ratio, low=low, high=high, p=p)


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """(difference of the means, its standard error, degrees of freedom by Welch and Satterthwaite)."""
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    total = sum(parts)
    below = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    return float(np.mean(second) - np.mean(first)), math.sqrt(total), total**2 / below if below else math.inf


def _word(ratio: float, low: float, high: float, p: float, factor: float) -> tuple[ComparisonWord, str]:
    shown = f"ratio {ratio:.3f} ({low:.3f} - {high:.3f} at 95 %), p = {p:.2g}"
    if max(ratio, 1 / ratio) >= factor and p < LEVEL:
        return ComparisonWord.DIFFER, f"{shown}: at least a factor {factor:g}, and p < {LEVEL}"
    if 1 / factor <= low and high <= factor:
        return ComparisonWord.TIE, f"{shown}: within a factor {factor:g}"
    return ComparisonWord.CANNOT_SAY, f"{shown}: more trials are needed"
