"""When a comparison fails a check: `--fail-on outcome,throughput:5%`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.certainty.comparison import FACTOR, ComparisonWord
from harness.decide.compare import outcomes
from harness.decide.compare.changes import METRICS, Changes
from harness.decide.compare.outcomes import OutcomeChange
from harness.errors import BadInput
from harness.records.outcomes import Outcome

OUTCOME = "outcome"
LIMIT = re.compile(r"(?P<name>[a-z0-9]+)(:(?P<percent>\d+(\.\d+)?)%?)?")
MOST_PERCENT = 99.0


@dataclass(frozen=True, kw_only=True)
class Gate:
    """`outcome`: whether a worse outcome fails; `percents`: by how much a metric may get worse."""

    outcome: bool = False
    percents: Mapping[str, float] | None = None

    @property
    def factors(self) -> dict[str, float]:
        """The ratio from which on each metric differs, for `changes.compare`."""
        return {name: _factor(name, percent) for name, percent in (self.percents or {}).items()}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """`failures`: a line for each thing that fails the check. `warnings`: what the check asked for and cannot know."""

    failures: tuple[str, ...]
    warnings: tuple[str, ...]


def parse(text: str) -> Gate:
    """What the option says; '' is a gate that lets all pass. Raises BadInput.

    >>> parse("outcome,throughput:5%,p95:10%")
    Gate(outcome=True, percents={'throughput': 5.0, 'p95': 10.0})
    """
    outcome, percents = False, dict[str, float]()
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = LIMIT.fullmatch(part)
        if part == OUTCOME:
            outcome = True
        elif found is None or found["name"] not in METRICS:
            raise BadInput(f"--fail-on: {part!r} is no limit", remedy=f"such as outcome,throughput:5%; of {', '.join(METRICS)}")
        else:
            percents[found["name"]] = float(found["percent"] or (FACTOR - 1) * 100)
    for name, percent in percents.items():
        if not 0 < percent <= MOST_PERCENT:
            raise BadInput(f"--fail-on: {name} by {percent:g} %", remedy=f"more than 0, and {MOST_PERCENT:g} % at the most")
    return Gate(outcome=outcome, percents=percents)


def judge(gate: Gate, changes: Changes) -> Judgement:
    """Whether the check fails, and what it could not see."""
    failures, warnings = list[str](), list[str]()
    if gate.outcome:
        failures += [f"{change.cell}: {_told(change)}" for change in changes.outcomes if change.worse]
        failures += [f"{cell}: not in the second run" for cell in changes.gone]
        failures += [
            f"{change.cell}: {change.counts}: not measured any more ({change.reason})"
            for change in changes.outcomes
            if change.after is Outcome.SKIPPED
        ]
        warnings += [
            f"outcome of {change.cell}: {_unsaid(change)}, so it cannot fail the check"
            for change in (*changes.outcomes, *filter(outcomes.graver, changes.unshown))
            if change.worse is None and change.after is not Outcome.SKIPPED
        ]
    for name, percent in (gate.percents or {}).items():
        mine = [one for one in changes.differences if one.metric.name == name]
        failures += [
            f"{one.cell}: {one.metric.title} worse by more than {percent:g} % ({one.found.reason})" for one in mine if one.worse
        ]
        unknown = sum(one.found.word is ComparisonWord.CANNOT_SAY for one in mine)
        if unknown:
            warnings.append(f"{name}: for {unknown} of {len(mine)} cells nothing can be said, so they cannot fail the check")
        if not mine:
            warnings.append(f"{name}: no cell has this figure in both runs, so it cannot fail the check")
    return Judgement(failures=tuple(failures), warnings=tuple(warnings))


def _told(change: OutcomeChange) -> str:
    """'ok -> hung' with what that rests on, or how often it hung before and after."""
    return f"{change.before} -> {change.after} ({change.basis})" if change.before is not change.after else change.counts


def _unsaid(change: OutcomeChange) -> str:
    return change.basis or f"{change.counts} ({change.reason}); that says nothing"


def _factor(name: str, percent: float) -> float:
    """Throughput falls by 5 % to 0.95 of itself; a cost rises by 5 % to 1.05 of itself."""
    share = percent / 100
    return 1 / (1 - share) if METRICS[name].more_is_better else 1 + share


def lines(found: Sequence[str], most: int = 20) -> list[str]:
    """At most so many, and how many more there are."""
    return [*found[:most], *([f"... and {len(found) - most} more"] if len(found) > most else [])]
