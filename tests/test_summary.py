"""How often fresh workers hang: the exact interval, what does not count, and the words for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from harness import display
from harness.records.outcomes import Outcome
from harness.summary import hang_rate, summary
from harness.summary.hang_rate import HangRate
from tests.test_store import record


@pytest.mark.parametrize(("hung", "judged"), [(0, 20), (2, 20), (3, 30), (20, 20)])
def test_the_interval_of_a_hang_rate_is_the_exact_one(hung: int, judged: int) -> None:
    low, high = HangRate(hung=hung, judged=judged).interval
    # the definition (Clopper and Pearson 1934): the rates at which so many, or so few, are seen 1 time in 40
    assert low == pytest.approx(stats.beta.ppf(0.025, hung, judged - hung + 1) if hung else 0.0)
    assert high == pytest.approx(stats.beta.ppf(0.975, hung + 1, judged - hung) if hung < judged else 1.0)


@pytest.mark.parametrize(("rate", "needed"), [(0.05, 59), (0.01, 299)])
def test_so_many_clean_workers_bound_the_rate_and_one_fewer_does_not(rate: float, needed: int) -> None:
    assert hang_rate.clean_trials_for(rate) == needed
    assert HangRate(hung=0, judged=needed).below <= rate < HangRate(hung=0, judged=needed - 1).below


def test_invalid_and_skipped_trials_say_nothing_about_hangs(tmp_path: Path) -> None:
    ends = [Outcome.HUNG, Outcome.OK, Outcome.CRASHED, Outcome.INVALID, Outcome.SKIPPED]
    trials = [record(trial=number, outcome=outcome) for number, outcome in enumerate(ends, 1)]
    row = summary.table(trials, tmp_path).iloc[0]
    assert (row["hung_trials"], row["judged_trials"], row["trials"]) == (1, 3, 5)
    assert row["hang_rate"] == pytest.approx(1 / 3)
    assert row["hang_rate_low"] < 1 / 3 < row["hang_rate_high"]


def test_nothing_that_can_be_judged_gives_no_rate(tmp_path: Path) -> None:
    row = summary.table([record(outcome=Outcome.SKIPPED)], tmp_path).iloc[0]
    assert row.isna()["hang_rate"]
    assert row["judged_trials"] == 0


@pytest.mark.parametrize(
    ("hung", "judged", "words"),
    [
        (3, 30, "3 of 30 hung (2.1 % - 26.5 % at 95 %)"),
        (0, 20, "0 of 20 hung: the rate is below 13.9 % at 95 %; 59 clean workers would bound it below 5 %"),
        (0, 59, "0 of 59 hung: the rate is below 5.0 % at 95 %; 299 clean workers would bound it below 1 %"),
        (0, 299, "0 of 299 hung: the rate is below 1.0 % at 95 %"),
    ],
)
def test_the_words_say_what_the_trials_allow_to_say(hung: int, judged: int, words: str) -> None:
    assert display.hangs(HangRate(hung=hung, judged=judged)) == words


def test_only_a_cell_that_was_repeated_shows_its_hang_rate(tmp_path: Path) -> None:
    once = summary.row([record()], {}, tmp_path)
    often = summary.row([record(trial=number) for number in range(1, 21)], {}, tmp_path)
    assert "hung" not in display.line(once, display.Layout()).plain
    assert "0 of 20 hung" in display.line(often, display.Layout()).plain.splitlines()[1]
