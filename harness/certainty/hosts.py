"""What several unequal hosts say together of two cells: ratios within each host, combined over hosts. Pure.

A host is a blocking factor: it is twice as fast as another in both cells, so figures of different hosts are never put into one
mean. Each host gives one number, the ratio of the two cells there, and Student's t on their logarithms gives the interval
(`intervals.over_trials`). So the spread between hosts counts, whatever its reason, and more trials on a host that disagrees
with the others do not hide it. That spread is shown beside the interval (`OverHosts.spread`).

A machine's pace drifts while a block is measured. A calibration cell is measured first and last in it; each trial's figure is
divided by the pace of its moment, on a line between the two (`steadied`). Shuffled rounds make a drift meet all cells alike on
average; the line takes away most of what is left of it. `harness.proof.campaigns` tries both on made-up campaigns.

The rule of *differ* asks for FACTOR, and for p < LEVEL: with the 0.002 that trials on one machine are held to, four hosts would
find a difference of 20 % in half of all campaigns. With 0.01, like cells are told apart in fewer than 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.certainty import intervals
from harness.certainty.comparison import FACTOR, Comparison, ComparisonWord

LEVEL = 0.01
LEAST_HOSTS = 3  # with two, the interval spans factors


@dataclass(frozen=True, kw_only=True)
class OverHosts:
    """`ratios`: of the second cell's figure to the first's, by host; `spread`: the largest of them over the smallest."""

    ratios: Mapping[str, float]
    found: Comparison
    spread: float | None


def over_hosts(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> OverHosts:
    """Compare two cells by their figures on each host (one a trial, all above 0); hosts that lack one of them do not count."""
    ratios = {
        host: there / here
        for host in first
        if (here := intervals.middle(first[host])) and (there := intervals.middle(second.get(host, ())))
    }
    spread = max(ratios.values()) / min(ratios.values()) if ratios else None
    return OverHosts(ratios=ratios, found=_compared(list(ratios.values())), spread=spread)


def _compared(ratios: Sequence[float]) -> Comparison:
    if len(ratios) < LEAST_HOSTS:
        reason = f"{len(ratios)} of {LEAST_HOSTS} hosts have figures of both: what they have in common is not known"
        return Comparison(word=ComparisonWord.CANNOT_SAY, reason=reason, ratio=intervals.middle(ratios))
    ratio, (low, high) = intervals.middle(ratios), intervals.over_trials(ratios)
    assert ratio is not None
    assert low is not None
    assert high is not None
    error = float(np.std(np.log(ratios), ddof=1)) / math.sqrt(len(ratios))
    p = 2 * float(special.stdtr(len(ratios) - 1, -abs(math.log(ratio)) / error)) if error else float(ratio == 1.0)
    shown = f"ratio {ratio:.3f} ({low:.3f} - {high:.3f} at 95 %) over {len(ratios)} hosts, p = {p:.2g}"
    if max(ratio, 1 / ratio) >= FACTOR and p < LEVEL:
        word, reason = ComparisonWord.DIFFER, f"{shown}: at least a factor {FACTOR:g}, and p < {LEVEL}"
    elif low >= 1 / FACTOR and high <= FACTOR:
        word, reason = ComparisonWord.TIE, f"{shown}: within a factor {FACTOR:g}"
    else:
        word, reason = ComparisonWord.CANNOT_SAY, f"{shown}: more hosts or trials are needed"
    return Comparison(word=word, reason=reason, ratio=ratio, low=low, high=high, p=p)


def steadied(figures: Sequence[float], at: Sequence[float], drift: float) -> list[float]:
    """Figures as they would have been at the beginning of the block. `at`: when each was measured, 0 where the calibration cell
    was measured first and 1 where last; `drift`: its last figure over its first."""
    return [figure / drift**moment for figure, moment in zip(figures, at, strict=True)]
