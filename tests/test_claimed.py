"""What is claimed from few workers is wrong as seldom as is stated, and the truth test would see it if it were not."""

from __future__ import annotations

import numpy as np
import pytest

from harness.certainty import comparison, families, intervals
from harness.certainty.counts import Counts, trials_for
from harness.certainty.families import holm
from harness.decide.compare import outcomes
from harness.proof.instrument import claimed
from harness.records.outcomes import Outcome

TIMES = 1000


def failed(findings: list[claimed.Finding]) -> list[str]:
    return [one.name for one in findings if not one.passed]


def test_claims_from_few_workers_are_as_seldom_wrong_as_is_stated() -> None:
    found = claimed.claimed(seed=1, times=TIMES)
    assert len(found) == 23
    assert failed(found) == []


def test_bounds_held_against_the_middle_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "end_of_one_more", lambda values, own, upper: intervals.middle(values))
    monkeypatch.setattr(claimed.Fresh, "worst", property(lambda self: intervals.middle(self.values)))
    broken = failed(claimed.promises(np.random.default_rng(1), TIMES))
    assert "bounds said to be kept and broken, one of five is ten times slower" in broken
    assert "one more fresh worker breaks the tightest bound that 3 are said to keep" in broken


def test_outcomes_claimed_from_any_other_count_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LEVEL", 1.0)
    broken = failed(claimed.endings(np.random.default_rng(1), TIMES))
    assert "changed outcomes, like pairs of 30 trials, 3% hang" in broken


def test_differences_of_two_trials_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "LEAST", 2)
    broken = failed(claimed.differences(np.random.default_rng(1), TIMES))
    assert "false differences, workers of two kinds, 2 and 2 trials" in broken


def test_means_alone_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "RANKS", 1.0)
    broken = failed(claimed.differences(np.random.default_rng(1), TIMES))
    assert "false differences, workers of two kinds, 3 and 30 trials" in broken


def test_holms_correction_is_that_of_the_textbook_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.004]) == pytest.approx([0.9, 0.008])
    assert holm([]) == []
    assert holm([0.7] * 3) == [1.0] * 3


def test_counts_need_five_trials_a_side_to_reach_the_level() -> None:
    assert [trials_for(level) for level in (0.05, 0.01, 0.001)] == [4, 5, 7]
    for trials in (3, 4, 5, 8):
        reaches = Counts(before=0, trials_before=trials, after=trials, trials_after=trials).p < families.LEVEL
        assert reaches is (trials >= trials_for(families.LEVEL))


def test_every_trial_is_three_of_three_after_none_of_three_and_never_the_other_way() -> None:
    assert Counts(before=0, trials_before=3, after=3, trials_after=3).every
    for before, trials_before, after, trials_after in ((3, 3, 0, 3), (0, 2, 3, 3), (0, 3, 2, 2), (1, 3, 3, 3), (0, 3, 2, 3)):
        assert not Counts(before=before, trials_before=trials_before, after=after, trials_after=trials_after).every


def test_a_share_that_chance_has_at_the_most_is_that_of_the_worst_rate() -> None:
    for before, after in ((3, 3), (3, 5), (5, 5)):
        counts = Counts(before=0, trials_before=before, after=after, trials_after=after)
        worst = max((1 - rate) ** before * rate**after for rate in np.linspace(0, 1, 1001))
        assert counts.every_by_chance == pytest.approx(worst, rel=1e-4)


def test_what_says_nothing_of_a_cell_is_no_trial_of_it() -> None:
    found = outcomes.endings([Outcome.INVALID, Outcome.OK], [Outcome.SKIPPED])
    assert (found.before, found.after, found.verdict) == ((Outcome.OK,), (), None)
    assert not outcomes.differ([Outcome.OK] * 3, [])
