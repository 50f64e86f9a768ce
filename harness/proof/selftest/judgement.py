"""What was judged beside what was injected. Pure functions over records: misses, wrong causes, times to verdict, thresholds."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.measure import doubts, silent
from harness.proof.selftest.entry import NOT_GREEN, Case, Entry
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord

#: Outcomes whose records name a cause.
WITH_CAUSE = (Outcome.HUNG, Outcome.STALLED, Outcome.CRASHED, Outcome.RESPAWNING)
MEDIAN_LIMIT_S = 3.0  # from a deadlock to its verdict, over all trials of all deadlocks
MAXIMUM_LIMIT_S = 10.0
ENOUGH_HANGS = 100
UNPROVED_LIMIT = 0.1  # of the trials of true hangs


class Mark(StrEnum):
    """How a judgement compares with what was injected."""

    RIGHT = "right"
    MISSED = "missed"  # the outcome is not true
    MISCOUNTED = "miscounted"  # the outcome is, but not how many executors hang, whether answers came twice, or a doubt
    WRONG_CAUSE = "wrong cause"
    NOT_RUN = "not run"  # skipped, with its reason


def mark(entry: Entry, record: TrialRecord) -> Mark:
    """What this record's judgement is worth."""
    if record.outcome is Outcome.SKIPPED:
        return Mark.NOT_RUN
    pool = record.asked.cell["pool"]
    if record.outcome not in entry.true_in(pool) or _proof_missed(entry, pool, record.outcome):
        return Mark.MISSED
    counted = (record.ended.executors_hung, record.ended.executors)
    if entry.hung and record.outcome is Outcome.HUNG and pool in entry.counted_in and counted != entry.hung:
        return Mark.MISCOUNTED
    if unnoticed(record) - {entry.doubt} or (entry.doubt and entry.doubt not in unnoticed(record)):
        return Mark.MISCOUNTED
    if entry.duplicates and not record.answers.duplicates:
        return Mark.MISCOUNTED
    names_one = record.outcome in WITH_CAUSE or record.ended.cause  # what only waits has a cause now and then
    named = entry.named_in(pool)
    if named and names_one and record.ended.cause != named:
        return Mark.WRONG_CAUSE
    return Mark.RIGHT


def unnoticed(record: TrialRecord) -> set[str]:
    """The faults without a trace in the answers that the record names."""
    return {name for text in record.certainty.doubts for name, _ in doubts.parts(text) if name in silent.NAMES}


def _proof_missed(entry: Entry, pool: str, outcome: Outcome) -> bool:
    """Whether a hang that the kernel proves was left at `waiting`."""
    return entry.provable and pool in NOT_GREEN and outcome is Outcome.WAITING


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One trial of the self-test; `record` is None where there is none (its run broke off)."""

    case: Case
    trial: int
    record: TrialRecord | None

    @property
    def mark(self) -> Mark:
        return mark(self.case.entry, self.record) if self.record else Mark.MISSED

    @property
    def outcome(self) -> str:
        return self.record.outcome.value if self.record else "no record"

    @property
    def false_hung(self) -> bool:
        return self.case.entry.slow and self.outcome == Outcome.HUNG.value

    @property
    def withdrew(self) -> bool:
        return bool(self.record and self.record.ended.withdrawn)

    @property
    def verdict_s(self) -> float | None:
        """From the last progress of what hangs to the verdict, where that is what is to be judged."""
        hangs = Outcome.HUNG in self.case.entry.true_in(self.case.pool) and self.outcome == Outcome.HUNG.value
        return self.record.ended.verdict_after_s if self.record and hangs else None

    @property
    def true_hang(self) -> bool:
        """A trial that was run, and that hangs."""
        return self.case.entry.hangs_in(self.case.pool) and self.mark is not Mark.NOT_RUN


@dataclass(frozen=True, kw_only=True)
class Line:
    """All trials of one fault, in one pool or in all: `outcomes` counts what was judged, `marks` what that is worth."""

    name: str
    pool: str
    accepted: str
    outcomes: Mapping[str, int]
    marks: Mapping[Mark, int]
    median_s: float | None
    max_s: float | None

    @property
    def trials(self) -> int:
        return sum(self.outcomes.values()) - self.marks.get(Mark.NOT_RUN, 0)

    @property
    def missed(self) -> int:
        return self.marks.get(Mark.MISSED, 0) + self.marks.get(Mark.MISCOUNTED, 0)

    @property
    def wrong_cause(self) -> int:
        return self.marks.get(Mark.WRONG_CAUSE, 0)


def lines(judged: Iterable[Judged], *, by_pool: bool) -> list[Line]:
    """The confusion matrix: a line for each fault, or for each fault in each pool."""
    groups: dict[tuple[str, str], list[Judged]] = {}
    for one in judged:
        groups.setdefault((one.case.entry.name, one.case.pool if by_pool else "all"), []).append(one)
    return [_line(name, pool, group) for (name, pool), group in groups.items()]


def _line(name: str, pool: str, group: Sequence[Judged]) -> Line:
    times = [one.verdict_s for one in group if one.verdict_s is not None]
    return Line(
        name=name,
        pool=pool,
        accepted=" or ".join(sorted({outcome.value for one in group for outcome in one.case.entry.true_in(one.case.pool)})),
        outcomes=Counter(one.outcome for one in group),
        marks=Counter(one.mark for one in group),
        median_s=statistics.median(times) if times else None,
        max_s=max(times, default=None),
    )


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A promise, and the figure that keeps or breaks it; `of_time`: it depends on how fast the machine is."""

    text: str
    figure: float | None
    limit: float
    unit: str = ""
    of_time: bool = False

    @property
    def kept(self) -> bool:
        return self.figure is None or self.figure <= self.limit


def thresholds(judged: Sequence[Judged]) -> list[Threshold]:
    """What the self-test promises; a figure is None where no trial of it was run."""
    marks = Counter(one.mark for one in judged)
    waits = [one.verdict_s for one in judged if one.case.entry.deadlock and one.verdict_s is not None]
    return [
        Threshold(text="misjudged", figure=marks[Mark.MISSED] + marks[Mark.MISCOUNTED], limit=0),
        Threshold(text="right outcome, wrong cause", figure=marks[Mark.WRONG_CAUSE], limit=0),
        Threshold(text="called hung though it ends by itself", figure=sum(one.false_hung for one in judged), limit=0),
        Threshold(text="true hangs that are only `waiting`", figure=unproved(judged), limit=UNPROVED_LIMIT),
        Threshold(text="trials in which a proof was withdrawn", figure=sum(one.withdrew for one in judged), limit=0),
        Threshold(
            text="from deadlock to verdict, median", figure=statistics.median(waits) if waits else None,
            limit=MEDIAN_LIMIT_S, unit="s", of_time=True,
        ),
        Threshold(
            text="from deadlock to verdict, maximum", figure=max(waits, default=None), limit=MAXIMUM_LIMIT_S, unit="s",
            of_time=True,
        ),
    ]  # fmt: skip


def broken(promises: Iterable[Threshold], *, time_limits: bool) -> bool:
    """Whether any is; those of time count only with `time_limits`."""
    return any(not one.kept for one in promises if time_limits or not one.of_time)


def unproved(judged: Iterable[Judged]) -> float | None:
    """The share of the true hangs of which only `waiting` was said; None of a few, which are no sample of the catalogue."""
    outcomes = [one.outcome for one in judged if one.true_hang]
    return outcomes.count(Outcome.WAITING.value) / len(outcomes) if len(outcomes) >= ENOUGH_HANGS else None
