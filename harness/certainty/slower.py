"""What is known of a program's pace, looked at again and again while it answers: is it clearly slower than another? Pure.

Its answers are cut into spans of SPAN_S and SPAN_ANSWERS at least, each from one answer to another. The mean of their rates has
an interval that holds at all looks together (`sequential`); the program is clearly slower once the interval's upper end lies
below CLEARLY times the pace. Spans that follow each other are alike, which the sequence does not know: hence the margin.
`harness.proof.racing` counts how often a program is stopped that is not slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.certainty import sequential

CONFIDENCE = 0.95
CLEARLY = 0.85
WITHIN = 0.10  # half the interval, over the mean: then the pace is known well enough to hold others against it
SPAN_S, SPAN_ANSWERS = 0.1, 5
LEAST_SPANS = 6  # with fewer, one odd span decides


class Race:
    """Against a pace in answers per second, 0 for none. `add` takes the moments of the answers, in seconds, in order.

    `lost`: it is clearly slower; `known`: its own pace is known within WITHIN. Once true, they stay so.
    """

    def __init__(self, pace_per_s: float, begin_s: float) -> None:
        self.pace_per_s = pace_per_s
        self.lost = self.known = False
        self._spans, self._mean, self._squares = 0, 0.0, 0.0  # of the spans' rates; squares: of their distances from the mean
        self._since_s, self._answers = begin_s, 0

    def add(self, moments_s: Sequence[float]) -> None:
        for moment_s in moments_s:
            self._answers += 1
            if self._answers >= SPAN_ANSWERS and moment_s - self._since_s >= SPAN_S:
                self._look(self._answers / (moment_s - self._since_s))
                self._since_s, self._answers = moment_s, 0

    def _look(self, rate: float) -> None:
        self._spans += 1
        distance = rate - self._mean
        self._mean += distance / self._spans
        self._squares += distance * (rate - self._mean)
        if self._spans < LEAST_SPANS:
            return
        half = math.sqrt(self._squares / (self._spans - 1)) * sequential.half_width(self._spans, CONFIDENCE)
        self.lost = self.lost or self._mean + half < CLEARLY * self.pace_per_s
        self.known = self.known or half <= WITHIN * self._mean
