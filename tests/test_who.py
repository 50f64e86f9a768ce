"""Which places of the answers only say who answered."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from harness.applications.probe import who
from harness.applications.probe.checks import reference

CHILDREN = ("ForkPoolWorker-1", "ForkPoolWorker-2")
EXPECTED = [(row, {"label": "abc"[row], "by": "MainProcess"}) for row in range(3)]
NAMES: dict[Hashable, frozenset[Any]] = {number: frozenset({name, 700 + number, "vm"}) for number, name in enumerate(CHILDREN)}


def by(*values: Any, labels: str = "abcabc") -> list[tuple[int, Any, int]]:
    """Six answers, two for each row, of two executors in turn, with the values in turn."""
    return [(number % 3, {"label": labels[number], "by": values[number % len(values)]}, number % 2) for number in range(6)]


@pytest.mark.parametrize("values", [CHILDREN, (700, 701), ("vm",), (CHILDREN[0], "MainProcess", CHILDREN[0], CHILDREN[1])])
def test_a_place_that_holds_a_name_of_its_executor_is_one(values: tuple[Any, ...]) -> None:
    told = [(row, answer, 0 if answer["by"] in (CHILDREN[0], "MainProcess", 700) else 1) for row, answer, _ in by(*values)]
    assert who.answered(told, reference(EXPECTED), NAMES) == {("by",)}


def test_one_executor_is_enough_and_so_is_one_row() -> None:
    told = [(row, {**answer, "by": CHILDREN[0]}, 0) for row, answer, _ in by("")]
    assert who.answered(told, reference(EXPECTED), NAMES) == {("by",)}
    assert who.answered(told[:1], reference(EXPECTED[:1]), NAMES) == {("by",)}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (by("unset"), "one value everywhere may be a setting that is lost"),
        (by("USD", "GBP"), "each has another value, and it is no name of either"),
        (by(*reversed(CHILDREN)), "the name of another executor"),
        (by(*CHILDREN, CHILDREN[0], "x"), "one answer holds something else"),
        (by(1, 2), "a small number may be anything"),
        ([(row, {"label": answer["label"]}, name) for row, answer, name in by(*CHILDREN)], "it is not there"),
        ([], "nothing came"),
    ],
)
def test_what_is_no_name_of_an_executor_stays_compared(told: list[tuple[int, Any, int]], why: str) -> None:
    assert who.answered(told, reference(EXPECTED), NAMES) == frozenset(), why


def test_a_text_with_a_name_is_one_if_a_name_was_expected_there_and_the_rest_is_the_same() -> None:
    expected = reference([(row, {"label": "abc"[row], "by": "vm/MainProcess: 1"}) for row in range(3)])
    assert who.answered(by(*(f"vm/{name}: 1" for name in CHILDREN)), expected, NAMES) == {("by",)}
    assert who.answered(by(*(f"vm/{name}: 2" for name in CHILDREN)), expected, NAMES) == frozenset()
    assert who.answered(by("vm/unset: 1"), expected, NAMES) == frozenset()


def test_a_greenlet_has_another_number_in_each_request() -> None:
    told = [(number % 3, {"label": "abc"[number % 3], "by": f"Dummy-{number}"}, 0) for number in range(6)]
    own: dict[Hashable, frozenset[Any]] = {0: frozenset({"Dummy-#", "vm"})}
    assert who.answered(told, reference(EXPECTED), own) == {("by",)}
    assert who.answered([*told, (0, {"label": "a", "by": "Dummy"}, 0)], reference(EXPECTED), own) == frozenset()


def test_a_wrong_label_beside_a_name_stays_compared() -> None:
    assert who.answered(by(*CHILDREN, labels="xyzxyz"), reference(EXPECTED), NAMES) == {("by",)}


def test_a_flag_that_is_turned_in_every_answer_may_say_who_answered() -> None:
    expected = reference([(row, {"label": "abc"[row], "by": False}) for row in range(3)])
    assert who.flags(by(True), expected) == {("by",)}
    assert who.flags(by(True, False), expected) == frozenset()
    assert who.flags(by(1), expected) == frozenset(), "a number is no flag"
    assert who.flags([(0, {"label": "a", "by": True}, 0)], reference([(0, {"label": "a", "by": False})])) == frozenset()
    of_rows = reference([(row, {"label": "abc"[row], "by": row == 0}) for row in range(3)])
    assert who.flags(by(True), of_rows) == frozenset(), "it hangs on the row"


def test_answers_that_agree_with_each_other_alone_are_told_from_those_that_change() -> None:
    expected = reference([(row, {"label": "abc"[row], "rank": 1}) for row in range(3)])
    told = [(row, {"label": "abc"[row], "rank": row + 1}, turn) for turn in range(2) for row in range(3)]
    assert who.agreed(told, expected) == {("rank",)}
    assert who.agreed([*told, (1, {"label": "b", "rank": 1}, 2)], expected) == frozenset(), "it is right at times"


def test_what_a_worker_told_of_its_executors_is_read_by_process_and_thread(tmp_path: Path) -> None:
    lines = [json.dumps([8, ["a", 7]]), json.dumps([8, ["b"]]), json.dumps([9, ["c"]]), "[9, ["]
    (tmp_path / "7.names").write_text("\n".join(lines))
    assert who.names(tmp_path) == {(7, 8): {"a", "b", 7}, (7, 9): {"c"}}
