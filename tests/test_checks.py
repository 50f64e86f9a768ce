"""What a right answer of somebody's own task is."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.applications.probe.checks import Expression, reference
from harness.applications.probe.differences import differences
from harness.client import opaque

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
        ([1, [2, 3]], [1, [2, 4]], [("1", "*")]),
        ([[2, 3]], [[2, 4]], [("*", "*")]),
        (["cat", 0.9], ["cat", 0.5], [("1",)]),
        ([["cat", 0.9], ["dog", 0.1]], [["cat", 0.9], ["cow", 0.1]], [("*", "0")]),
        (["cat", *range(8)], ["cat", *range(1, 9)], [("*",)] * 8),
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
        (math.inf, math.inf, []),
        (math.inf, 1.0, [()]),
        (1.0, math.inf, [()]),
        (math.inf, -math.inf, [()]),
        ('{"score": 0.5, "ms": 3}', '{"ms": 7, "score": 0.50001}', [("ms",)]),
        ({"answer": '[["cat", 0.9]]'}, {"answer": '[["dog", 0.9]]'}, [("answer", "*", "0")]),
        ("[INFO] done", "[INFO] gone", [()]),
        ('{"a": 1}', "[]", [()]),
        ('{"a": 1}', {"a": 1}, [()]),
    ],
)
def test_where_answers_differ(expected: Any, got: Any, places: list[tuple[str, ...]]) -> None:
    assert [one.place for one in differences(expected, got)] == places


def test_what_differs_between_serial_calls_is_not_compared() -> None:
    found = reference([(0, {"at": 1, "sum": 5}), (1, {"at": 2, "sum": 7}), (0, {"at": 9, "sum": 5})])
    assert found.usable
    assert found.said([[1]] * 9) == ["not compared, for it differs from call to call: result.at"]
    assert found(1, {"at": 77, "sum": 7}) == (True, 0.0)
    assert found(1, {"at": 77, "sum": 8}) == (False, 1.0)
    assert found(0, {"sum": 5}) == (False, math.inf)
    assert found.differed == {("sum",): 1, (): 1}
    assert found(9, "a row whose serial call raised") == (True, 0.0)


def test_a_text_in_json_is_compared_but_for_what_differs_in_it() -> None:
    found = reference([(0, '{"score": 0.25, "ms": 3}'), (0, '{"score": 0.25, "ms": 4}'), (1, '{"score": 0.75, "ms": 3}')])
    assert found.part == "1 of 2 fields"
    assert found(0, '{"score": 0.25, "ms": 9}')[0]
    assert not found(0, '{"score": 0.75, "ms": 3}')[0]
    assert found.crossed[True] == 1, "it is the other row's"


def test_a_label_is_compared_beside_a_score_that_is_left_out() -> None:
    found = reference([(0, ["cat", 0.9]), (0, ["cat", 0.8]), (1, ["dog", 0.7])])
    assert found.said([[1]] * 9) == ["not compared, for it differs from call to call: result.1"]
    assert found(1, ["dog", 0.1])[0]
    assert not found(1, ["cat", 0.7])[0]
    none = reference([(0, ["cat", 0.9]), (0, ["cat", 0.8]), (1, [0.6, 0.7])])
    assert none(1, [0.6, 0.1])[0], "a list of one kind has one place, and a part of it is left out"


def test_what_changes_by_itself_after_a_trial_is_left_out_from_then_on() -> None:
    found = reference([(0, {"minute": 7, "sum": 5}), (0, {"minute": 7, "sum": 5})])
    assert not found(0, {"minute": 8, "sum": 5})[0]
    assert found.examples[("minute",)][0] == 0
    upheld = found.after([(0, {"minute": 7, "sum": 5})])
    assert (upheld.upheld, upheld.later, upheld.behind) == (True, frozenset(), frozenset())
    assert not found.after([]).upheld, "nothing came: nothing is known"
    after = found.after([(0, {"minute": 8, "sum": 5})], [(0, {"minute": 9, "sum": 5})])
    assert (after.upheld, after.later, after.behind, after.usable) == (False, {("minute",)}, frozenset(), True)
    after.begin()
    assert after(0, {"minute": 8, "sum": 5})[0]
    assert not after(0, {"minute": 8, "sum": 6})[0]
    assert after.coverage().endswith("; left out, for they differ from before a trial to after it: result.minute")
    both = after.after([(0, {"minute": 9, "sum": 6})], [(0, {"minute": 9, "sum": 7})])
    assert (both.later, both.usable) == ({("minute",), ("sum",)}, False)


def test_what_changed_during_a_trial_and_stays_so_is_left_out_of_it_and_compared_with_what_is_now() -> None:
    found = reference([(0, {"weight": 3.5}), (1, {"weight": 7.0})])
    now = [(0, {"weight": 0}), (1, {"weight": 0})]
    after = found.after(now, now)
    assert (after.later, after.behind, after.usable) == (frozenset(), {("weight",)}, False)
    since = after.from_now_on(now[:1])
    assert since(0, {"weight": 0}) == (True, 0.0)
    assert not since(0, {"weight": 3.5})[0]
    since(1, {"weight": 1})
    assert since.coverage() == "the whole answer in 2 of 3 answers", "of the other row nothing is known any more"


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


def test_coverage_counts_fields_and_answers() -> None:
    found = reference([(0, {"at": 1, "sum": 5, "label": "a"}), (0, {"at": 2, "sum": 5, "label": "a"})])
    assert found.coverage() == ""
    found(0, {"at": 3, "sum": 5, "label": "a"})
    found(4, "a row whose serial call raised")
    left_out = "left out, for they differ from call to call: result.at"
    assert found.coverage() == f"2 of 3 fields in 1 of 2 answers, numbers within 0.1 %; {left_out}"
    found.begin()
    assert found.coverage() == ""
    whole = reference([(0, ["a"])])
    whole(0, ["a"])
    assert whole.coverage() == "the whole answer in 1 of 1 answers"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([(0, 5)], ["one row has an answer"]),
        ([(0, 5), (1, 5)], ["all 2 rows have the same answer"]),
        ([(0, {"a": 5, "b": 1}), (0, {"a": 5, "b": 2}), (1, {"a": 5, "b": 3})], ["not compared", "all 2 rows have the same"]),
        ([(0, 5), (1, 6)], []),
    ],
)
def test_rows_that_cannot_be_told_apart_are_named(answers: list[tuple[int, Any]], said: list[str]) -> None:
    told = reference(answers).said([[1]] * 9)
    assert len(told) == len(said)
    assert all(text.startswith(begin) for text, begin in zip(told, said, strict=True))


def test_a_task_without_arguments_is_not_told_to_be_given_others() -> None:
    (with_some,), (without,) = (reference([(0, 5)]).said([row]) for row in ([3], []))
    assert with_some.endswith("; --args with different ones shows it")
    assert without.endswith("could not be seen")


def test_other_processes_may_answer_otherwise_in_places_that_are_then_left_out() -> None:
    found = reference([(0, {"label": "a", "pid": 7}), (1, {"label": "b", "pid": 7})])
    beside = found.beside([(0, {"label": "a", "pid": 8}), (3, "a row that was never called")])
    assert beside.said([[1]] * 9) == [
        "not compared, for it differs from process to process, beside other threads, under load, or in another order: "
        "result.pid"
    ]
    assert beside(1, {"label": "b", "pid": 9}) == (True, 0.0)
    assert not beside(1, {"label": "a", "pid": 9})[0]
    assert not found(1, {"label": "b", "pid": 9})[0]
    assert not found.beside([(0, "b"), (1, "a")]).usable


@pytest.mark.parametrize(
    ("rtol", "got", "right"),
    [(1e-3, 1.0005e-8, True), (1e-3, 1.1e-8, False), (0.2, 1.1e-8, True), (1e-3, 0.0, False), (1e-3, math.nan, False)],
)
def test_numbers_are_compared_by_a_share_however_small_they_are(rtol: float, got: float, right: bool) -> None:
    found = reference([(0, [1e-8]), (1, [3e-8])], rtol)
    assert found(0, [got])[0] is right


def test_near_zero_a_share_of_the_largest_number_at_the_place_decides() -> None:
    found = reference([(0, {"p": [0.0, 1000.0]}), (1, {"p": [5.0, 2.0]})])
    assert found(0, {"p": [0.009, 1000.0]})[0]
    assert not found(0, {"p": [0.02, 1000.0]})[0]


PLACES = {0: (52.53021, 13.37954), 1: (52.52912, 13.40111), 2: (52.54038, 13.40763)}
TOWN = [(row, {"row": row, "lat": lat, "lon": lon}) for row, (lat, lon) in PLACES.items()]


def weighed(answers: list[tuple[int, Any]], town: list[tuple[int, Any]]) -> list[bool]:
    found = reference(town)
    found.weigh(answers)
    return [found(row, answer)[0] for row, answer in answers]


def test_an_answer_that_is_another_rows_to_the_last_digit_is_wrong_however_near() -> None:
    crossed = [(0, {"row": 0, "lat": 52.52912, "lon": 13.40111}), (1, {"row": 1, "lat": 52.54038, "lon": 13.40763}), TOWN[2]]
    assert weighed(crossed, TOWN) == [False, False, True]
    found = reference(TOWN)
    assert found.said([[1]] * 3) == [], "such rows can be told apart"
    assert weighed([(0, 1700000007.0)], [(0, 1700000002.0), (1, 1700000007.0)]) == [False]
    assert weighed([(0, 19.98)], [(0, 19.99), (1, 19.98)]) == [False]


def test_what_adding_up_in_another_order_does_is_no_other_rows_answer() -> None:
    nearly = [(row, {**answer, "lat": answer["lat"] * (1 + 1e-5)}) for row, answer in TOWN]
    assert weighed(nearly, TOWN) == [True] * 3
    scores = [(row, 0.71 + row * 1e-4) for row in range(4)]
    noisy = [(0, 0.71013), (1, 0.71021), (2, 0.71019), (3, 0.71)]  # one of them is row 0's by chance
    assert weighed(noisy, scores) == [True] * 4
    assert weighed([(0, 0.7)], scores) == [False], "beyond the tolerance"


def test_a_place_that_is_left_out_says_nothing_of_whose_answer_it_is() -> None:
    town = [*TOWN, (0, {"row": 7, "lat": 52.53021, "lon": 13.37954})]
    assert weighed([(0, {"row": 9, "lat": 52.52912, "lon": 13.40111})], town) == [False]
    assert weighed([(0, {"row": 9, "lat": 52.53021, "lon": 13.37954})], town) == [True]


def test_processes_that_get_each_others_answers_are_no_reason_to_leave_anything_out() -> None:
    rows = [(row, {"user": row, "age": 20 + row}) for row in range(3)]
    shared = reference(rows).beside([*rows, (0, {"user": 1, "age": 21})], [*rows, (2, {"user": 0, "age": 20})])
    assert (shared.swapped, shared.elsewhere) == (True, frozenset())
    assert not shared(0, {"user": 1, "age": 21})[0]
    assert any("got each other's answers" in text for text in shared.said([[1]] * 3))
    apart = reference(rows).beside(rows, rows)
    assert not apart.swapped
    by_hashes = reference([(0, "cat"), (1, "dog")]).beside([(0, "dog"), (1, "dog")], [(0, "cat"), (1, "cat")])
    assert not by_hashes.swapped, "each of these processes agrees with itself"
    assert not by_hashes.usable


def test_an_answer_that_hangs_on_the_request_before_is_left_out() -> None:
    first = [(0, {"name": "Ann", "greeting": "hello"}), (1, {"name": "Bob", "greeting": "bonjour"})]
    found = reference(first).beside([*first, (0, {"name": "Ann", "greeting": "bonjour"})])
    assert found.elsewhere == {("greeting",)}


def nested(depth: int) -> bytes:
    return b'{"status": "SUCCESS", "result": ' + b'{"next": ' * depth + b"7" + b"}" * (depth + 1)


def test_an_answer_may_be_nested_as_deeply_as_celery_writes_it() -> None:
    limit = sys.getrecursionlimit()
    with opaque.deep():
        tree = opaque.plain(opaque.decoded(nested(900))["result"])
        assert reference([(0, tree)])(0, tree)[0]
    assert sys.getrecursionlimit() == limit, "what others may rely on"


def test_an_answer_that_is_nested_beyond_all_bounds_cannot_be_read_and_ends_nothing() -> None:
    assert opaque.decoded(nested(100_000)) is None
    with opaque.deep():  # in which what can be read has to be followed, too
        assert opaque.decoded(nested(opaque.NESTED + 500)) is None
