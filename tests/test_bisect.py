"""Bisection over releases, on histories: where the change is found, and what is said where it cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.decide.bisect.measured import Measured
from harness.decide.bisect.search import search
from harness.environments import releases
from harness.errors import BadInput
from harness.records.outcomes import Outcome
from harness.summary.summary import GRAVITY

PACE = (100.0, 101.0, 99.0, 100.5, 99.5)


def release(version: str, outcome: Outcome | None = Outcome.OK, factor: float = 1.0) -> Measured:
    paces = tuple(factor * pace for pace in PACE) if outcome is Outcome.OK else ()
    ended = (outcome,) * len(PACE) if outcome else ()
    return Measured(version=version, outcome=outcome, reason=f"{version} {outcome}", ended=ended, paces_per_s=paces)


@given(st.integers(2, 40), st.data())
def test_the_release_at_which_the_outcome_changed_is_found_by_halving(count: int, data: st.DataObject) -> None:
    first_bad = data.draw(st.integers(1, count - 1))
    asked: list[str] = []

    def measure(version: str) -> Measured:
        asked.append(version)
        return release(version, Outcome.OK if int(version) < first_bad else Outcome.HUNG)

    answer = search([str(number) for number in range(count)], measure)
    assert (answer.last_good.version, answer.first_bad.version) == (str(first_bad - 1), str(first_bad))
    assert answer.between == ()
    assert answer.what == "outcome ok -> hung (ok 5 -> hung 5)"
    assert len(asked) == len(set(asked)) <= 2 + count.bit_length()


def test_a_change_of_pace_is_found_where_outcomes_are_the_same() -> None:
    answer = search(list("abcdef"), lambda version: release(version, factor=1.0 if version < "d" else 0.7))
    assert (answer.last_good.version, answer.first_bad.version) == ("c", "d")
    assert answer.what.startswith("pace, ratio 0.700")


def test_releases_that_cannot_be_had_are_passed_over_and_named() -> None:
    def measure(version: str) -> Measured:
        if version in "cd":
            return release(version, None)
        return release(version, Outcome.OK if version < "c" else Outcome.CRASHED)

    answer = search(list("abcdef"), measure)
    assert (answer.last_good.version, answer.first_bad.version, answer.between) == ("b", "e", ("c", "d"))


def test_where_the_outcome_changed_the_pace_of_a_release_does_not_matter() -> None:
    def measure(version: str) -> Measured:
        return release(version, Outcome.OK if version < "d" else Outcome.HUNG, factor=1.3 if version == "c" else 1.0)

    answer = search(list("abcdef"), measure)
    assert (answer.last_good.version, answer.first_bad.version, answer.between) == ("c", "d", ())


def test_a_release_whose_pace_is_like_both_ends_is_passed_over_and_named() -> None:
    ended = (Outcome.OK,) * 5
    vague = Measured(version="c", outcome=Outcome.OK, reason="", ended=ended, paces_per_s=(96.0, 70.0, 99.0, 74.0, 100.0))

    def measure(version: str) -> Measured:
        return vague if version == "c" else release(version, factor=1.0 if version < "c" else 0.85)

    answer = search(list("abcde"), measure)
    assert (answer.last_good.version, answer.first_bad.version, answer.between) == ("b", "d", ("c",))


@pytest.mark.parametrize("bad", [release("b"), release("b", factor=1.001), release("b", None), release("b", Outcome.INVALID)])
def test_ends_that_do_not_differ_or_could_not_be_measured_are_refused(bad: Measured) -> None:
    with pytest.raises(BadInput, match=r"not shown to differ|could not be measured"):
        search(["a", "b"], lambda version: release("a") if version == "a" else bad)


@pytest.mark.parametrize("bad", [Outcome.ERRORS, Outcome.HUNG])
def test_ends_that_both_fail_are_told_as_that_and_nothing_is_said_of_their_pace(bad: Outcome) -> None:
    ends = {"a": Outcome.ERRORS, "c": bad}
    known = {name: replace(release(name, outcome), evidence=f"{name}/worker.log") for name, outcome in ends.items()}
    known = {name: replace(one, ended=one.ended[:2]) for name, one in known.items()}  # too few to tell errors from a hang
    with pytest.raises(BadInput, match="a and c both fail") as raised:
        search(list("abc"), known.__getitem__)
    assert "--good is no good end: a errors" in str(raised.value)
    assert "pace" not in str(raised.value)
    assert ("--good" in str(raised.value.remedy), raised.value.evidence) == (True, "a/worker.log")


def test_a_pace_of_one_end_alone_is_said_to_be_none_to_compare() -> None:
    known = {"a": release("a"), "b": replace(release("b"), paces_per_s=())}
    with pytest.raises(BadInput, match="pace: without figures of both"):
        search(list("ab"), known.__getitem__)


def counted(version: str, hung: int, of: int) -> Measured:
    ended = (Outcome.HUNG,) * hung + (Outcome.OK,) * (of - hung)
    return Measured(version=version, outcome=min(ended, key=GRAVITY.index), reason="", ended=ended)


@pytest.mark.parametrize(("hung", "of"), [((0, 1), 1), ((0, 1), 3), ((0, 1), 30), ((1, 2), 5)])
def test_ends_whose_outcomes_chance_alone_may_have_made_are_refused(hung: tuple[int, int], of: int) -> None:
    with pytest.raises(BadInput, match="are not shown to differ") as raised:
        search(["a", "b"], lambda version: counted(version, hung[version == "b"], of))
    assert f"--repeat {2 * of})" in raised.value.remedy, "more than were run"


def test_a_release_that_hangs_in_some_trials_is_like_the_end_whose_counts_it_has() -> None:
    hung = {"a": 0, "b": 1, "c": 15, "d": 14, "e": 15}
    answer = search(list("abcde"), lambda version: counted(version, hung[version], 30))
    assert (answer.last_good.version, answer.first_bad.version, answer.between) == ("b", "c", ())
    assert answer.what == "outcome ok -> hung (ok 30 -> ok 15, hung 15)"


def test_a_release_of_few_trials_that_is_like_both_ends_is_passed_over() -> None:
    answer = search(list("abc"), lambda version: counted(version, {"a": 0, "b": 1, "c": 3}[version], 3))
    assert (answer.last_good.version, answer.first_bad.version, answer.between) == ("a", "c", ("b",))


def test_releases_stand_in_the_direction_from_good_to_bad() -> None:
    known = releases.in_order(["5.5.0", "5.10.0", "5.4.0", "5.6.0rc1", "5.4.1"])
    assert releases.named(["5.6.0rc1", " 5.4.0"]) == ["5.4.0", "5.6.0rc1"]
    assert releases.between(known, "5.4.1", "5.10") == ["5.4.1", "5.5.0", "5.10.0"]
    assert releases.between(known, "5.10.0", "5.4.1") == ["5.10.0", "5.5.0", "5.4.1"]
    for good, bad in (("5.4", "5.9"), ("5.4", "5.4.0"), ("x", "5.4")):
        with pytest.raises(BadInput):
            releases.between(known, good, bad)
