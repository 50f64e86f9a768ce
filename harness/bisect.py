"""Find the release of a package at which a cell's outcome or pace changed, by halving. Each release gets a variant of the
cell's environment (`environments.variants`) and a run of its own; what was measured before is not measured again.

A release *is like* one end if its outcome is the same and its pace is not shown to differ (`comparison`). One that cannot
be had, or that is like neither end, is passed over, and the answer names the gap that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import comparison, figures, summary, workflow
from harness.comparison import Word
from harness.environments import name_of
from harness.errors import BadInput, HarnessError, Interrupted
from harness.experiment import Experiment
from harness.matrix import Cell
from harness.outcome import Outcome
from harness.record import TrialRecord
from harness.store import RunFolder

UNUSABLE = frozenset({Outcome.SKIPPED, Outcome.INVALID})


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one release did. `outcome` is the gravest of its trials, None where it could not be measured (`reason`)."""

    version: str
    outcome: Outcome | None
    reason: str
    paces_per_s: tuple[float, ...] = ()
    evidence: str = ""

    def like(self, other: Measured) -> bool:
        return self.outcome is other.outcome and self.difference(other).word is not Word.DIFFER

    def difference(self, other: Measured) -> comparison.Comparison:
        return comparison.compare(other.paces_per_s, self.paces_per_s)

    @property
    def pace_per_s(self) -> float | None:
        return sum(self.paces_per_s) / len(self.paces_per_s) if self.paces_per_s else None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`last_good` and `first_bad` enclose the change; releases between them, if any, could not be told."""

    last_good: Measured
    first_bad: Measured
    between: tuple[str, ...]
    measured: tuple[Measured, ...]
    what: str


def search(versions: Sequence[str], measure: Callable[[str], Measured]) -> Answer:
    """Halve `versions`, ordered from good to bad. Raises BadInput where the ends do not differ or cannot be measured."""
    known = {versions[0]: measure(versions[0]), versions[-1]: measure(versions[-1])}
    good, bad = known[versions[0]], known[versions[-1]]
    for end in (good, bad):
        if end.outcome is None or end.outcome in UNUSABLE:
            raise BadInput(f"{end.version} could not be measured: {end.reason}", remedy="name another release as this end")
    if bad.like(good):
        raise BadInput(
            f"{good.version} and {bad.version} do not differ: both {good.outcome}; pace: {bad.difference(good).reason}",
            remedy="more trials (--repeat 5) tell smaller differences; or name other releases",
        )
    low, high = 0, len(versions) - 1
    while (middle := _next(versions, low, high, known)) is not None:
        found = known[versions[middle]] = measure(versions[middle])
        if found.like(good):
            low = middle
        elif found.like(bad):
            high = middle
    measured = tuple(known[version] for version in versions if version in known)
    return Answer(
        last_good=known[versions[low]], first_bad=known[versions[high]], between=tuple(versions[low + 1 : high]),
        measured=measured, what=_what(good, bad),
    )  # fmt: skip


def _next(versions: Sequence[str], low: int, high: int, known: dict[str, Measured]) -> int | None:
    """The release nearest to the middle that has not been measured."""
    middle = (low + high) / 2
    open_ = [place for place in range(low + 1, high) if versions[place] not in known]
    return min(open_, key=lambda place: abs(place - middle), default=None)


def _what(good: Measured, bad: Measured) -> str:
    if good.outcome is not bad.outcome:
        return f"outcome {good.outcome} -> {bad.outcome}"
    return f"pace, {bad.difference(good).reason}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """`cell` on releases of `package`; runs lie in `folder`, one folder a release."""

    experiment: Experiment
    cell: Cell
    package: str
    folder: Path


def measured(order: Order, version: str, screen: workflow.Screen) -> Measured:
    """Run the cell with one release."""
    environment = name_of(order.cell.venv, order.package, version)
    cell = replace(order.cell, environment=environment)
    folder = order.folder / f"{order.package}-{version}"
    run = workflow.Order(experiment=order.experiment, cells=[cell], folder=folder, retry=frozenset({Outcome.INVALID}))
    try:
        workflow.run(run, screen)
    except (BadInput, Interrupted):
        raise
    except HarnessError as error:  # this release does not install, or does not import: another one may
        return Measured(version=version, outcome=None, reason=str(error))
    return judged(version, [record for record in RunFolder(folder).current().values() if record.cell_id == cell.id], folder)


def judged(version: str, records: Sequence[TrialRecord], folder: Path) -> Measured:
    gravest = min(records, key=lambda record: summary.GRAVITY.index(record.outcome))
    found = [figures.of(record, folder) for record in records if record.outcome is Outcome.OK]
    paces = tuple(one.throughput_per_s for one in found if one is not None and one.throughput_per_s)
    return Measured(
        version=version, outcome=None if gravest.outcome in UNUSABLE else gravest.outcome, reason=gravest.reason,
        paces_per_s=paces, evidence=str(folder / gravest.evidence) if gravest.evidence else "",
    )  # fmt: skip


def page(order: Order, answer: Answer) -> str:
    """The answer as Markdown, links relative to the order's folder."""
    good, bad = answer.last_good, answer.first_bad
    lines = [
        f"# `{order.cell.id}` over releases of {order.package}",
        "",
        f"**The change came between {good.version} and {bad.version}**: {answer.what}."
        + (f" Could not be told: {', '.join(answer.between)}." if answer.between else ""),
        "",
        "| release | outcome | requests/s | reason | evidence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in answer.measured:
        pace = f"{one.pace_per_s:.1f}" if one.pace_per_s else ""
        evidence = one.evidence.removeprefix(f"{order.folder}/")
        link = f"[{Path(evidence).name}]({evidence})" if evidence else f"[records]({order.package}-{one.version}/trials.jsonl)"
        lines.append(f"| {one.version} | {one.outcome or 'not measured'} | {pace} | {one.reason.replace('|', ' ')} | {link} |")
    return "\n".join(lines) + "\n"
