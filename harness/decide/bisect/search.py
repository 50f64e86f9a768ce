"""Find the release of a package at which a cell's outcome or pace changed, by halving. Each release gets a variant of the
cell's environment (`environments.variants`) and a run of its own; what was measured before is not measured again.

Where the ends are shown to end otherwise (`compare.outcomes`: by counts of trials, never by one trial), a release *is like* an
end whose counts its own are not shown to differ from. Else it is like an end if neither its outcomes nor its pace
(`comparison`) are shown to differ. One that cannot be had, or that is like neither end or both, is passed over, and the answer
names the gap that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.certainty import comparison
from harness.certainty.comparison import ComparisonWord
from harness.decide.compare import outcomes, sides
from harness.environments import name_of, normal
from harness.errors import BadInput, HarnessError, Interrupted
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import Cell
from harness.measure import figures
from harness.records.evidence import linked
from harness.records.outcomes import ANSWERED, NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import workflow
from harness.run.experiment_source import RunOrder
from harness.summary import summary
from harness.texts import escaped


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one release did. `outcome` is the gravest of its trials, None where it could not be measured (`reason`); `ended`:
    how each trial that was judged ended."""

    version: str
    outcome: Outcome | None
    reason: str
    ended: tuple[Outcome, ...] = ()
    paces_per_s: tuple[float, ...] = ()
    evidence: str = ""

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


@dataclass(frozen=True, kw_only=True)
class BisectAnswer:
    """`last_good` and `first_bad` enclose the change; releases between them, if any, could not be told."""

    last_good: Measured
    first_bad: Measured
    between: tuple[str, ...]
    measured: tuple[Measured, ...]
    what: str


def search(versions: Sequence[str], measure: Callable[[str], Measured]) -> BisectAnswer:
    """Halve `versions`, ordered from good to bad. Raises BadInput where the ends do not differ or cannot be measured."""
    known = {versions[0]: measure(versions[0]), versions[-1]: measure(versions[-1])}
    good, bad = known[versions[0]], known[versions[-1]]
    for end in (good, bad):
        if end.outcome is None or end.outcome in NOT_JUDGED:
            raise BadInput(f"{end.version} could not be measured: {end.reason}", remedy="name another release as this end")
    if bad.like(good):
        raise BadInput(
            f"{good.version} and {bad.version} do not differ, as far as the trials show: {outcomes.tally(good.ended)} and "
            f"{outcomes.tally(bad.ended)}; pace: {bad.difference(good).reason}",
            remedy="more trials (--repeat 5) tell smaller differences; or name other releases",
        )
    low, high = 0, len(versions) - 1
    while (middle := _next(versions, low, high, known)) is not None:
        found = known[versions[middle]] = measure(versions[middle])
        is_good, is_bad = _like(found, good, bad)
        if is_good and not is_bad:
            low = middle
        elif is_bad and not is_good:
            high = middle
    measured = tuple(known[version] for version in versions if version in known)
    return BisectAnswer(
        last_good=known[versions[low]], first_bad=known[versions[high]], between=tuple(versions[low + 1 : high]),
        measured=measured, what=_what(good, bad),
    )  # fmt: skip


def _like(found: Measured, good: Measured, bad: Measured) -> tuple[bool, bool]:
    """Whether a release is like the good end, and whether it is like the bad one."""
    if found.outcome is None:
        return False, False
    if not good.ends_like(bad):
        return found.ends_like(good), found.ends_like(bad)
    return found.like(good), found.like(bad)


def _next(versions: Sequence[str], low: int, high: int, known: dict[str, Measured]) -> int | None:
    """The release nearest to the middle that has not been measured."""
    middle = (low + high) / 2
    open_ = [place for place in range(low + 1, high) if versions[place] not in known]
    return min(open_, key=lambda place: abs(place - middle), default=None)


def _what(good: Measured, bad: Measured) -> str:
    if not good.ends_like(bad):
        words = f"outcome {good.outcome} -> {bad.outcome}" if good.outcome is not bad.outcome else f"how often {bad.outcome}"
        return f"{words} ({outcomes.tally(good.ended)} -> {outcomes.tally(bad.ended)})"
    return f"pace, {bad.difference(good).reason}"


@dataclass(frozen=True, kw_only=True)
class BisectOrder:
    """`cell` on releases of `package`; runs lie in `folder`, one folder a release."""

    experiment: Experiment
    cell: Cell
    package: str
    folder: Path

    def folder_of(self, version: str) -> Path:
        return self.folder / f"{self.package}-{version}"


def also_changed(order: BisectOrder, answer: BisectAnswer) -> list[str]:
    """What else is installed otherwise in the release after the change, a line an environment: it may be to blame, too."""
    sides_ = [sides.read(order.folder_of(one.version)) for one in (answer.last_good, answer.first_bad)]
    return sides.versions_differ(*sides_, but=normal(order.package))


def measured(order: BisectOrder, version: str, screen: workflow.Screen) -> Measured:
    """Run the cell with one release."""
    environment = name_of(order.cell.venv, order.package, version)
    cell = replace(order.cell, environment=environment)
    folder = order.folder_of(version)
    run = RunOrder(experiment=order.experiment, cells=[cell], folder=folder, retry=frozenset({Outcome.INVALID}))
    try:
        workflow.run(run, screen)
    except (BadInput, Interrupted):
        raise
    except HarnessError as error:  # this release does not install, or does not import: another one may
        return Measured(version=version, outcome=None, reason=str(error))
    return judged(version, [record for record in RunFolder(folder).current().values() if record.cell_id == cell.id], folder)


def judged(version: str, records: Sequence[TrialRecord], folder: Path) -> Measured:
    worst = summary.gravest(records)
    found = [figures.of(record, folder) for record in records if record.outcome in ANSWERED]
    paces = tuple(one.throughput_per_s for one in found if one is not None and one.throughput_per_s)
    return Measured(
        version=version, outcome=None if worst.outcome in NOT_JUDGED else worst.outcome, reason=worst.reason,
        ended=tuple(one.outcome for one in records if one.outcome not in NOT_JUDGED), paces_per_s=paces,
        evidence=str(folder / worst.ended.evidence) if worst.ended.evidence else "",
    )  # fmt: skip


def page(order: BisectOrder, answer: BisectAnswer, also: Sequence[str] = ()) -> str:
    """The answer as Markdown, links relative to the order's folder; `also`: see `also_changed`."""
    good, bad = answer.last_good, answer.first_bad
    lines = [
        f"# `{order.cell.id}` over releases of {order.package}",
        "",
        f"**The change came between {good.version} and {bad.version}**: {answer.what}."
        + (f" Could not be told: {', '.join(answer.between)}." if answer.between else ""),
        *(f"\nAlso changed between them, and perhaps to blame: {escaped(line)}." for line in also),
        "",
        "| release | outcome | requests/s | reason | evidence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in answer.measured:
        pace = f"{one.pace_per_s:.1f}" if one.pace_per_s else ""
        evidence = one.evidence.removeprefix(f"{order.folder}/")
        folder = order.folder_of(one.version)
        link = linked(evidence) if evidence else f"[records]({folder.name}/{RunFolder(folder).records_name})"
        lines.append(f"| {one.version} | {one.outcome or 'not measured'} | {pace} | {escaped(one.reason)} | {link} |")
    return "\n".join(lines) + "\n"
