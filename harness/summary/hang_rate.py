"""How often fresh workers of a cell hang: the exact interval, and what trials without a hang allow to say. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.certainty import exact
from harness.certainty.exact import CONFIDENCE
from harness.records.outcomes import NOT_JUDGED, Outcome
from harness.records.record import TrialRecord


@dataclass(frozen=True, kw_only=True)
class HangRate:
    """`hung` of `judged` fresh workers hung; `interval` is the exact (Clopper and Pearson 1934) 95 % one of the rate.

    `below` is the one-sided bound, for runs in which none hung: with 95 % confidence the rate is below it.
    """

    hung: int
    judged: int

    @property
    def rate(self) -> float:
        return self.hung / self.judged

    @property
    def interval(self) -> tuple[float, float]:
        return exact.interval(self.hung, self.judged)

    @property
    def below(self) -> float:
        return exact.high(self.hung, self.judged, 1 - CONFIDENCE)


def clean_trials_for(rate: float) -> int:
    """How many fresh workers without one hang bound the rate below `rate` at 95 %: the smallest n with (1-rate)^n <= 0.05.

    >>> clean_trials_for(0.05), clean_trials_for(0.01)
    (59, 299)
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - rate))


def hang_rate(trials: Iterable[TrialRecord]) -> HangRate | None:
    """None where no trial could be judged: what was skipped or invalid says nothing about hangs."""
    judged = [record for record in trials if record.outcome not in NOT_JUDGED]
    hung = sum(record.outcome is Outcome.HUNG for record in judged)
    return HangRate(hung=hung, judged=len(judged)) if judged else None
