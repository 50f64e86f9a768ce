"""Whether two cells (or the same cell of two runs) really differ: *differ*, *tie* or *cannot say*. Pure.

The rule asks for both a factor and a test, like asv's (factor 1.1 and p < 0.002):

* *differ*: the figures are at least FACTOR apart, and Welch's t-test on the logarithms of the trials' figures has p < 0.002,
  with LEAST trials or more of each, and so do ranks: the Mann-Whitney test reaches RANKS, or the least p that so few trials
  can have;
* *tie*: the whole 95 % interval of their ratio lies within FACTOR;
* *cannot say*: neither. That is an answer: the trials are too few or too unlike.

asv's test (Mann-Whitney) cannot reach its level with fewer than seven trials a side; Welch's can with three. FACTOR is less
than asv's 1.1, since trials here are interleaved in one run and not days apart. With p < 0.002 two runs of the same cell
differ in fewer than 1 % of comparisons (`harness.proof.instrument.same_cell`), as long as the trials of both met the same
machine: figures of two runs on different days include the difference of the days.

Workers of two kinds are why two trials are not enough. If one worker in five is ten times slower, two fast ones stand beside
two slow ones in 5 % of like pairs, and no test of such figures can know it: by ranks alone, two and two are apart in a third of
pairs, three and three in a tenth. With three trials it happens in 0.8 % of pairs (3 % if half of the workers are slow), with
five in 0.02 %. Ranks are asked, too, because of them: three fast workers beside thirty of both kinds pass for a difference of
means in 8 % of like pairs, and stand in the midst of the others by rank.

Figures that are compared at once are held against each other together (`together`): a difference has to stand as one of many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy import special

from harness.certainty import families, intervals
from harness.certainty.intervals import t_quantile

FACTOR = 1.05
LEVEL = 0.002
RANKS = 0.01
LEAST = 3  # trials of each; with fewer, a difference is never claimed
FEW_TRIALS = 1.10  # with fewer, what is within it counts as not told apart
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
        few = "one trial with figures does not tell" if first and second else "without figures of both, nobody knows"
        return Comparison(
            word=ComparisonWord.CANNOT_SAY, reason=f"{few} how much fresh workers differ; --repeat {LEAST} or more"
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
    if word is ComparisonWord.DIFFER and (doubt := _two_kinds(first, second)):
        word, reason = ComparisonWord.CANNOT_SAY, f"{_shown(ratio, low, high, p)}: {doubt}"
    return Comparison(word=word, reason=reason, ratio=ratio, low=low, high=high, p=p)


def told_apart(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the second cell is really slower, `first` being the faster one; by FEW_TRIALS where the rule cannot say."""
    if min(len(first), len(second)) < LEAST:
        return (intervals.middle(first) or 0.0) > FEW_TRIALS * (intervals.middle(second) or 0.0)
    return compare(first, second).word is ComparisonWord.DIFFER


def _two_kinds(first: Sequence[float], second: Sequence[float]) -> str:
    """Why two kinds of workers may be what makes the means differ; '' if that is not likely."""
    if min(len(first), len(second)) < LEAST:
        return f"two trials may be two kinds of workers; --repeat {LEAST} or more"
    from scipy.stats import mannwhitneyu  # takes most of a second to import; most pairs do not come here

    least = 2 / math.comb(len(first) + len(second), len(first))
    p = float(mannwhitneyu(first, second).pvalue)
    return "" if p < max(RANKS, least * (1 + 1e-9)) else "by rank they are mixed, so a few workers of another kind may be why"


def together(found: Sequence[Comparison]) -> list[Comparison]:
    """The same, by how they stand among each other: what differs on its own, and not as one of so many, cannot be said."""
    tested = [one.p for one in found if one.p is not None]
    adjusted = iter(families.holm(tested))
    return [one if one.p is None else _among(one, next(adjusted), len(tested)) for one in found]


def _among(one: Comparison, p: float, count: int) -> Comparison:
    if one.word is not ComparisonWord.DIFFER or p < families.LEVEL:
        return one
    reason = one.reason.partition(": at least")[0]
    told = f"{reason}: not enough for one of {count} figures that are compared at once; more trials are needed"
    return replace(one, word=ComparisonWord.CANNOT_SAY, reason=told)


def _welch(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """(difference of the means, its standard error, degrees of freedom by Welch and Satterthwaite)."""
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    total = sum(parts)
    below = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    return float(np.mean(second) - np.mean(first)), math.sqrt(total), total**2 / below if below else math.inf


def _word(ratio: float, low: float, high: float, p: float, factor: float) -> tuple[ComparisonWord, str]:
    shown = _shown(ratio, low, high, p)
    if max(ratio, 1 / ratio) >= factor and p < LEVEL:
        return ComparisonWord.DIFFER, f"{shown}: at least a factor {factor:g}, and p < {LEVEL}"
    if 1 / factor <= low and high <= factor:
        return ComparisonWord.TIE, f"{shown}: within a factor {factor:g}"
    return ComparisonWord.CANNOT_SAY, f"{shown}: more trials are needed"


def _shown(ratio: float, low: float, high: float, p: float) -> str:
    return f"ratio {ratio:.3f} ({low:.3f} - {high:.3f} at 95 %), p = {p:.2g}"
