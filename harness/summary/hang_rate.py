"""How often fresh workers of a cell hang: the exact interval, and what trials without a hang allow to say. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy import special

from harness.records.outcomes import NOT_JUDGED, Outcome
from harness.records.record import TrialRecord

CONFIDENCE = 0.95


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
        tail = (1 - CONFIDENCE) / 2
        low = special.betaincinv(self.hung, self.judged - self.hung + 1, tail) if self.hung else 0.0
        return float(low), self._high(tail)

    @property
    def below(self) -> float:
        return self._high(1 - CONFIDENCE)

    def _high(self, tail: float) -> float:
        return float(special.betaincinv(self.hung + 1, self.judged - self.hung, 1 - tail)) if self.hung < self.judged else 1.0


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
