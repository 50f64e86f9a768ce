"""How the trials of a cell ended in two runs, and whether that is a change or chance. Pure.

For each way to end that was seen, the trials that ended so or worse are counted in both runs, and the counts held against
each other by Fisher's exact test, corrected for all cells that are compared at once (`certainty.families`). A change is claimed

* if the test reaches the level, or
* if no trial ended so before and *every* trial does now, with three trials or more in each run. The test cannot reach its level
  with fewer than five of each, and a gate has to see a cell that began to fail: 3 of 3 after 0 of 3 comes about by chance in
  0.9 % of pairs if 30 % of workers end so, and in 1.6 % at the most. Only what is worse is claimed like this. That a fault is
  gone takes the test: a fault that shows in some workers only is easily missed by three. This claim is not corrected for the
  number of cells: in a run of many cells that hang by chance, it is made wrongly as often for each.

Otherwise nothing is claimed: *cannot be said*, if no counts of so few trials could reach the level, or *no change shown*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.certainty import families
from harness.certainty.counts import Counts, trials_for
from harness.records.outcomes import GRAVITY, NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.summary.summary import gravest


@dataclass(frozen=True, kw_only=True)
class OutcomeChange:
    """`worse`: trials end worse, or more often so; None if no change is claimed, or one of the runs says nothing of the cell
    (skipped, invalid). `basis`: what that rests on, with the counts."""

    cell: str
    before: Outcome
    after: Outcome
    worse: bool | None
    counts: str  # of trials, 'ok 5 -> ok 4, hung 1'
    reason: str  # of the later one
    evidence: str = ""
    basis: str = ""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The trials that ended as `word` says or worse, in both runs. `p`: as it counts among all that are compared at once,
    `family` in number. `alone`: none ended worse than `word`."""

    word: Outcome
    counts: Counts
    alone: bool
    p: float
    family: int = 1

    @property
    def possible(self) -> bool:
        """Whether counts of so many trials can reach the level at all."""
        return self.counts.least_p * self.family < families.LEVEL

    @property
    def shown(self) -> bool:
        return self.p < families.LEVEL or self.counts.every

    @property
    def said(self) -> str:
        """'18 of 20 hung, before 1 of 20'."""
        one, word = self.counts, self.word.value if self.alone else f"{self.word} or worse"
        return f"{one.after} of {one.trials_after} {word}, before {one.before} of {one.trials_before}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`worse`: None if no change is claimed; then `open`: whether so few trials could not have shown one."""

    worse: bool | None
    basis: str
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class Endings:
    """How the judged trials of one cell ended in both runs. `thresholds`: none if all ended alike."""

    before: tuple[Outcome, ...]
    after: tuple[Outcome, ...]
    thresholds: tuple[Threshold, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """None if there is nothing to tell apart: all ended alike, or a run has no judged trial."""
        if not self.thresholds:
            return None
        if shown := [one for one in self.thresholds if one.shown]:
            told = max(shown, key=lambda one: (one.counts.more, -one.p))
            return Verdict(worse=told.counts.more, basis=f"{told.said}{_rests_on(told)}")
        nearest = min(self.thresholds, key=lambda one: one.p)
        if nearest.possible:
            return Verdict(worse=None, basis=f"{nearest.said}: no change shown (p = {nearest.p:.2g})")
        need = trials_for(families.LEVEL / nearest.family)
        few = f"{len(self.before)} and {len(self.after)} trials cannot tell a change from chance, --repeat {need} can"
        return Verdict(worse=None, basis=f"{nearest.said}: {few}", open=True)


def _rests_on(one: Threshold) -> str:
    if one.p < families.LEVEL:
        return f" (p = {one.p:.2g})"
    few = f"{one.counts.trials_after} after {one.counts.trials_before} trials"
    return f": every one of {few}, which chance alone does in {one.counts.every_by_chance * 100:.2g} % of pairs at the most"


def endings(here: Sequence[Outcome], there: Sequence[Outcome]) -> Endings:
    """Of one cell, not yet corrected for others. What was not judged is left out."""
    before, after = (tuple(one for one in side if one not in NOT_JUDGED) for side in (here, there))
    words = sorted({*before, *after}, key=GRAVITY.index)
    if not before or not after:
        return Endings(before=before, after=after)
    return Endings(before=before, after=after, thresholds=tuple(_threshold(word, before, after) for word in words[:-1]))


def _threshold(word: Outcome, before: Sequence[Outcome], after: Sequence[Outcome]) -> Threshold:
    least = GRAVITY.index(word)
    earlier, later = ([one for one in side if GRAVITY.index(one) <= least] for side in (before, after))
    counts = Counts(before=len(earlier), trials_before=len(before), after=len(later), trials_after=len(after))
    return Threshold(word=word, counts=counts, alone={*earlier, *later} == {word}, p=counts.p)


def together(found: Sequence[Endings]) -> list[Endings]:
    """The same, each p as it counts among those of all cells: the family is every cell whose trials did not all end alike."""
    ps = families.holm([one.p for each in found for one in each.thresholds])
    adjusted = iter(ps)
    return [
        replace(each, thresholds=tuple(replace(one, p=next(adjusted), family=len(ps)) for one in each.thresholds))
        for each in found
    ]


def differ(one: Sequence[Outcome], other: Sequence[Outcome]) -> bool:
    """Whether trials of the one are shown to end worse than those of the other, whichever it is."""
    verdicts = (endings(one, other).verdict, endings(other, one).verdict)
    return any(each is not None and each.worse is not None for each in verdicts)


def change(cell: str, here: Sequence[TrialRecord], there: Sequence[TrialRecord], found: Endings) -> OutcomeChange | None:
    """None if nothing is to be told: all ended alike, or both runs have nothing that was judged."""
    before, after, verdict = gravest(here), gravest(there), found.verdict
    if verdict is None and before.outcome is after.outcome:
        return None
    return OutcomeChange(
        cell=cell, before=before.outcome, after=after.outcome, worse=verdict.worse if verdict else None,
        counts=f"{counts(here)} -> {counts(there)}", reason=after.reason, evidence=after.ended.evidence,
        basis=verdict.basis if verdict else "",
    )  # fmt: skip


def is_listed(one: OutcomeChange, found: Endings) -> bool:
    """Whether it stands among the changes: a claim, another word that says nothing, or another word of too few trials."""
    verdict = found.verdict
    return verdict is None or verdict.worse is not None or (verdict.open and one.before is not one.after)


def graver(one: OutcomeChange) -> bool:
    """Whether the later run has seen a graver end than the earlier one."""
    return GRAVITY.index(one.after) < GRAVITY.index(one.before)


def counts(trials: Sequence[TrialRecord]) -> str:
    """'ok 4, hung 1', the gravest last."""
    return tally([record.outcome for record in trials])


def tally(ended: Sequence[Outcome]) -> str:
    """The same, of outcomes."""
    return ", ".join(f"{outcome} {ended.count(outcome)}" for outcome in reversed(GRAVITY) if outcome in ended)
