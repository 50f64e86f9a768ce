"""Which places of the answers only say who answered."""

from __future__ import annotations

from typing import Any

import pytest

from harness.applications.probe import who
from harness.applications.probe.checks import reference

CHILDREN = ("ForkPoolWorker-1", "ForkPoolWorker-2")
EXPECTED = [(row, {"label": "abc"[row], "by": "MainProcess"}) for row in range(3)]


def by(names: list[str], labels: str = "abcabc") -> list[tuple[int, Any, int]]:
    """Six answers, two for each row; of each name in turn one."""
    own = list(dict.fromkeys(names))
    return [
        (number % 3, {"label": labels[number], "by": names[number % len(names)]}, own.index(names[number % len(names)]))
        for number in range(6)
    ]


def test_a_place_that_each_executor_fills_with_its_own_name_is_one() -> None:
    assert who.answered(by([*CHILDREN]), reference(EXPECTED)) == {("by",)}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (by(["unset"]), "one value everywhere may be a setting that is lost"),
        ([(row, answer, number % 2) for number, (row, answer, _) in enumerate(by(["unset"]))], "both executors say the same"),
        ([(row, {**answer, "by": f"x{number}"}, 1) for number, (row, answer, _) in enumerate(by(["a"]))], "it changes in one"),
        (by(["MainProcess", CHILDREN[0]]), "one of them answers as is expected"),
        ([(row, {"label": answer["label"]}, name) for row, answer, name in by([*CHILDREN])], "it is not there"),
        ([], "nothing came"),
    ],
)
def test_what_is_no_name_of_an_executor_stays_compared(told: list[tuple[int, Any, int]], why: str) -> None:
    assert who.answered(told, reference(EXPECTED)) == frozenset(), why


def test_what_hangs_on_the_row_is_no_name_of_an_executor() -> None:
    assert who.answered(by([*CHILDREN], "xyzxyz"), reference(EXPECTED)) == {("by",)}, "the wrong label stays compared"
    one_row = [(0, answer, name) for _, answer, name in by([*CHILDREN])]
    assert who.answered(one_row, reference(EXPECTED[:1])) == frozenset(), "of one row nobody knows what hangs on it"
