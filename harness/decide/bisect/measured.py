"""What one release of a package, or one commit, did: the outcomes and paces of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.certainty import comparison
from harness.certainty.comparison import ComparisonWord
from harness.decide.compare import outcomes
from harness.measure import figures
from harness.records.outcomes import ANSWERED, NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.summary import summary


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one candidate did: a release, or a commit. `outcome` is the gravest of its trials, None where it could not be
    measured (`reason`, `remedy`); `ended`: how each trial that was judged ended; `about`: what else it is called, a commit's
    subject."""

    version: str
    outcome: Outcome | None
    reason: str
    ended: tuple[Outcome, ...] = ()
    paces_per_s: tuple[float, ...] = ()
    evidence: str = ""
    remedy: str = ""
    about: str = ""

    def like(self, other: Measured) -> bool:
        """In outcome and in pace."""
        return self.ends_like(other) and self.difference(other).word is not ComparisonWord.DIFFER

    def ends_like(self, other: Measured) -> bool:
        """Whether the trials of the two are not shown to end otherwise."""
        return not outcomes.differ(self.ended, other.ended)

    def difference(self, other: Measured) -> comparison.Comparison:
        return comparison.compare(other.paces_per_s, self.paces_per_s)

    @property
    def pace_per_s(self) -> float | None:
        return sum(self.paces_per_s) / len(self.paces_per_s) if self.paces_per_s else None

    @property
    def shown(self) -> str:
        """'5.4.0', or '1a2b3c4d5e Read the model once'."""
        return f"{self.version} {self.about}".strip()


def judged(version: str, records: Sequence[TrialRecord], folder: Path) -> Measured:
    """Of the trials of one cell, in a run's folder."""
    worst = summary.gravest(records)
    found = [figures.of(record, folder) for record in records if record.outcome in ANSWERED]
    paces = tuple(one.throughput_per_s for one in found if one is not None and one.throughput_per_s)
    return Measured(
        version=version, outcome=None if worst.outcome in NOT_JUDGED else worst.outcome, reason=worst.reason,
        ended=tuple(one.outcome for one in records if one.outcome not in NOT_JUDGED), paces_per_s=paces,
        evidence=str(folder / worst.ended.evidence) if worst.ended.evidence else "",
    )  # fmt: skip
