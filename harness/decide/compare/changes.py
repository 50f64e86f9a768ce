"""What changed from one run to the other, cell by cell. Pure.

An outcome is compared as the gravest of a cell's judged trials, and a change of it is the first thing to read; so is a hang
rate that is another one by its exact intervals. Figures are compared only between trials that ended ok, by the rule of
`harness.certainty.comparison`; where that cannot decide, or one run alone was made on a noisy machine, the reason says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.certainty import comparison, intervals
from harness.certainty.comparison import Comparison, ComparisonWord
from harness.decide.compare.sides import Side, machines_differ
from harness.measure import doubts
from harness.records.outcomes import ANSWERED, NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.records.sections import Figures
from harness.summary.hang_rate import hang_rate
from harness.summary.summary import GRAVITY, gravest

BY_OTHERS = frozenset({"others", "stolen", "frequency"})
NOISE = BY_OTHERS | {"swap"}  # doubts about the machine


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure of a trial; `more_is_better` tells which way is worse."""

    name: str
    title: str
    unit: str
    scale: float
    more_is_better: bool
    read: Callable[[TrialRecord, Figures], float | None]


def _cpu(record: TrialRecord, _: Figures) -> float | None:
    return record.cpu.use.worker_tree / record.cpu.use.requests if record.cpu.use and record.cpu.use.requests else None


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="throughput", title="throughput", unit="/s", scale=1.0, more_is_better=True,
            read=lambda _, known: known.throughput_per_s,
        ),
        Metric(
            name="p50", title="median latency", unit=" ms", scale=1e3, more_is_better=False,
            read=lambda _, known: known.latency_s.get("p50"),
        ),
        Metric(
            name="p95", title="95th percentile of latency", unit=" ms", scale=1e3, more_is_better=False,
            read=lambda _, known: known.latency_s.get("p95"),
        ),
        Metric(name="cpu", title="CPU a request", unit=" ms", scale=1e3, more_is_better=False, read=_cpu),
        Metric(
            name="memory", title="peak memory", unit=" MiB", scale=1 / 2**20, more_is_better=False,
            read=lambda record, _: record.memory.peak_pss_bytes,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OutcomeChange:
    """`worse`: the new outcome is graver, or the same and more frequent; None where one of them says nothing of the cell
    (skipped, invalid)."""

    cell: str
    before: Outcome
    after: Outcome
    worse: bool | None
    counts: str  # of trials, 'ok 5 -> ok 4, hung 1'
    reason: str  # of the later one
    evidence: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure of one cell in both runs. `worse`: by the way in which the metric is better; None unless they differ."""

    cell: str
    metric: Metric
    found: Comparison
    before: float | None = None  # geometric means over trials
    after: float | None = None

    @property
    def worse(self) -> bool | None:
        if self.found.word is not ComparisonWord.DIFFER or self.found.ratio is None:
            return None
        return (self.found.ratio < 1) is self.metric.more_is_better


@dataclass(frozen=True, kw_only=True)
class Changes:
    """`outcomes` the gravest first, `differences` all comparisons that were made; cells that only one run has by name."""

    outcomes: tuple[OutcomeChange, ...]
    differences: tuple[Difference, ...]
    compared: int  # cells
    gone: tuple[str, ...]
    new: tuple[str, ...]

    def words(self, word: ComparisonWord) -> list[Difference]:
        """Of this word; what got worse before what got better, and the larger first."""
        chosen = [one for one in self.differences if one.found.word is word]
        return sorted(chosen, key=lambda one: (not one.worse, -_size(one.found)))


def compare(first: Side, second: Side, *, factors: Mapping[str, float] | None = None) -> Changes:
    """`factors`: from which ratio on a metric differs, where that is not the usual one."""
    both = [cell for cell in first.cells if cell in second.cells]
    elsewhere = machines_differ(first, second)
    outcomes, differences = list[OutcomeChange](), list[Difference]()
    for cell in both:
        here, there = first.cells[cell], second.cells[cell]
        if change := _outcome(cell, here, there):
            outcomes.append(change)
        if any(record.outcome in ANSWERED for record in (*here, *there)):
            sides = ((first, here), (second, there))
            differences += [_difference(cell, metric, *sides, elsewhere, factors or {}) for metric in METRICS.values()]
    return Changes(
        outcomes=tuple(sorted(outcomes, key=_loudness)),
        differences=tuple(differences),
        compared=len(both),
        gone=tuple(cell for cell in first.cells if cell not in second.cells),
        new=tuple(cell for cell in second.cells if cell not in first.cells),
    )


def counts(trials: Sequence[TrialRecord]) -> str:
    """'ok 4, hung 1', the gravest last."""
    ended = [record.outcome for record in trials]
    return ", ".join(f"{outcome} {ended.count(outcome)}" for outcome in reversed(GRAVITY) if outcome in ended)


def _outcome(cell: str, here: Sequence[TrialRecord], there: Sequence[TrialRecord]) -> OutcomeChange | None:
    before, after = gravest(here), gravest(there)
    worse = _hangs_more(here, there) if before.outcome is after.outcome else _graver(before.outcome, after.outcome)
    if before.outcome is after.outcome and worse is None:
        return None
    return OutcomeChange(
        cell=cell,
        before=before.outcome,
        after=after.outcome,
        worse=worse,
        counts=f"{counts(here)} -> {counts(there)}",
        reason=after.reason,
        evidence=after.ended.evidence,
    )


def _graver(before: Outcome, after: Outcome) -> bool | None:
    if {before, after} & NOT_JUDGED:
        return None
    return GRAVITY.index(after) < GRAVITY.index(before)


def _hangs_more(here: Sequence[TrialRecord], there: Sequence[TrialRecord]) -> bool | None:
    """Whether fresh workers hang more often, by the exact intervals of the rates; None where these overlap."""
    before, after = hang_rate(here), hang_rate(there)
    if before is None or after is None:
        return None
    (low, high), (later_low, later_high) = before.interval, after.interval
    return True if later_low > high else False if later_high < low else None


def _loudness(change: OutcomeChange) -> tuple[int, int, int]:
    """Worse ones first, among them from ok to hung; then better ones; then what cannot be said."""
    group = {True: 0, False: 1, None: 2}[change.worse]
    return group, GRAVITY.index(change.after), -GRAVITY.index(change.before)


def _difference(
    cell: str,
    metric: Metric,
    here: tuple[Side, Sequence[TrialRecord]],
    there: tuple[Side, Sequence[TrialRecord]],
    elsewhere: str,
    factors: Mapping[str, float],
) -> Difference:
    before, after = values(metric, *here), values(metric, *there)
    if elsewhere:
        found = Comparison(word=ComparisonWord.CANNOT_SAY, reason=f"another machine: {elsewhere}")
    elif not before or not after:
        which = " and ".join(name for name, one in (("first", before), ("second", after)) if not one)
        found = Comparison(
            word=ComparisonWord.CANNOT_SAY, reason=f"no such figure in the {which} run: {_why(metric, here, there)}"
        )
    else:
        found = comparison.compare(before, after, factor=factors.get(metric.name, comparison.FACTOR))
        if found.word is ComparisonWord.CANNOT_SAY and (noisy := _noise([*here[1], *there[1]])):
            found = replace(found, reason=f"{found.reason}; the machine was noisy: {noisy}")
        elif found.word is ComparisonWord.DIFFER and metric.name != "memory" and (noisy := _noisy_alone(here[1], there[1])):
            found = replace(found, word=ComparisonWord.CANNOT_SAY, reason=f"too noisy: {noisy}, and in none of the other run")
    return Difference(cell=cell, metric=metric, found=found, before=intervals.middle(before), after=intervals.middle(after))


def values(metric: Metric, side: Side, trials: Sequence[TrialRecord]) -> list[float]:
    """The figure of each trial that ended ok and has it."""
    known = [(record, side.of(record)) for record in trials if record.outcome in ANSWERED]
    found = [metric.read(record, figures) for record, figures in known if figures is not None]
    return [value for value in found if value is not None]


def _why(metric: Metric, *sides: tuple[Side, Sequence[TrialRecord]]) -> str:
    """Why a run has no such figure: its trials did not end ok, or too few requests support it."""
    said = []
    for side, trials in sides:
        if not values(metric, side, trials):
            ok = any(record.outcome in ANSWERED for record in trials)
            said.append("too few requests support it" if ok else f"its trials ended {counts(trials)}")
    return "; ".join(dict.fromkeys(said))


def _noise(trials: Sequence[TrialRecord], kinds: frozenset[str] = NOISE) -> str:
    """The doubts about the machine, each name with the number of trials that have it."""
    names = [name for record in trials for name, _ in doubts.parts(doubts.text(record.certainty.doubts)) if name in kinds]
    return ", ".join(f"{name} in {names.count(name)} of {len(trials)} trials" for name in dict.fromkeys(names))


def _noisy_alone(here: Sequence[TrialRecord], there: Sequence[TrialRecord]) -> str:
    """What others did to most trials of one run and to none of the other; '' where both met the same machine.

    Swapping is left out: a change that needs more memory may be its cause.
    """
    first, second = (sum(bool(_noise([record], BY_OTHERS)) for record in trials) for trials in (here, there))
    for which, trials, noisy, others in (("first", here, first, second), ("second", there, second, first)):
        if not others and 2 * noisy > len(trials):
            return f"{_noise(trials, BY_OTHERS)} of the {which} run"
    return ""


def _size(found: Comparison) -> float:
    return max(found.ratio, 1 / found.ratio) if found.ratio else 0.0
