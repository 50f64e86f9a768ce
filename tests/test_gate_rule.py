"""When a gate of two commits decides, and what it then says: over plain pairs of trials."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np
import pytest

from harness.applications.gate import gate, rule
from harness.applications.gate.gate import PoolAnswer
from harness.applications.gate.rule import Pair, Rule, Trial, Word, decide
from harness.certainty import sequential
from harness.experiment import seeds
from harness.records.outcomes import Outcome
from harness.run.workflow import Silent

RULE = Rule().among(1)


def trial(
    pace: float | None = None, cpu_s: float = 0.010, outcome: Outcome = Outcome.OK, seconds: float = 10.0, own_s: float = 0.010
) -> Trial:
    answered = outcome is Outcome.OK
    return Trial(
        outcome=outcome, reason=f"it ended {outcome}", pace_per_s=pace or 100.0 if answered else None,
        cpu_s=cpu_s if answered else None, own_s=own_s if answered else None, seconds=seconds,
    )  # fmt: skip


def pairs(*slower: float, cpu: float = 1.0, time: float = 1.0) -> list[Pair]:
    """Pairs in which the head is slower by these shares, and takes so many times the CPU time, and time of an executor."""
    takes = [(0.010 * cpu * (1 + share / 50), 0.010 * time * (1 - share / 50)) for share in slower]
    heads = [trial(100.0 * (1 - share), cpu_s, own_s=own_s) for share, (cpu_s, own_s) in zip(slower, takes, strict=True)]
    return [Pair(base=trial(100.0), head=head) for head in heads]


def ended(*both: tuple[Outcome, Outcome]) -> list[Pair]:
    return [Pair(base=trial(outcome=base), head=trial(outcome=head)) for base, head in both]


OK, HUNG, ERRORS, INVALID = Outcome.OK, Outcome.HUNG, Outcome.ERRORS, Outcome.INVALID


# Outcomes


def test_a_head_that_hangs_is_worse_once_a_second_trial_confirms_it() -> None:
    once = decide(ended((OK, HUNG)), RULE)
    assert (once.word, once.decided) == (Word.CANNOT_SAY, False)
    twice = decide(ended((OK, HUNG), (OK, HUNG)), RULE)
    assert (twice.word, twice.by, twice.decided) == (Word.WORSE, "outcome", True)
    assert "base ok 2, head hung 2" in twice.reason
    assert "it ended hung" in twice.reason


@pytest.mark.parametrize("word", [one for one in Outcome if trial(outcome=one).failed])
def test_every_outcome_that_is_no_answer_fails_the_head(word: Outcome) -> None:
    assert decide(ended((OK, word), (OK, word)), RULE).word is Word.WORSE


def test_two_sides_that_fail_alike_have_nothing_to_compare() -> None:
    found = decide(ended((ERRORS, ERRORS), (ERRORS, ERRORS)), RULE)
    assert (found.word, found.by, found.decided) == (Word.CANNOT_SAY, "outcome", True)
    assert "both sides fail" in found.reason


def test_a_base_that_alone_fails_lets_the_head_pass() -> None:
    found = decide(ended((HUNG, OK), (HUNG, OK)), RULE)
    assert (found.word, found.by) == (Word.PASSES, "outcome")


def test_one_failure_among_many_neither_fails_the_head_nor_lets_it_pass() -> None:
    found = decide([*pairs(*[0.0, 0.001] * 10), *ended((OK, HUNG))], RULE)
    assert (found.word, found.decided) == (Word.CANNOT_SAY, False)
    assert "too few to tell from chance" in found.reason


def test_a_head_that_fails_in_half_of_the_trials_is_worse_in_the_end() -> None:
    found = decide(ended(*[(OK, OK), (OK, HUNG)] * 10), RULE)
    assert (found.word, found.by) == (Word.WORSE, "outcome")
    assert "fails more often" in found.reason


def test_sides_that_both_fail_in_a_third_of_the_trials_are_seldom_told_apart() -> None:
    """At every look of 30, that is; the game is fair, so by chance it is won in 2.5 % of gates at the most."""
    dice = np.random.default_rng(1)
    false = 0
    for _ in range(300):
        failed = dice.random((30, 2)) < 1 / 3
        both = ended(*[(HUNG if base else OK, HUNG if head else OK) for base, head in failed])
        false += any(rule._fails_more(both[:count], RULE.confidence) for count in range(1, 31))
    assert false / 300 <= 0.025


def test_trials_that_nobody_can_judge_end_the_gate_and_are_no_failure() -> None:
    found = decide(ended((OK, INVALID), (OK, INVALID), (OK, INVALID)), RULE)
    assert (found.word, found.decided) == (Word.CANNOT_SAY, True)
    assert decide(ended((OK, INVALID), (OK, OK)), RULE).by != "outcome"


# Pace and CPU


def test_a_head_that_is_as_fast_passes_and_says_how_slow_it_may_be() -> None:
    found = decide(pairs(0.01, -0.02, 0.0, 0.015, -0.01, 0.005), RULE)
    assert (found.word, found.by) == (Word.PASSES, "pace")
    assert found.pace is not None
    assert found.pace.low < 0 < found.pace.high < 0.10


def test_a_head_that_is_a_fifth_slower_is_worse() -> None:
    found = decide(pairs(0.20, 0.21, 0.19, 0.20, 0.22, 0.18), RULE)
    assert (found.word, found.by) == (Word.WORSE, "pace")
    assert found.reason.startswith("20.0 % slower (")


def test_a_pace_that_others_spoil_is_told_by_the_cpu_time_of_a_request() -> None:
    noisy = [0.5, -0.6, 0.3, -0.4, 0.6, -0.7, 0.4, -0.2]
    found = decide(pairs(*noisy, cpu=1.15), RULE)
    assert (found.word, found.by) == (Word.WORSE, "cpu")
    assert "more CPU" in found.reason


def test_a_wait_that_others_hide_is_told_by_the_time_that_a_request_takes_of_its_executor() -> None:
    noisy = [0.5, -0.6, 0.3, -0.4, 0.6, -0.7, 0.4, -0.2]
    found = decide(pairs(*noisy, time=1.15), RULE)
    assert (found.word, found.by) == (Word.WORSE, "time")
    assert found.reason.startswith("a request takes 15")
    assert "more time" in found.reason
    assert "without its waits for a core" in found.reason


def test_trials_of_which_no_times_are_known_are_held_against_each_other_by_pace() -> None:
    bare = [Pair(base=Trial(outcome=OK, pace_per_s=100.0), head=Trial(outcome=OK, pace_per_s=80.0 + step)) for step in range(8)]
    found = decide(bare, RULE)
    assert (found.word, found.by, found.cpu, found.time) == (Word.WORSE, "pace", None, None)


def test_a_request_that_takes_as_much_cpu_never_lets_a_slow_head_pass() -> None:
    found = decide(pairs(*[0.5, -0.6, 0.3, -0.4, 0.6, -0.7, 0.4, -0.2]), RULE)
    assert (found.word, found.decided) == (Word.CANNOT_SAY, False)


def test_pairs_without_figures_are_told() -> None:
    spoiled = Pair(base=trial(), head=Trial(outcome=OK, unusable="the client was late"))
    assert decide([spoiled, spoiled], RULE).reason == "only 0 of 2 pairs have figures: the client was late"


def test_several_pools_ask_for_more_certainty_each() -> None:
    assert Rule(confidence=0.94).among(1).confidence == pytest.approx(0.96), "2 % at each end, for each of three figures"
    assert Rule(confidence=0.94).among(4).confidence == pytest.approx(0.99)


# The sequence of intervals


def looks(values: list[float], confidence: float) -> list[sequential.Sequence95]:
    return [sequential.mean_of(values[:count], confidence) for count in range(2, len(values) + 1)]


def test_the_truth_lies_in_all_intervals_of_a_sequence_as_often_as_stated() -> None:
    dice = np.random.default_rng(2)
    missed = sum(any(not one.low <= 0.0 <= one.high for one in looks(list(dice.normal(0, 0.1, 40)), 0.95)) for _ in range(400))
    assert missed / 400 <= 0.05


def test_plain_intervals_that_are_looked_at_again_and_again_miss_it_far_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.certainty.intervals import t_quantile

    monkeypatch.setattr(sequential, "half_width", lambda count, _: t_quantile(count - 1) / math.sqrt(count))
    dice = np.random.default_rng(2)
    missed = sum(any(not one.low <= 0.0 <= one.high for one in looks(list(dice.normal(0, 0.1, 40)), 0.95)) for _ in range(400))
    assert missed / 400 > 0.10


# Turns and the budget


def run(
    outcomes: Callable[[str, int, int], Trial], pools: int = 1, budget_s: float = 600.0
) -> tuple[list[PoolAnswer], list[str]]:
    """A gate of made-up trials, with a clock that goes by what they say they took; the sides in the order of their trials."""
    answers = [PoolAnswer(name=f"pool {place}") for place in range(pools)]
    turns, spent = list[str](), [0.0]

    def one(side: str, place: int, number: int) -> Trial:
        turns.append(side)
        found = outcomes(side, place, number)
        spent[0] += found.seconds
        return found

    class Screen(Silent):
        def paired(self, *_: object) -> None: ...

    gate.until_decided(answers, gate.by_turns(one, seeds.dice("turns", 1)), Rule(), lambda: budget_s - spent[0], Screen())
    return answers, turns


def test_sides_take_turns_in_an_order_that_chance_makes() -> None:
    dice = np.random.default_rng(3)
    (answer,), turns = run(lambda *_: trial(100.0 * math.exp(dice.normal(0, 0.5))))
    assert len(turns) == 60, "the budget"
    assert all({turns[place], turns[place + 1]} == {"base", "head"} for place in range(0, 60, 2))
    assert {pair.first for pair in answer.pairs} == {"base", "head"}
    assert answer.decision.word is Word.CANNOT_SAY


def test_trials_at_once_begin_together_and_what_one_raises_is_raised() -> None:
    both = threading.Barrier(2, timeout=30)

    def one(side: str, _: int, number: int) -> Trial:
        both.wait()  # breaks unless both have begun
        if number == 2 and side == "base":
            raise ZeroDivisionError
        return trial(seconds=10.0 if side == "base" else 12.0)

    run_pair = gate.at_once(one)
    pair = run_pair(0, 1)
    assert pair is not None
    assert (pair.first, pair.seconds) == ("both", 12.0)
    with pytest.raises(ZeroDivisionError):
        run_pair(0, 2)


def test_a_hang_ends_the_gate_after_two_pairs_and_other_pools_are_not_run_on() -> None:
    answers, turns = run(lambda side, place, _: trial(outcome=HUNG if side == "head" and place == 0 else OK), pools=2)
    assert [len(one.pairs) for one in answers] == [2, 1]
    assert gate.overall(answers) is Word.WORSE
    assert len(turns) == 6


def test_no_pair_is_begun_for_which_there_is_no_time() -> None:
    (answer,), _ = run(lambda *_: trial(outcome=OK, seconds=100.0), budget_s=450.0)
    assert len(answer.pairs) == 2
    assert gate.overall([PoolAnswer(name="prefork")]) is Word.CANNOT_SAY


def test_one_pool_that_is_open_keeps_the_gate_from_passing() -> None:
    passes, open_ = PoolAnswer(name="a"), PoolAnswer(name="b")
    passes.decision = decide(pairs(0.01, -0.02, 0.0, 0.015, -0.01, 0.005), RULE)
    assert gate.overall([passes]) is Word.PASSES
    assert gate.overall([passes, open_]) is Word.CANNOT_SAY
