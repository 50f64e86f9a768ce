"""A case: what one cell's trials say of one statement, with its evidence; and the verdict that several cases allow.

Claims and incidents both rest on this. All pure: records go in, words come out. Nothing is guessed: a cell without a
trial that could be judged is *unknown*, and what is unknown is no verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations

from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.store import RECORDS

Trials = Mapping[str, Sequence[TrialRecord]]  # cell id -> its trials

#: Outcomes that decide nothing: not run, our own instrument at fault, or cut off while it was neither hung nor through.
UNJUDGED = (Outcome.INVALID, Outcome.SKIPPED, Outcome.SLOW, Outcome.WAITING)
#: The dimensions in which a condition is looked for, in the order in which a reader would think of them.
DIMENSIONS = ("pool", "call", "workload", "placement", "parent", "engine_threads", "concurrency")
MOST_LINKS = 3


class Stand(StrEnum):
    """How a case stands to the statement; `sometimes`: some trials agree and some contradict."""

    AGREES = "agrees"
    CONTRADICTS = "contradicts"
    SOMETIMES = "sometimes"
    UNKNOWN = "unknown"


class RulingWord(StrEnum):
    HOLDS = "holds"
    REFUTED = "refuted"
    ONLY_IF = "holds only if"
    CANNOT_SAY = "cannot say"
    IN_PART = "holds in part"  # of what it says, some was seen and some was not; the condition counts both
    SKIPPED = "skipped"  # nothing of it was tried; the condition says why
    NOT_HERE = "does not apply"  # to one backend: no cell of the statement can exist on it


@dataclass(frozen=True, kw_only=True)
class Case:
    """`where` maps dimensions to values, `seen` tells what happened, `evidence` are paths in the run's folder."""

    name: str
    backend: str
    where: Mapping[str, object]
    stand: Stand
    seen: str
    evidence: tuple[str, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)  # of all its trials


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """A verdict: the word, and under which condition it holds or why nothing can be said."""

    word: RulingWord
    condition: str = ""

    def __str__(self) -> str:
        if self.word is RulingWord.ONLY_IF:
            return f"{self.word} {self.condition}"
        return f"{self.word} ({self.condition})" if self.condition else str(self.word)


def answered(record: TrialRecord) -> bool:
    """Whether all requests came back, and rightly: at whatever pace, this trial did not hang and did not fail."""
    clean = not (record.answers.wrong or record.answers.errors or record.answers.unanswered) and record.answers.ok > 0
    return clean and record.outcome in (Outcome.OK, Outcome.STALLED)


def hung(record: TrialRecord) -> bool:
    return record.outcome is Outcome.HUNG


def judged(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials that say something of their cell."""
    return [record for record in trials if record.outcome not in UNJUDGED]


def case_of(cell: Cell, trials: Sequence[TrialRecord], agrees: Callable[[TrialRecord], bool]) -> Case:
    """The case that one cell makes for a statement, which each trial agrees with or not."""
    stands = {agrees(record) for record in judged(trials)}
    known = {frozenset({True}): Stand.AGREES, frozenset({False}): Stand.CONTRADICTS, frozenset(): Stand.UNKNOWN}
    return Case(
        name=cell.id,
        backend=cell.backend,
        where={name: value for name, value in cell.as_dict().items() if name in DIMENSIONS},
        stand=known.get(frozenset(stands), Stand.SOMETIMES),
        seen=told(trials),
        evidence=links(trials),
        outcomes=Counter(record.outcome.value for record in trials),
    )


def replaced(case: Case, stand: Stand, seen: str) -> Case:
    """The case with another stand and another word of what was seen."""
    return replace(case, stand=stand, seen=seen)


def told(trials: Sequence[TrialRecord]) -> str:
    """'hung 3 of 3', 'errors 1 of 2, ok 1 of 2'; why, where no trial could be judged; 'not run'."""
    if not trials:
        return "not run"
    counts = Counter(record.outcome.value for record in trials)
    text = ", ".join(f"{outcome} {count} of {len(trials)}" for outcome, count in counts.items())
    return text if judged(trials) else f"{text}: {trials[-1].reason}"


def links(trials: Iterable[TrialRecord]) -> tuple[str, ...]:
    """Where to look: the evidence of trials that ended badly, the requests of the others, else the record itself."""
    paths = [record.ended.evidence or record.answers.requests_file or RECORDS for record in judged(trials)]
    return tuple(dict.fromkeys(paths))[:MOST_LINKS]


def outcome_counts(cases: Iterable[Case]) -> Counter[str]:
    """How often each outcome stands among all trials of these cases."""
    counts: Counter[str] = Counter()
    for case in cases:
        counts.update(case.outcomes)
    return counts


def ruling(cases: Sequence[Case]) -> Ruling:
    """What cases of one backend allow to say of the statement."""
    if not cases:
        return Ruling(word=RulingWord.NOT_HERE)
    stands = {case.stand for case in cases}
    yes, no = stands & {Stand.AGREES, Stand.SOMETIMES}, stands & {Stand.CONTRADICTS, Stand.SOMETIMES}
    unknown = [case for case in cases if case.stand is Stand.UNKNOWN]
    unsaid = f"{len(unknown)} of {len(cases)} cases unknown; {unknown[0].name}: {unknown[0].seen}" if unknown else ""
    if yes and no:
        return Ruling(word=RulingWord.ONLY_IF, condition="; ".join(filter(None, (condition(cases), unsaid))))
    if unknown:
        return Ruling(word=RulingWord.CANNOT_SAY, condition=unsaid)
    return Ruling(word=RulingWord.HOLDS if yes else RulingWord.REFUTED)


def condition(cases: Sequence[Case]) -> str:
    """What tells the cases that agree from those that contradict: values of up to three dimensions; else the cases."""
    sometimes = [case for case in cases if case.stand is Stand.SOMETIMES]
    if sometimes:
        return "one is lucky: " + "; ".join(f"{case.name} {case.seen}" for case in sometimes)
    yes = [case for case in cases if case.stand is Stand.AGREES]
    no = [case for case in cases if case.stand is Stand.CONTRADICTS]
    names = list(dict.fromkeys(name for case in yes + no for name in case.where))
    for size in (1, 2, 3):
        for chosen in combinations(names, size):
            ours, theirs = (list(dict.fromkeys(_values(case, chosen) for case in group)) for group in (yes, no))
            if not set(ours) & set(theirs):
                return _condition(chosen, ours, theirs)
    return "it is one of " + ", ".join(dict.fromkeys(case.name for case in yes))


def _values(case: Case, chosen: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(case.where.get(name, "")) for name in chosen)


def _condition(chosen: Sequence[str], ours: list[tuple[str, ...]], theirs: list[tuple[str, ...]]) -> str:
    """'call is graph or graph-session', or 'workload is not lstm' where that is shorter."""
    shorter, isnt = (ours, "") if len(ours) <= len(theirs) + 1 else (theirs, "not ")
    values = " or ".join(" with ".join(value) for value in shorter)
    label = " with ".join(name.replace("_", " ") for name in chosen)
    return f"{label} is {isnt}{values}"


def together(by_backend: Mapping[str, Ruling]) -> Ruling:
    """The verdict over several backends; where they differ, the condition says on which it holds."""
    said = {name: one for name, one in by_backend.items() if one.word is not RulingWord.NOT_HERE}
    words = {one.word for one in said.values()}
    if len(words) == 1 and words <= {RulingWord.HOLDS, RulingWord.REFUTED}:
        return Ruling(word=words.pop())
    silent = {name: one for name, one in said.items() if one.word is RulingWord.CANNOT_SAY}
    positive = words & {RulingWord.HOLDS, RulingWord.ONLY_IF}
    if positive and words & {RulingWord.REFUTED, RulingWord.ONLY_IF}:
        return Ruling(word=RulingWord.ONLY_IF, condition=_by_condition(said))
    text = "; ".join(f"{name}: {one.condition}" for name, one in silent.items())
    return Ruling(word=RulingWord.CANNOT_SAY, condition=text or "no backend tells")


def _by_condition(said: Mapping[str, Ruling]) -> str:
    """'the backend is a; or the backend is b or c and call is graph'; backends that refute it are not named."""
    groups: dict[Ruling, list[str]] = {}
    for name, one in said.items():
        if one.word is not RulingWord.REFUTED:
            groups.setdefault(one, []).append(name)
    silent = [name for one, names in groups.items() if one.word is RulingWord.CANNOT_SAY for name in names]
    texts = []
    for one, names in groups.items():
        where = f"the backend is {' or '.join(names)}"
        if len(names) == len(said):
            texts.append(one.condition)
        elif one.word is not RulingWord.CANNOT_SAY:
            texts.append(f"{where} and {one.condition}" if one.condition else where)
    return "; or ".join(texts) + (f"; on {' and '.join(silent)} it cannot be said" if silent else "")
