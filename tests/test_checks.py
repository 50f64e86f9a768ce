"""What a right answer of somebody's own task is."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.applications.probe.checks import Expression, differences, reference

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON)
def test_an_answer_is_like_itself(value: Any) -> None:
    assert list(differences(value, value)) == []


@pytest.mark.parametrize(
    ("expected", "got", "places"),
    [
        ({"a": 1.0}, {"a": 1.0005}, []),
        ({"a": 1.0}, {"a": 1.01}, [("a",)]),
        ([1, [2, 3]], [1, [2, 4]], [("*", "*")]),
        ([1], [1, 2], [()]),
        ({"a": 1}, {"b": 1}, [()]),
        ({"a": 1}, {"a": "1"}, [("a",)]),
        (True, 1, [()]),
        (5000123, 5000124, [()]),
        (1000.0, 1000.5, []),
        (10**400, 10**400 + 1, [()]),
        (None, None, []),
        (math.nan, math.nan, []),
        (1.0, math.nan, [()]),
    ],
)
def test_where_answers_differ(expected: Any, got: Any, places: list[tuple[str, ...]]) -> None:
    assert [place for place, _ in differences(expected, got)] == places


def test_what_differs_between_serial_calls_is_not_compared() -> None:
    found = reference([(0, {"at": 1, "sum": 5}), (1, {"at": 2, "sum": 7}), (0, {"at": 9, "sum": 5})])
    assert found.usable
    assert found.said() == "not compared, for it differs from call to call: result.at"
    assert found(1, {"at": 77, "sum": 7}) == (True, 0.0)
    assert found(1, {"at": 77, "sum": 8}) == (False, 1.0)
    assert found(0, {"sum": 5}) == (False, math.inf)
    assert found.differed == {("sum",): 1, (): 1}
    assert found(9, "a row whose serial call raised") == (True, 0.0)


def test_serial_calls_that_agree_in_nothing_are_no_reference() -> None:
    assert not reference([(0, "a"), (0, "b")]).usable
    assert not reference([]).usable
    scores = [(0, {"scores": [1.0, 2.0]}), (0, {"scores": [3.0, 4.0]})]
    assert not reference(scores).usable, "every place of it differs"
    assert reference([*scores, (1, {"scores": [5.0], "label": "cat"})]).usable
    assert not reference([(0, [{"at": 1}]), (0, [{"at": 2}])]).usable


def test_an_expression_decides_and_an_answer_that_breaks_it_is_wrong() -> None:
    check = Expression(text="len(result) == args[0]", rows=[[2], {"args": [3], "kwargs": {}}])
    assert check(0, [1, 1]) == (True, 0.0)
    assert check(1, [1, 1]) == (False, math.inf)
    assert check(0, None) == (False, math.inf)
    named = Expression(text="result == kwargs['count']", rows=[{"count": 4}])
    assert named(0, 4)[0]
