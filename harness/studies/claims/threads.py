"""Claims that an experiment's file holds, such as those of engines' public threads: what a run's records say of each. Pure.

The file says which cells try a claim, and what each is to do (EXPECTED). A claim of which nothing was tried is *skipped*, with
the reason: what this harness does not have, or an environment that could not be built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.errors import BadInput
from harness.experiment import matrix
from harness.experiment.claimed import Claimed
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import AUTO, ONE_THREAD, Cell
from harness.measure import silent
from harness.records.outcomes import NOT_JUDGED, Outcome
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


def _silent(name: str, record: TrialRecord) -> bool:
    """Whether the trial had this fault, which leaves every answer in place (`measure.silent`)."""
    return any(doubt.name == name for doubt in silent.doubts(record))


EXPECTED: dict[str, Expectation] = {
    "answers": Expectation(did="every request was answered with the right answer", agrees=cases.answered),
    "hangs": Expectation(did="it hung", agrees=cases.hung),
    "crashes": Expectation(did="it crashed", agrees=lambda record: record.outcome is Outcome.CRASHED),
    "fails": Expectation(did="it hung, crashed, raised or answered wrongly", agrees=lambda record: record.outcome in FAILURES),
    "does-not-hang": Expectation(did="it did not hang", agrees=lambda record: not cases.hung(record)),
    **{
        name.replace(" ", "-"): Expectation(did=did, agrees=partial(_silent, name))
        for name, did in {
            silent.PINNED: "most of what it computed was pinned to one and the same core",
            silent.OVERSUBSCRIBED: "executors and threads of the engine wanted more cores than there are",
            silent.LOST: "its forked children lacked the threads of their main process, and computed alone",
            silent.ONE_JOB: "a library went on with one job",
            silent.CRASH: "it answered everything, and ended by a signal when it was asked to stop",
            silent.EQUAL: "several processes drew the same random numbers",
        }.items()
    },
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
    found = [claims.judge(claim, cells, trials, claim.scope) for claim in of(experiment)]
    return [_ruled(judgement, claimed) for judgement, claimed in zip(found, experiment.claims, strict=True)]


def _ruled(one: Judgement, claimed: Claimed) -> Judgement:
    """With *skipped* in the place of what could not be tried at all, and the reason."""
    words = {cell.id: word for cell, word in claimed.expected.items()}
    core = {cell.id for block, _ in claimed.blocks[:1] for cell in matrix.expand([block])}
    by_backend = {name: _ruling(one.of(name), words, core) for name in one.by_backend}
    tried = {name: ruling for name, ruling in by_backend.items() if ruling.word is not RulingWord.SKIPPED}
    if tried:
        return replace(one, by_backend=by_backend, overall=_together(tried))
    reasons = dict.fromkeys([*one.claim.lacking, *(ruling.condition for ruling in by_backend.values())])
    skipped = Ruling(word=RulingWord.SKIPPED, condition="; ".join(filter(None, reasons)))
    return replace(one, by_backend=by_backend, overall=skipped)


def _ruling(found: Sequence[Case], words: Mapping[str, str], core: Collection[str]) -> Ruling:
    """What one engine's cases allow to say. A claim of several parts (it hangs here, and answers there) stands and falls with
    its first block, the `core`: if nothing of that was seen, the rest proves nothing."""
    if skipped := _untried(found):
        return skipped
    plain = cases.ruling(found)
    first = [case for case in found if case.name in core]
    if first and all(case.stand is Stand.CONTRADICTS for case in first):
        rest = f"; {_parts(found, words)}" if plain.word is not RulingWord.REFUTED else ""
        return Ruling(word=RulingWord.REFUTED, condition=f"{_unseen(first)}{rest}")
    if plain.word is RulingWord.ONLY_IF and any(case.stand is Stand.UNKNOWN for case in found):
        return Ruling(word=RulingWord.CANNOT_SAY, condition=f"{plain.condition}; {_parts(found, words)}")
    if plain.word is RulingWord.ONLY_IF and len({words[case.name] for case in found}) > 1:
        return Ruling(word=RulingWord.IN_PART, condition=_parts(found, words))
    return plain


def _unseen(core: Sequence[Case]) -> str:
    """How much was tried in vain: one worker that did not hang says little of a hang that comes and goes."""
    counts = cases.outcome_counts(core)
    judged = sum(count for outcome, count in counts.items() if outcome not in NOT_JUDGED)
    return f"not seen in {judged} fresh worker{'' if judged == 1 else 's'} of {len(core)} cell{'' if len(core) == 1 else 's'}"


def _parts(found: Sequence[Case], words: Mapping[str, str]) -> str:
    """'it hung in 0 of 4 cells; every request was answered … in 4 of 4 cells': as was said, by what was said."""
    groups: dict[str, list[Case]] = {}
    for case in found:
        groups.setdefault(words[case.name], []).append(case)
    return "as said: " + "; ".join(
        f"{did(word)} in {sum(case.stand is Stand.AGREES for case in group)} of {len(group)} cells{_sometimes(group)}"
        for word, group in groups.items()
    )


def _sometimes(group: Sequence[Case]) -> str:
    lucky = sum(case.stand is Stand.SOMETIMES for case in group)
    return f", and sometimes in {lucky}" if lucky else ""


def _together(tried: Mapping[str, Ruling]) -> Ruling:
    if len(tried) == 1:
        return next(iter(tried.values()))
    if all(ruling.word is not RulingWord.IN_PART for ruling in tried.values()):
        return cases.together(tried)
    return Ruling(word=RulingWord.IN_PART, condition="; ".join(f"{name}: {ruling}" for name, ruling in tried.items()))


def _untried(found: Sequence[Case]) -> Ruling | None:
    """That all trials of these cases were skipped, and why."""
    if not found or any(set(case.outcomes) != {Outcome.SKIPPED} for case in found):
        return None
    return Ruling(word=RulingWord.SKIPPED, condition=found[0].seen.partition(": ")[2] or found[0].seen)
