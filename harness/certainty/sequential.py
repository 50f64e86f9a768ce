"""An interval that may be looked at after every value: a confidence sequence for the mean of values of one kind. Pure.

An interval of fixed size, looked at again and again until it says something, is wrong far more often than it states. A
confidence sequence holds the truth at *all* its looks at once with the stated probability, so one may stop at any of them.

This one is the t-statistic's: Bayes factors for normal values whose spread is not known, with a normal mixture over the effect
(in standard deviations, of variance SCALE), are martingales under the null hypothesis whatever the spread is (Lai 1976; Wang
and Ramdas 2024, "Anytime-valid t-tests and confidence sequences"; Ville's inequality makes them a test). The interval is every
mean whose Bayes factor has not reached 1 / (1 - confidence). It is exact for normal values. What serving really gives is held
against it in `harness.proof.gates`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: Variance of the mixture over effects in standard deviations: a larger one makes intervals narrower after 5 values, and wider
#: after 30. Beside other programs it takes 30, so a small one; on a quiet machine both come to an end after 5 to 8.
SCALE = 1.0


class Sequence95(NamedTuple):
    """The mean, and the interval around it; infinite as long as there are too few values."""

    mean: float
    low: float
    high: float


def mean_of(values: Sequence[float], confidence: float) -> Sequence95:
    """The mean of these values, with the interval that holds at this look and all others together."""
    count = len(values)
    if count < 2:
        return Sequence95(float(values[0]) if count else math.nan, -math.inf, math.inf)
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    half = deviation * half_width(count, confidence)
    return Sequence95(mean, mean - half, mean + half)


def half_width(count: int, confidence: float) -> float:
    """Half the interval's width after so many values, in standard deviations of the values.

    The Bayes factor of a mean at a distance of t standard errors is r^-1/2 ((1 + u) / (1 + u / r))^(n/2) with u = t^2 / (n - 1)
    and r = 1 + n SCALE; it is 1 / (1 - confidence) at the ends.

    >>> [round(half_width(count, 0.95), 2) for count in (4, 6, 10, 40)]
    [inf, 2.22, 1.22, 0.53]
    """
    ratio = 1 + count * SCALE
    reached = (math.sqrt(ratio) / (1 - confidence)) ** (2 / count)
    if reached >= ratio:
        return math.inf
    return math.sqrt((reached - 1) / (1 - reached / ratio) * (count - 1) / count)
