"""What changed from one run to the other, cell by cell. Pure.

How trials ended is the first thing to read, see `outcomes`. Figures are compared only between trials that ended ok, by the
rule of `harness.certainty.comparison`, corrected for all figures that are compared at once; if that cannot decide, or one run
alone was made on a noisy machine, the reason says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.certainty import comparison, intervals
from harness.certainty.comparison import Comparison, ComparisonWord
from harness.decide.compare import outcomes
from harness.decide.compare.outcomes import OutcomeChange
from harness.decide.compare.sides import Side, machines_differ
from harness.measure import doubts
from harness.records.outcomes import ANSWERED, GRAVITY
from harness.records.record import TrialRecord
from harness.records.sections import Figures

BY_OTHERS = frozenset({"others", "stolen", "frequency", "CPU unknown"})
NOISE = BY_OTHERS | {"swap"}  # doubts about the machine
Trials = tuple[Sequence[TrialRecord], Sequence[TrialRecord]]  # of the first run, and of the second


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
    """`outcomes` the gravest first; `unshown`: trials ended otherwise, and no change is shown by that; `differences` all
    comparisons that were made; cells that only one run has by name."""

    outcomes: tuple[OutcomeChange, ...]
    differences: tuple[Difference, ...]
    compared: int  # cells
    gone: tuple[str, ...]
    new: tuple[str, ...]
    unshown: tuple[OutcomeChange, ...] = ()

    @property
    def claimed(self) -> list[OutcomeChange]:
        """The outcomes that are shown to have changed."""
        return [one for one in self.outcomes if one.worse is not None]

    def words(self, word: ComparisonWord) -> list[Difference]:
        """Of this word; what got worse before what got better, and the larger first."""
        chosen = [one for one in self.differences if one.found.word is word]
        return sorted(chosen, key=lambda one: (not one.worse, -_size(one.found)))


def compare(first: Side, second: Side, *, factors: Mapping[str, float] | None = None) -> Changes:
    """`factors`: from which ratio on a metric differs, where that is not the usual one."""
    both = {cell: (first.cells[cell], second.cells[cell]) for cell in first.cells if cell in second.cells}
    listed, unshown = _outcomes(both)
    return Changes(
        outcomes=tuple(sorted(listed, key=_loudness)),
        unshown=tuple(unshown),
        differences=tuple(_differences(first, second, both, factors or {})),
        compared=len(both),
        gone=tuple(cell for cell in first.cells if cell not in second.cells),
        new=tuple(cell for cell in second.cells if cell not in first.cells),
    )


def _outcomes(both: Mapping[str, Trials]) -> tuple[list[OutcomeChange], list[OutcomeChange]]:
    """(what is told as a change, or as nothing that can be said; what shows no change)."""
    ended = [outcomes.endings(*([one.outcome for one in side] for side in sides)) for sides in both.values()]
    listed, unshown = list[OutcomeChange](), list[OutcomeChange]()
    for (cell, (here, there)), found in zip(both.items(), outcomes.together(ended), strict=True):
        if change := outcomes.change(cell, here, there, found):
            (listed if outcomes.is_listed(change, found) else unshown).append(change)
    return listed, unshown


def _differences(first: Side, second: Side, both: Mapping[str, Trials], factors: Mapping[str, float]) -> Iterable[Difference]:
    """Every figure of the cells that have any, corrected for their number."""
    elsewhere = machines_differ(first, second)
    pairs = [
        (cell, metric, (first, here), (second, there))
        for cell, (here, there) in both.items()
        if any(record.outcome in ANSWERED for record in (*here, *there))
        for metric in METRICS.values()
    ]
    found = [_compared(metric, here, there, elsewhere, factors) for _, metric, here, there in pairs]
    for (cell, metric, here, there), one in zip(pairs, comparison.together(found), strict=True):
        before, after = values(metric, *here), values(metric, *there)
        told = one if elsewhere or not (before and after) else _with_noise(metric, one, here[1], there[1])
        yield Difference(cell=cell, metric=metric, found=told, before=intervals.middle(before), after=intervals.middle(after))


def _loudness(change: OutcomeChange) -> tuple[int, int, int]:
    """Worse ones first, among them from ok to hung; then better ones; then what cannot be said."""
    group = {True: 0, False: 1, None: 2}[change.worse]
    return group, GRAVITY.index(change.after), -GRAVITY.index(change.before)


def _compared(
    metric: Metric,
    here: tuple[Side, Sequence[TrialRecord]],
    there: tuple[Side, Sequence[TrialRecord]],
    elsewhere: str,
    factors: Mapping[str, float],
) -> Comparison:
    before, after = values(metric, *here), values(metric, *there)
    if elsewhere:
        return Comparison(word=ComparisonWord.CANNOT_SAY, reason=f"another machine: {elsewhere}")
    if not before or not after:
        which = " and ".join(name for name, one in (("first", before), ("second", after)) if not one)
        reason = f"no such figure in the {which} run: {_why(metric, here, there)}"
        return Comparison(word=ComparisonWord.CANNOT_SAY, reason=reason)
    return comparison.compare(before, after, factor=factors.get(metric.name, comparison.FACTOR))


def _with_noise(metric: Metric, found: Comparison, here: Sequence[TrialRecord], there: Sequence[TrialRecord]) -> Comparison:
    """What the machine did to the trials, where that may be why a figure differs or cannot be told."""
    if found.word is ComparisonWord.CANNOT_SAY and (noisy := _noise([*here, *there])):
        return replace(found, reason=f"{found.reason}; the machine was noisy: {noisy}")
    if found.word is ComparisonWord.DIFFER and metric.name != "memory" and (noisy := _noisy_alone(here, there)):
        return replace(found, word=ComparisonWord.CANNOT_SAY, reason=f"too noisy: {noisy}, and in none of the other run")
    return found


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
            said.append("too few requests support it" if ok else f"its trials ended {outcomes.counts(trials)}")
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
