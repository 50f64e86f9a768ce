"""The truth tests of intervals and comparisons pass, and would fail if what they test were wrong."""

from __future__ import annotations

import math

import pytest

from harness.certainty import intervals
from harness.certainty.intervals import Span
from harness.experiment import experiment
from harness.proof.instrument import coverage, same_cell
from harness.records.record import TrialRecord
from harness.records.sections import Figures
from tests.test_store import record


def test_the_truth_lies_within_the_intervals_as_often_as_they_say() -> None:
    found = coverage.coverage()
    assert len(found) == 16  # throughput and three percentiles, for 1, 2, 3 and 5 trials
    assert [one for one in found if not one.passed] == []


def test_intervals_that_take_requests_for_independent_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many short batches are what makes requests that resemble each other look independent."""
    monkeypatch.setattr(intervals, "BATCHES", 250)
    monkeypatch.setattr(coverage, "SETS", 1000)
    failed = [one.name for one in coverage.coverage() if not one.passed]
    assert "interval coverage of throughput, 1 trial" in failed
    assert "interval coverage of p50, 1 trial" in failed


def test_intervals_by_the_normal_distribution_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def normal(values: list[float]) -> Span:
        span = real(values)
        assert span.low
        assert span.high
        centre, half = math.sqrt(span.low * span.high), math.log(span.high / span.low) / 2
        half *= 1.96 / intervals.t_quantile(len(values) - 1)
        return Span(centre * math.exp(-half), centre * math.exp(half))

    real = intervals.over_trials
    monkeypatch.setattr(intervals, "over_trials", normal)
    monkeypatch.setattr(coverage, "SETS", 1000)
    failed = [one.name for one in coverage.coverage() if not one.passed]
    assert "interval coverage of throughput, 3 trials" in failed


def test_simulated_runs_of_the_same_cell_differ_no_more_often_than_stated() -> None:
    found = same_cell.simulated()
    assert [one for one in found if not one.passed] == []


def test_a_comparison_at_the_usual_5_percent_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.certainty.comparison.LEVEL", 0.05)
    assert not all(one.passed for one in same_cell.simulated())


def trials(cell: str, rates: list[float]) -> list[TrialRecord]:
    return [
        record(
            cell_id=cell,
            trial=number,
            figures=Figures(requests=200, throughput_per_s=rate, latency_s={"p50": 1 / rate}),
        )
        for number, rate in enumerate(rates, 1)
    ]


def test_trials_of_a_cell_are_dealt_alternately_to_the_sides_of_a_pair() -> None:
    ((first, second),) = same_cell.pairs(trials("a", [1, 2, 3, 4, 5, 6, 7, 8]))
    assert [one.throughput_per_s for one in first] == [1, 3, 5]
    assert [one.throughput_per_s for one in second] == [2, 4, 6]


def test_too_few_real_pairs_are_no_proof() -> None:
    found = same_cell.real(trials("a", [100.0] * 12))
    assert [(one.figure, one.passed) for one in found] == [(None, False)] * 2
    assert "only 2 whole pairs" in found[0].note


def test_a_drift_from_trial_to_trial_is_no_difference_and_an_uneven_deal_would_be_one() -> None:
    drifting = [100 * 1.002**number for number in range(120)]
    throughput, latency = same_cell.real(trials("a", drifting))
    assert (throughput.figure, throughput.passed, latency.passed) == (0.0, True, True)
    uneven = [100.0 * (1.3 if number % 2 else 1.0) * (1 + number % 3 / 1000) for number in range(120)]
    throughput, _ = same_cell.real(trials("a", uneven))
    assert (throughput.figure, throughput.passed) == (20.0, False)


def test_the_shipped_experiment_makes_as_many_pairs_as_are_asked_for() -> None:
    spec = experiment.read(same_cell.EXPERIMENT, backends=["celery"], workloads=["digits-cnn"])
    made = len(spec.expand()) * (spec.settings.repeat // (2 * same_cell.TRIALS))
    assert made == same_cell.REAL_PAIRS
