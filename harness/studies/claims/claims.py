"""The claims C1 to C10 of the famous answer, as data, and what a run's records say of each. Nothing is started here.

A claim names the cells that decide it and what a trial that agrees looks like; `studies.claims.cases` makes the verdict of it,
per backend and over the backends that the claim is about. `experiments/claims.toml` holds the cells; C8 and C9, which
compare figures, are in `claim_figures`, the text of C6 in `claim_fork`, the page in `claims_page`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.experiment.matrix import Cell
from harness.judge.causes import LOST_THREADS
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, by_cell
from harness.studies.claims import cases, claim_figures
from harness.studies.claims.cases import Case, Ruling, RulingWord, Trials

EXPERIMENT = "claims"
SOURCE = (
    "The question and its best-known answer are public (2017): `model.predict(x)` works when called directly and never "
    "returns inside a Celery task; stack: Django, Celery, Redis, Keras, TensorFlow."
)
TENSORFLOW1 = ("tensorflow1", "tensorflow1_15")
TENSORFLOW = (*TENSORFLOW1, "tensorflow2")
THEANO = ("theano",)
EVERY = (*TENSORFLOW, *THEANO)
FORKED, GREEN_OR_THREADS = "prefork", ("threads", "gevent", "eventlet")
KEPT_GRAPH = ("graph", "graph-session")
FOREIGN_GRAPH = "is not an element of this graph"
AT_IMPORT = ("import", "import-predict")

Judge = Callable[[Sequence[Cell], Trials], list[Case]]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`scope`: the backends that it is about; the others are judged beside them. `agreeing`: what a trial that agrees
    did, in words. `judge` makes the cases of all backends. `sources`: where it is said; `lacking`: what of it cannot be tried
    here, and why."""

    id: str
    text: str
    scope: tuple[str, ...]
    agreeing: str
    judge: Judge
    remark: str = ""
    sources: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A claim, its cases, and its verdict per backend and `overall`."""

    claim: Claim
    cases: tuple[Case, ...]
    by_backend: dict[str, Ruling]
    overall: Ruling

    def of(self, backend: str) -> list[Case]:
        return [case for case in self.cases if case.backend == backend]


def by_outcome(decides: Callable[[Cell], bool], agrees: Callable[[TrialRecord], bool]) -> Judge:
    """A judge that asks each trial of the cells that decide."""

    def judge(cells: Sequence[Cell], trials: Trials) -> list[Case]:
        return [cases.case_of(cell, trials.get(cell.id, ()), agrees) for cell in cells if decides(cell)]

    return judge


def raised_foreign_graph(record: TrialRecord) -> bool:
    return record.outcome is Outcome.ERRORS and any(FOREIGN_GRAPH in text for text in record.answers.errors)


def is_forked_with_model(cell: Cell) -> bool:
    """The parent loaded, at import, the very model that its forked children are asked for."""
    return cell.pool == FORKED and cell.placement in AT_IMPORT


def causes_of_hangs(cells: Sequence[Cell], trials: Trials) -> list[Case]:
    """C6: of every forked cell that hung, whether the diagnosis found threads that the fork did not copy."""
    found = []
    for cell in cells:
        records = trials.get(cell.id, ())
        stuck = [record for record in records if cases.hung(record)]
        if cell.pool != FORKED or (cases.judged(records) and not stuck):
            continue  # what did not hang has no cause
        case = cases.case_of(cell, stuck or records, lambda record: record.ended.cause == LOST_THREADS)
        causes = sorted({record.ended.cause or "unknown" for record in stuck})
        stand = cases.Stand.UNKNOWN if causes == ["unknown"] else case.stand
        seen = f"{case.seen}, cause {' or '.join(causes)}" if causes else case.seen
        found.append(cases.replaced(case, stand, seen))
    return found


CLAIMS = (
    Claim(
        id="C1",
        text="`predict` called synchronously, outside Celery, returns.",
        scope=EVERY,
        agreeing="every predict returned, with the right answer",
        judge=by_outcome(lambda cell: cell.is_baseline and cell.call == "predict", cases.answered),
    ),
    Claim(
        id="C2",
        text="Model loaded when the task module is imported, default (prefork) pool, TensorFlow: the task never returns; "
        "no error, no output.",
        scope=TENSORFLOW,
        agreeing="it hung",
        judge=by_outcome(lambda cell: is_forked_with_model(cell) and cell.call == "predict", cases.hung),
    ),
    Claim(
        id="C3",
        text="Model loaded in one thread, `predict` in another: “Tensor … is not an element of this graph”.",
        scope=TENSORFLOW,
        agreeing=f"it raised “… {FOREIGN_GRAPH}”",
        judge=by_outcome(
            lambda cell: cell.pool == "threads" and cell.placement == "import" and cell.call == "predict",
            raised_foreign_graph,
        ),
    ),
    Claim(
        id="C4",
        text="Keeping the graph (`with GRAPH.as_default():`) is enough in threads.",
        scope=TENSORFLOW1,
        agreeing="every request was answered with the right answer",
        judge=by_outcome(
            lambda cell: cell.pool == "threads" and cell.placement == "import" and cell.call == "graph", cases.answered
        ),
        remark="The call `graph-session` keeps the session as well; its cells stand under C7.",
    ),
    Claim(
        id="C5",
        text="The same code with the graph kept still hangs for ever in processes.",
        scope=TENSORFLOW1,
        agreeing="it hung",
        judge=by_outcome(lambda cell: is_forked_with_model(cell) and cell.call in KEPT_GRAPH, cases.hung),
    ),
    Claim(
        id="C6",
        text="The cause: fork copies the session variable, and the copy's connection to the TensorFlow runtime is not "
        "adjusted.",
        scope=TENSORFLOW,
        agreeing=f"it hung, and the diagnosis is `{LOST_THREADS}`",
        judge=causes_of_hangs,
    ),
    Claim(
        id="C7",
        text="`--pool=gevent` or `--pool=eventlet` (or threads) is the way out.",
        scope=TENSORFLOW,
        agreeing="every request was answered with the right answer",
        judge=by_outcome(
            lambda cell: (
                cell.pool in GREEN_OR_THREADS
                and (cell.placement, cell.concurrency, cell.workload) == ("import", 2, "digits-cnn")
            ),
            cases.answered,
        ),
    ),
    Claim(
        id="C8",
        text="With threads or greenlets the model is loaded once, so it costs less memory than processes.",
        scope=EVERY,
        agreeing=f"it needed at least {claim_figures.LESS_MEMORY:.0%} less memory (peak PSS) than the prefork cell",
        judge=claim_figures.memory,
        remark="A pool that does not answer at all has no case here: its memory is no figure.",
    ),
    Claim(
        id="C9",
        text="The GIL does not matter much: the TensorFlow runtime maxes out all CPU cores anyway.",
        scope=TENSORFLOW,
        agreeing=f"it answered, with two threads, at least {claim_figures.ALIKE:.0%} of what two processes answer, and kept "
        f"the cores at least {claim_figures.BUSY:.0%} busy",
        judge=claim_figures.threads_beside_processes,
    ),
    Claim(
        id="C10",
        text="Theano does not have this problem (“I personally have not yet tried”).",
        scope=THEANO,
        agreeing="it did not hang",
        judge=by_outcome(lambda cell: cell.pool == FORKED and cell.backend in THEANO, lambda record: not cases.hung(record)),
    ),
)


def judge(claim: Claim, cells: Sequence[Cell], trials: Trials, backends: Sequence[str] = EVERY) -> Judgement:
    """`cells`: all of the experiment, so that one without a record is known to be missing."""
    found = claim.judge(cells, trials)
    by_backend = {name: _ruling([case for case in found if case.backend == name], claim) for name in backends}
    overall = cases.together({name: by_backend[name] for name in claim.scope})
    return Judgement(claim=claim, cases=tuple(found), by_backend=by_backend, overall=overall)


def _ruling(found: Sequence[Case], claim: Claim) -> Ruling:
    one = cases.ruling(found)
    if claim.id == "C6" and one.word is RulingWord.HOLDS:
        # what agrees is the mechanism, not the session variable: TensorFlow 2 has none, and a new one does not help
        return Ruling(word=RulingWord.ONLY_IF, condition="“connection” means the engine's threads, which fork does not copy")
    return one


def judge_all(cells: Sequence[Cell], records: Iterable[TrialRecord]) -> list[Judgement]:
    """Ten verdicts from the records of one run."""
    trials = by_cell(records)
    return [judge(claim, cells, trials) for claim in CLAIMS]
