"""Claims that an experiment's file holds, such as those of engines' public threads: what a run's records say of each. Pure.

The file says which cells try a claim, and what each is to do (EXPECTED). A claim of which nothing was tried is *skipped*, with
the reason: what this harness does not have, or an environment that could not be built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import BadInput
from harness.experiment.claimed import Claimed
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import AUTO, ONE_THREAD, Cell
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.studies.claims import cases, claims
from harness.studies.claims.cases import Case, Ruling, RulingWord, Stand, Trials
from harness.studies.claims.claim_figures import spoiled, throughput_per_s
from harness.studies.claims.claims import Claim, Judge, Judgement

FASTER = 1.10  # times the throughput; two short trials of one cell were seen to differ by 10 %
ONE_THREAD_HELPS = "one-thread-is-faster"
FAILURES = frozenset({Outcome.HUNG, Outcome.CRASHED, Outcome.RESPAWNING, Outcome.ERRORS, Outcome.WRONG})


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """`did`: what a trial that agrees did, in words."""

    did: str
    agrees: Callable[[TrialRecord], bool]


EXPECTED: dict[str, Expectation] = {
    "answers": Expectation(did="every request was answered with the right answer", agrees=cases.answered),
    "hangs": Expectation(did="it hung", agrees=cases.hung),
    "crashes": Expectation(did="it crashed", agrees=lambda record: record.outcome is Outcome.CRASHED),
    "fails": Expectation(did="it hung, crashed, raised or answered wrongly", agrees=lambda record: record.outcome in FAILURES),
    "does-not-hang": Expectation(did="it did not hang", agrees=lambda record: not cases.hung(record)),
}
BESIDE = f"it answered at least {FASTER:g} times as many requests per second as with the engine's own choice of threads"


def of(experiment: Experiment) -> list[Claim]:
    """The claims of the file, in order. Raises BadInput if it holds none, or expects what nobody knows."""
    if not experiment.claims:
        raise BadInput(f"the experiment {experiment.name} holds no claims", remedy="name another one, such as claims-engines")
    return [_claim(one, experiment.name) for one in experiment.claims]


def _claim(one: Claimed, where: str) -> Claim:
    words = {*EXPECTED, ONE_THREAD_HELPS}
    if unknown := [word for _, word in one.blocks if word not in words]:
        raise BadInput(f"{where}: claim {one.id} expects {unknown[0]!r}", remedy=f"expect = one of {', '.join(sorted(words))}")
    expected = one.expected
    return Claim(
        id=one.id, text=one.said, scope=tuple(dict.fromkeys(cell.backend for cell in expected)), agreeing=_agreeing(expected),
        judge=_judge(expected), remark=one.differs, sources=one.sources, lacking=one.lacking,
    )  # fmt: skip


def _agreeing(expected: Mapping[Cell, str]) -> str:
    return "; or, where that is expected, ".join(dict.fromkeys(did(word) for word in expected.values()))


def did(word: str) -> str:
    """What a trial did that does as expected."""
    return BESIDE if word == ONE_THREAD_HELPS else EXPECTED[word].did


def _judge(expected: Mapping[Cell, str]) -> Judge:
    def judge(cells: Sequence[Cell], trials: Trials) -> list[Case]:
        return [case for cell, word in expected.items() if (case := _case(cell, word, trials)) is not None]

    return judge


def _case(cell: Cell, word: str, trials: Trials) -> Case | None:
    if word != ONE_THREAD_HELPS:
        found = cases.case_of(cell, trials.get(cell.id, ()), EXPECTED[word].agrees)
        return replace(found, where={**found.where, "batch": cell.batch})
    return _faster(cell, trials) if cell.engine_threads == ONE_THREAD else None


def _faster(cell: Cell, trials: Trials) -> Case:
    """One thread for each engine beside the engine's own choice, all else equal. What does not answer has no pace."""
    other = replace(cell, engine_threads=AUTO)
    ours, theirs = trials.get(cell.id, ()), trials.get(other.id, ())
    good = [[record for record in each if record.outcome is Outcome.OK] for each in (ours, theirs)]
    one, two = map(throughput_per_s, good)
    stand, seen = Stand.UNKNOWN, f"one thread: {cases.told(ours)}; {AUTO}: {cases.told(theirs)}{spoiled([*good[0], *good[1]])}"
    if one and two:
        stand = Stand.AGREES if one >= FASTER * two else Stand.CONTRADICTS
        seen = f"{one:.4g} requests per second with one thread, {two:.4g} with {AUTO}"
    where = {"pool": cell.pool, "concurrency": cell.concurrency, "workload": cell.workload, "batch": cell.batch}
    return Case(
        name=cell.id, backend=cell.backend, where=where, stand=stand, seen=seen, evidence=cases.links([*ours, *theirs]),
        outcomes=Counter(record.outcome.value for record in (*ours, *theirs)),
    )  # fmt: skip


def judge_all(experiment: Experiment, cells: Sequence[Cell], trials: Trials) -> list[Judgement]:
    """A verdict for each claim, from the records of one run."""
    return [_ruled(claims.judge(one, cells, trials, one.scope)) for one in of(experiment)]


def _ruled(one: Judgement) -> Judgement:
    """With *skipped* in the place of what could not be tried at all, and the reason."""
    by_backend = {name: _untried(one.of(name)) or ruling for name, ruling in one.by_backend.items()}
    tried = {name: ruling for name, ruling in by_backend.items() if ruling.word is not RulingWord.SKIPPED}
    if tried:
        return replace(one, by_backend=by_backend, overall=cases.together(tried))
    reasons = dict.fromkeys([*one.claim.lacking, *(ruling.condition for ruling in by_backend.values())])
    return replace(
        one, by_backend=by_backend, overall=Ruling(word=RulingWord.SKIPPED, condition="; ".join(filter(None, reasons)))
    )


def _untried(found: Sequence[Case]) -> Ruling | None:
    """That all trials of these cases were skipped, and why."""
    if not found or any(set(case.outcomes) != {Outcome.SKIPPED} for case in found):
        return None
    return Ruling(word=RulingWord.SKIPPED, condition=found[0].seen.partition(": ")[2] or found[0].seen)
