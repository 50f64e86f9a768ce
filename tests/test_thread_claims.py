"""Claims that an experiment's file holds, on made-up records: what each verdict takes, and that nothing is silently missing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import environments, workloads
from harness.errors import BadInput
from harness.experiment import experiment
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import AUTO, Cell
from harness.measure import silent
from harness.records import store
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, by_cell
from harness.studies.claims import threads, threads_page
from harness.studies.claims.cases import RulingWord, Stand
from harness.studies.claims.claims import Judgement
from harness.studies.claims.dossier import Dossier
from tests.links import links
from tests.test_claims import HUNG, OK, OTHER, pace
from tests.test_cpu_verdict import cpu
from tests.test_store import record

BACKENDS, WORKLOADS = list(environments.descriptions()), list(workloads.NAMES)
SHIPPED = experiment.read("claims-engines", backends=BACKENDS, workloads=WORKLOADS)
CELLS = SHIPPED.expand()
SKIPPED = {"outcome": Outcome.SKIPPED, "reason": "no wheel for this machine"}
PINNED = {
    "cpu": cpu(children=1.0),
    "silent_executors": 2,
    "silent_processes": 2,
    "silent_pinned_core": 0,
    "silent_pinned_share": 1.0,
}
#: word -> what a trial did that does as expected, and one that does not
WORLDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "answers": (OK, HUNG), "hangs": (HUNG, OK), "fails": (OTHER, OK), "crashes": ({"outcome": Outcome.CRASHED}, OK),
    "does-not-hang": (OTHER, HUNG), "one-job": ({**OK, "silent_serial": "x: y"}, OK), "pinned": ({**OK, **PINNED}, OK),
}  # fmt: skip
MADE: dict[str, Any] = {
    "name": "mine", "summary": "x",
    "claims": [
        {
            "id": "A1", "sources": ["https://example.org/1"], "said": "It hangs.", "differs": "Nothing.",
            "cells": [
                {"expect": "hangs", "backend": ["theano", "nobody"], "pool": ["prefork"], "placement": ["import"]},
                {"expect": "answers", "backend": ["theano"], "pool": ["prefork"], "placement": ["first-task"]},
                {"expect": "answers", "backend": ["theano"], "pool": ["prefork"], "placement": ["per-moon"]},
            ],
        },
        {"id": "A2", "sources": ["https://example.org/2"], "said": "It sings.", "skipped": "no call of ours sings"},
    ],
}  # fmt: skip
FORK = Cell(backend="theano", pool="prefork")
IMPORT = replace(FORK, placement="import")


def made(**claim: Any) -> Experiment:
    """The made-up file, its first claim changed."""
    first, second = MADE["claims"]
    return experiment.checked(
        {**MADE, "claims": [{**first, **claim}, second]}, "mine.toml", backends=BACKENDS, workloads=WORKLOADS
    )


def judged(spec: Experiment, *trials: TrialRecord) -> list[Judgement]:
    return threads.judge_all(spec, spec.expand(), by_cell(trials))


# the shipped file


def test_there_are_claims_enough_each_with_a_source_and_with_cells_or_a_reason() -> None:
    assert len(SHIPPED.claims) >= 15
    assert len({one.id for one in SHIPPED.claims}) == len(SHIPPED.claims)
    for one in SHIPPED.claims:
        assert all(re.fullmatch(r"https://[\w./#-]+", source) for source in one.sources), one.id
        assert one.blocks or one.lacking, one.id
        assert not one.blocks or one.differs, f"{one.id}: what differs from its source?"
    tried = {cell.backend for one in SHIPPED.claims for cell in one.expected}
    assert {"torch", "onnxruntime", "xgboost", "lightgbm", "sklearn"} <= tried


def test_every_cell_of_the_shipped_claims_can_exist() -> None:
    from harness.experiment.matrix import impossible

    known = environments.descriptions()
    for cell in CELLS:
        calls = known[cell.backend].calls
        assert impossible(cell, calls=calls, celery=(5, 7), compile_cache=False) is None, cell.id


def test_a_hang_that_is_expected_is_read_beside_what_such_a_request_takes() -> None:
    """Else what computes for ever cannot be told from a long computation, and is called slow."""
    hangs = [cell for one in SHIPPED.claims for cell, word in one.expected.items() if word in ("hangs", "fails")]
    assert {cell.baseline().id for cell in hangs if cell.engine_threads == AUTO} <= {cell.id for cell in CELLS}


def test_claims_of_what_this_harness_does_not_have_are_skipped_with_the_reason() -> None:
    found = {one.claim.id: one.overall for one in judged(SHIPPED)}
    lacking = {one.id for one in SHIPPED.claims if not one.blocks}
    assert lacking
    for name in lacking:
        assert found[name].word is RulingWord.SKIPPED
        assert found[name].condition
    assert {one.word for name, one in found.items() if name not in lacking} == {RulingWord.CANNOT_SAY}


@pytest.mark.parametrize("claim", [one.id for one in SHIPPED.claims if one.blocks])
def test_a_claim_that_is_the_only_one_to_be_right_holds_and_otherwise_is_refuted(claim: str) -> None:
    (one,) = (each for each in SHIPPED.claims if each.id == claim)
    alone = SHIPPED.model_copy(update={"claims": (one,)})
    for contradict, word in ((False, RulingWord.HOLDS), (True, RulingWord.REFUTED)):
        trials = []
        for cell, expected in one.expected.items():
            if expected == threads.ONE_THREAD_HELPS:
                trials.append(record(cell, **pace(5 if (cell.engine_threads == AUTO) is not contradict else 10)))
            else:
                trials.append(record(cell, **WORLDS[expected][contradict]))
        (found,) = judged(alone, *trials)
        assert found.overall.word is word


# verdicts


def test_cells_that_do_as_expected_make_a_claim_hold_and_a_contradiction_is_its_condition() -> None:
    spec = made()
    holds, skipped = judged(spec, record(IMPORT, **HUNG), record(FORK, **OK))
    assert holds.overall.word is RulingWord.HOLDS
    assert (skipped.overall.word, skipped.overall.condition) == (RulingWord.SKIPPED, "no call of ours sings")
    (refuted, _) = judged(spec, record(IMPORT, **OK), record(FORK, **HUNG))
    assert refuted.overall.word is RulingWord.REFUTED
    (lucky, _) = judged(spec, record(IMPORT, **HUNG), record(IMPORT, trial=2, **OK), record(FORK, **OK))
    assert lucky.overall.word is RulingWord.IN_PART
    assert "it hung in 0 of 1 cells, and sometimes in 1" in lucky.overall.condition


def test_a_claim_of_a_hang_that_nobody_saw_is_refuted_even_if_the_rest_answered_as_said() -> None:
    (one, _) = judged(made(), record(IMPORT, **OK), record(FORK, **OK))
    assert one.overall.word is RulingWord.REFUTED
    assert one.overall.condition == (
        "not seen in 1 fresh worker of 1 cell; as said: it hung in 0 of 1 cells; "
        "every request was answered with the right answer in 1 of 1 cells"
    )


def test_a_claim_whose_contrast_fails_holds_in_part() -> None:
    (one, _) = judged(made(), record(IMPORT, **HUNG), record(FORK, **HUNG))
    assert one.overall.word is RulingWord.IN_PART
    assert "it hung in 1 of 1 cells; every request was answered with the right answer in 0 of 1 cells" in one.overall.condition


def test_within_one_expectation_the_condition_is_named_as_ever() -> None:
    cells = [{"expect": "hangs", "backend": ["theano"], "pool": ["prefork"], "placement": ["import", "first-task"]}]
    (one, _) = judged(made(cells=cells), record(IMPORT, **HUNG), record(FORK, **OK))
    assert str(one.overall) == "holds only if placement is import"


def test_what_the_harness_does_not_have_is_told_beside_the_verdict_of_the_rest() -> None:
    (one, _) = judged(made(), record(IMPORT, **HUNG), record(FORK, **OK))
    assert one.claim.lacking == ("this harness has no backend 'nobody'", "this harness has no placement 'per-moon'")
    assert len(one.cases) == 2


def test_a_claim_whose_environment_could_not_be_built_is_skipped_with_that_reason() -> None:
    (one, _) = judged(made(), record(IMPORT, **SKIPPED), record(FORK, **SKIPPED))
    assert one.overall.word is RulingWord.SKIPPED
    assert "no wheel for this machine" in one.overall.condition
    (half, _) = judged(made(), record(IMPORT, **SKIPPED), record(FORK, **OK))
    assert half.overall.word is RulingWord.CANNOT_SAY


@pytest.mark.parametrize(
    ("one", "auto", "stand"), [(12, 10, Stand.AGREES), (10, 10, Stand.CONTRADICTS), (10, None, Stand.UNKNOWN)]
)
def test_one_thread_is_held_against_the_engines_own_choice(one: int, auto: int | None, stand: Stand) -> None:
    cells = [{"expect": "one-thread-is-faster", "backend": ["theano"], "pool": ["prefork"], "engine_threads": ["auto", "1x1"]}]
    trials = [record(replace(FORK, engine_threads="1x1"), **pace(one))]
    trials += [record(FORK, **(pace(auto) if auto else HUNG))]
    (found, _) = judged(made(cells=cells), *trials)
    assert [case.stand for case in found.cases] == [stand]


@pytest.mark.parametrize(
    ("word", "facts"),
    [
        ("one-job", {"silent_serial": "loky: one job"}),
        ("crash-at-end", {"silent_end": "SIGSEGV"}),
        ("equal-random-numbers", {"silent_equal_errors": 2}),
    ],
)
def test_a_claim_may_expect_a_fault_that_leaves_every_answer_in_place(word: str, facts: dict[str, Any]) -> None:
    cells = [{"expect": word, "backend": ["theano"], "pool": ["prefork"]}]
    (seen, _) = judged(made(cells=cells), record(FORK, **OK, **facts))
    (unseen, _) = judged(made(cells=cells), record(FORK, **OK))
    assert [one.overall.word for one in (seen, unseen)] == [RulingWord.HOLDS, RulingWord.REFUTED]


def test_every_silent_fault_is_a_word_that_a_claim_may_expect() -> None:
    assert {name.replace(" ", "-") for name in silent.NAMES} <= set(threads.EXPECTED)


def test_a_file_without_claims_and_a_word_that_nobody_knows_are_refused() -> None:
    plain = experiment.read("quick", backends=BACKENDS, workloads=WORKLOADS)
    with pytest.raises(BadInput, match="holds no claims"):
        threads.of(plain)
    cells = [{"expect": "sings", "backend": ["theano"], "pool": ["prefork"]}]
    with pytest.raises(BadInput, match="claim A1 expects 'sings'"):
        threads.of(made(cells=cells))
    with pytest.raises(BadInput, match=r"cells\.0\.concurrency\.0"):
        made(cells=[{"expect": "hangs", "backend": ["theano"], "pool": ["prefork"], "concurrency": [0]}])
    with pytest.raises(BadInput, match="id: String should match pattern"):
        made(id="first")


# the page


def test_the_page_names_each_source_what_was_expected_and_links_what_is_there(tmp_path: Path) -> None:
    spec = made()
    (tmp_path / "evidence" / "x").mkdir(parents=True)
    (tmp_path / "evidence" / "x" / "stacks-2.txt").write_text("stack")
    run = store.RunFolder(tmp_path)
    for one in (record(IMPORT, **HUNG), record(FORK, **OK)):
        run.append(one)
    dossier = Dossier.of(tmp_path, spec.expand())
    found = threads.judge_all(spec, dossier.cells, dossier.trials)
    path = tmp_path / "claims.md"
    path.write_text(threads_page.page(spec, found, dossier))
    text = path.read_text()
    assert "Said in <https://example.org/1>." in text
    assert f"| `{IMPORT.id}` | it hung | agrees | hung 1 of 1 |" in text
    assert "hung 1 of 2 (1 % - 99 %)" in text
    assert "*Not tried:* this harness has no backend 'nobody'" in text
    assert "**skipped (no call of ours sings)**" in text
    assert "evidence/x/stacks-2.txt" in links(path)
    assert all((tmp_path / target.partition("#")[0]).exists() for target in links(path) if not target.startswith("#"))
