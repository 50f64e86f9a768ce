"""What trials say of a statement, and the verdict that several cases allow. Nothing is guessed."""

from __future__ import annotations

import pytest

from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.studies.claims import cases
from harness.studies.claims.cases import Case, Ruling, RulingWord, Stand
from tests.test_store import record

CELL = Cell(backend="theano", pool="prefork")
OK = {"outcome": Outcome.OK, "requests": 5, "ok": 5}
HUNG = {"outcome": Outcome.HUNG}
INVALID = {"outcome": Outcome.INVALID, "reason": "machine too noisy", "ok": 5}


def case(stand: Stand, **where: object) -> Case:
    return Case(name="-".join(map(str, where.values())), backend="theano", where=where, stand=stand, seen="so")


@pytest.mark.parametrize(
    ("trials", "stand", "seen"),
    [
        ([HUNG], Stand.AGREES, "hung 1 of 1"),
        ([HUNG, HUNG, HUNG], Stand.AGREES, "hung 3 of 3"),
        ([OK], Stand.CONTRADICTS, "ok 1 of 1"),
        ([HUNG, OK], Stand.SOMETIMES, "hung 1 of 2, ok 1 of 2"),
        ([HUNG, INVALID], Stand.AGREES, "hung 1 of 2, invalid 1 of 2"),
        ([INVALID], Stand.UNKNOWN, "invalid 1 of 1: machine too noisy"),
        ([{"outcome": Outcome.SKIPPED, "reason": "no interpreter"}], Stand.UNKNOWN, "skipped 1 of 1: no interpreter"),
        ([{**OK, "outcome": Outcome.SLOW, "reason": "cut off"}], Stand.UNKNOWN, "slow 1 of 1: cut off"),
        ([], Stand.UNKNOWN, "not run"),
    ],
)
def test_a_cell_says_what_its_trials_did_and_no_more(trials: list[dict[str, object]], stand: Stand, seen: str) -> None:
    found = cases.case_of(CELL, [record(CELL, **changes) for changes in trials], cases.hung)
    assert (found.stand, found.seen) == (stand, seen)


@pytest.mark.parametrize(
    ("changes", "answered"),
    [
        (OK, True),
        ({**OK, "outcome": Outcome.STALLED}, True),
        ({**OK, "outcome": Outcome.STALLED, "unanswered": 1}, False),
        ({**OK, "outcome": Outcome.SLOW}, False),
        ({**OK, "outcome": Outcome.STALLED, "errors": {"ValueError: x": 1}}, False),
        ({**OK, "outcome": Outcome.WRONG, "wrong": 1}, False),
        (HUNG, False),
    ],
)
def test_answered_means_right_answers_at_whatever_pace(changes: dict[str, object], answered: bool) -> None:
    assert cases.answered(record(**changes)) is answered


def test_links_lead_to_evidence_then_to_requests_then_to_the_record() -> None:
    trials = [
        record(evidence="evidence/x/stacks-1.txt", requests_file="requests/x.parquet"),
        record(requests_file="r"),
        record(),
    ]
    assert cases.links(trials) == ("evidence/x/stacks-1.txt", "r", "trials.jsonl")
    assert cases.links([record(**INVALID)]) == ()


YES, NO, MAYBE = case(Stand.AGREES, call="graph"), case(Stand.CONTRADICTS, call="predict"), case(Stand.UNKNOWN, call="direct")


@pytest.mark.parametrize(
    ("found", "word", "part"),
    [
        ([YES], RulingWord.HOLDS, ""),
        ([NO], RulingWord.REFUTED, ""),
        ([YES, NO], RulingWord.ONLY_IF, "call is graph"),
        ([YES, MAYBE], RulingWord.CANNOT_SAY, "1 of 2 cases unknown; direct: so"),
        ([NO, MAYBE], RulingWord.CANNOT_SAY, "direct"),
        ([YES, NO, MAYBE], RulingWord.ONLY_IF, "1 of 3 cases unknown"),
        ([case(Stand.SOMETIMES, call="graph")], RulingWord.ONLY_IF, "one is lucky"),
        ([], RulingWord.NOT_HERE, ""),
    ],
)
def test_what_is_unknown_is_no_verdict(found: list[Case], word: RulingWord, part: str) -> None:
    one = cases.ruling(found)
    assert one.word is word
    assert part in one.condition


def test_a_condition_is_one_dimension_or_two_or_else_the_cases_themselves() -> None:
    agree, contradict = Stand.AGREES, Stand.CONTRADICTS
    both = [
        case(agree, call="a", workload="x"),
        case(contradict, call="a", workload="y"),
        case(contradict, call="b", workload="x"),
    ]
    assert cases.condition(both) == "call with workload is a with x"
    three = [case(agree, call="a"), case(agree, call="b"), case(agree, call="c"), case(contradict, call="d")]
    assert cases.condition(three) == "call is not d"
    same = [case(agree, call="a"), case(contradict, call="a")]
    assert cases.condition(same) == "it is one of a"


HOLDS, REFUTED = Ruling(word=RulingWord.HOLDS), Ruling(word=RulingWord.REFUTED)
ONLY, SILENT = (
    Ruling(word=RulingWord.ONLY_IF, condition="call is graph"),
    Ruling(word=RulingWord.CANNOT_SAY, condition="not run"),
)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"a": HOLDS, "b": HOLDS}, "holds"),
        ({"a": REFUTED, "b": Ruling(word=RulingWord.NOT_HERE)}, "refuted"),
        ({"a": HOLDS, "b": REFUTED}, "holds only if the backend is a"),
        ({"a": ONLY, "b": ONLY, "c": HOLDS}, "holds only if the backend is a or b and call is graph; or the backend is c"),
        ({"a": HOLDS, "b": SILENT}, "cannot say (b: not run)"),
        ({"a": REFUTED, "b": SILENT}, "cannot say (b: not run)"),
        ({"a": HOLDS, "b": REFUTED, "c": SILENT}, "holds only if the backend is a; on c it cannot be said"),
        ({"a": ONLY, "b": ONLY}, "holds only if call is graph"),
        ({}, "cannot say (no backend tells)"),
    ],
)
def test_backends_that_differ_make_a_condition(said: dict[str, Ruling], text: str) -> None:
    assert str(cases.together(said)) == text
