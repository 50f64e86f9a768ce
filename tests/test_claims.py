"""The ten claims on made-up records: what each verdict takes, and that the page links only what is on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import environments, workloads
from harness.experiment import experiment
from harness.experiment.matrix import Cell
from harness.records import store
from harness.records.cpu import CpuUse
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, by_cell
from harness.studies.claims import claim_fork, claims, claims_page
from harness.studies.claims.cases import RulingWord, Stand
from harness.studies.claims.claims import CLAIMS, Claim, Judgement
from harness.studies.claims.dossier import Dossier
from tests.test_store import record

CELLS = experiment.read("claims", backends=list(environments.descriptions()), workloads=list(workloads.NAMES)).expand()
MIB = 2**20
OK = {"outcome": Outcome.OK, "requests": 9, "ok": 9, "requests_file": "requests/x.parquet"}
HUNG = {"outcome": Outcome.HUNG, "evidence": "evidence/x/stacks-2.txt"}
FOREIGN = {"outcome": Outcome.ERRORS, "errors": {f"ValueError: Tensor x {claims.FOREIGN_GRAPH}.": 9}}
OTHER = {"outcome": Outcome.ERRORS, "errors": {"ValueError: something else": 9}}
SHARED = ("threads", "gevent")


def cpu(saturation: float) -> CpuUse:
    return CpuUse(window_s=1, cores=2, requests=9, worker=2 * saturation, children=0, broker=0, client=0, machine=2, steal=0)


def pace(per_s: int, saturation: float = 0.95) -> dict[str, object]:
    return {**OK, "measured_s": 1.0, "measured_requests": per_s, "cpu": cpu(saturation)}


def memory(cell: Cell, *, saved: bool) -> dict[str, object]:
    return {**OK, "peak_pss_bytes": 100 * MIB if saved and cell.pool in SHARED else 200 * MIB}


def gil(cell: Cell, *, matters: bool) -> dict[str, object]:
    return pace(5 if matters and cell.pool == "threads" else 10)


# claim -> what a trial of a cell that agrees did, and of one that contradicts
WORLDS = {
    "C1": (lambda cell: OK, lambda cell: HUNG),
    "C2": (lambda cell: HUNG, lambda cell: OK),
    "C3": (lambda cell: FOREIGN, lambda cell: OTHER),
    "C4": (lambda cell: OK, lambda cell: FOREIGN),
    "C5": (lambda cell: HUNG, lambda cell: OK),
    "C6": (lambda cell: {**HUNG, "cause": "fork-lost-threads"}, lambda cell: {**HUNG, "cause": "deadlock"}),
    "C7": (lambda cell: OK, lambda cell: OTHER),
    "C8": (lambda cell: memory(cell, saved=True), lambda cell: memory(cell, saved=False)),
    "C9": (lambda cell: gil(cell, matters=False), lambda cell: gil(cell, matters=True)),
    "C10": (lambda cell: OK, lambda cell: HUNG),
}


def records(claim: Claim, *, contradict: set[str]) -> list[TrialRecord]:
    """A trial of every cell; those in `contradict` do what the claim denies."""
    agrees, denies = WORLDS[claim.id]
    return [record(cell, **(denies if cell.id in contradict else agrees)(cell)) for cell in CELLS]


def judged(claim: Claim, trials: list[TrialRecord]) -> Judgement:
    return claims.judge(claim, CELLS, by_cell(trials))


def deciding(claim: Claim) -> list[str]:
    """Ids of the cells whose cases decide the claim, in its scope."""
    found = judged(claim, records(claim, contradict=set()))
    return [case.name for case in found.cases if case.backend in claim.scope]


every_claim = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)


@every_claim
def test_a_claim_holds_if_all_cells_that_decide_it_agree(claim: Claim) -> None:
    overall = judged(claim, records(claim, contradict=set())).overall
    assert overall.word is (RulingWord.ONLY_IF if claim.id == "C6" else RulingWord.HOLDS)


@every_claim
def test_a_claim_is_refuted_if_all_contradict(claim: Claim) -> None:
    assert judged(claim, records(claim, contradict={cell.id for cell in CELLS})).overall.word is RulingWord.REFUTED


@every_claim
def test_one_cell_that_contradicts_makes_a_condition(claim: Claim) -> None:
    names = deciding(claim)
    found = judged(claim, records(claim, contradict={names[0]}))
    assert found.overall.word is RulingWord.ONLY_IF
    assert found.overall.condition


@every_claim
@pytest.mark.parametrize("spoiled", [None, {"outcome": Outcome.INVALID}, {"outcome": Outcome.SKIPPED}])
def test_one_cell_that_is_missing_or_spoiled_leaves_the_claim_open(claim: Claim, spoiled: dict[str, object] | None) -> None:
    name = deciding(claim)[0]
    trials = [one for one in records(claim, contradict=set()) if one.cell_id != name]
    if spoiled is not None:
        trials.append(record(next(cell for cell in CELLS if cell.id == name), **spoiled))
    overall = judged(claim, trials).overall
    if claim.id == "C6":  # its verdict is a condition already; the backend itself is open
        assert judged(claim, trials).by_backend[claim.scope[0]].word is RulingWord.CANNOT_SAY
    else:
        assert overall.word is RulingWord.CANNOT_SAY
        assert name in overall.condition


@every_claim
def test_without_records_nothing_is_said(claim: Claim) -> None:
    assert judged(claim, []).overall.word is RulingWord.CANNOT_SAY


def test_every_claim_is_decided_by_cells_of_each_backend_that_it_is_about() -> None:
    for claim in CLAIMS:
        backends = {name.partition("-")[0] for name in deciding(claim)}
        assert backends == set(claim.scope), claim.id


def test_memory_of_a_pool_that_does_not_answer_is_no_case() -> None:
    claim = CLAIMS[7]
    trials = [record(cell, **(OTHER if cell.pool == "gevent" else memory(cell, saved=True))) for cell in CELLS]
    found = judged(claim, trials)
    assert {case.where["pool"] for case in found.cases} == {"threads"}
    assert "100 MiB, prefork 200 MiB" in found.cases[0].seen


def test_the_gil_matters_where_threads_leave_cores_idle() -> None:
    claim = CLAIMS[8]
    trials = [record(cell, **pace(10, 0.5)) for cell in CELLS]
    found = judged(claim, trials)
    assert found.overall.word is RulingWord.REFUTED
    assert "threads 10.0/s at 50% of all cores" in found.cases[0].seen


@pytest.mark.parametrize("spoiled", ["threads", "prefork"])
def test_figures_that_a_busy_machine_spoiled_decide_no_claim(spoiled: str) -> None:
    """A run beside other programs had threads at 14 and processes at 3.6 requests per second, and refuted the claim."""
    claim, why = CLAIMS[8], "machine too noisy: others used 90% of the cores that we may use"
    trials = [
        one.changed(certainty={"unusable": why}) if one.as_cell.pool == spoiled else one
        for one in (record(cell, **pace(10, 0.5)) for cell in CELLS)
    ]
    found = judged(claim, trials)
    assert found.overall.word is RulingWord.CANNOT_SAY
    assert {case.stand for case in found.cases} == {Stand.UNKNOWN}
    assert found.cases[0].seen == f"threads: ok 1 of 1; processes: ok 1 of 1; figures that cannot be used: {why}"


STACKS = """Process 7: python
Python v3.7

Thread 7 (idle): "MainThread"
    syscall (libc.so.6)
    tensorflow::(anonymous namespace)::Wait (tensorflow/lib.so)
    predict (keras/training.py:3)
"""
FORK = "What the parent had and the child lacks:\n  2 x tf_Compute  (native)\n\nThe parent when ready:\n  thread 1\n"


@pytest.fixture
def dossier(tmp_path: Path) -> Dossier:
    """A folder with one hung TensorFlow 2 cell and its evidence, and one cell that answered and whose requests are gone."""
    hung = Cell(backend="tensorflow2", pool="prefork", placement="import")
    folder = tmp_path / "evidence" / "x"
    folder.mkdir(parents=True)
    (folder / "stacks-7.txt").write_text(STACKS)
    (folder / "fork.txt").write_text(FORK)
    (folder / "requests.txt").write_text("open: request 0 in process 7, thread 7, since 1.0 s\n")
    run = store.RunFolder(tmp_path)
    support = ["the parent had native threads that the child lacks: 2 x tf_Compute"]
    run.append(
        record(hung, **{**HUNG, "evidence": "evidence/x/stacks-7.txt", "cause": "fork-lost-threads", "support": support})
    )
    run.append(record(Cell(backend="tensorflow2", pool="in-process", placement="import", traffic="single"), **OK))
    return Dossier.of(tmp_path, CELLS)


def test_the_story_of_the_fork_is_told_from_the_evidence(dossier: Dossier) -> None:
    told = claim_fork.story(dossier.cells, dossier.trials, claims.TENSORFLOW, dossier.read, borne_out=True)
    assert "tensorflow::(anonymous namespace)::Wait\n" in told
    assert "called from predict (keras/training.py:3)" in told
    assert "2 x tf_Compute" in told
    assert "The parent when ready" not in told
    assert "`fork-lost-threads` 1 of 1" in told
    assert "**tensorflow1**: no hung child is on record." in told


def test_where_the_diagnoses_disagree_nothing_is_explained(dossier: Dossier) -> None:
    told = claim_fork.story(dossier.cells, dossier.trials, claims.TENSORFLOW, dossier.read, borne_out=False)
    assert told.startswith(claim_fork.UNSURE)
    assert claim_fork.FOOT not in told


def test_missing_evidence_is_said_to_be_missing(dossier: Dossier) -> None:
    told = claim_fork.story(dossier.cells, dossier.trials, claims.TENSORFLOW, lambda path: None, borne_out=True)
    assert "native stack of its hung request is missing" in told
    assert "threads that it lacks is missing" in told


def test_page_and_table_link_only_what_is_on_disk(dossier: Dossier) -> None:
    found = claims.judge_all(CELLS, [one for trials in dossier.trials.values() for one in trials])
    page, table = claims_page.page(found, dossier), claims_page.table(found, dossier)
    assert page.count("\n## C") == 10
    assert "(evidence/x/stacks-7.txt)" in page
    assert "requests/x.parquet" not in page
    paths = {path for cell in table["evidence"] for path in cell.split()}
    assert paths == {"evidence/x/stacks-7.txt", "trials.jsonl"}
    assert len(table) == 10 * (1 + len(claims.EVERY))
