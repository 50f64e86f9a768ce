"""Percentiles that are printed, and intervals that say how certain a figure is. Their coverage: test_instrument."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.certainty import intervals
from harness.certainty.intervals import NOTHING


def test_a_percentile_needs_enough_requests_to_be_printed() -> None:
    assert intervals.percentile([1.0] * 458, 0.99) is None
    assert intervals.percentile([1.0] * 459, 0.99) == 1.0
    assert intervals.percentile([1.0] * 89, 0.95) is None
    assert intervals.percentile(range(1, 102), 0.5) == 51


def test_the_interval_over_trials_is_students_on_logarithms() -> None:
    values = [90.0, 100.0, 120.0]
    logs = np.log(values)
    low, high = stats.t.interval(0.95, 2, loc=logs.mean(), scale=stats.sem(logs))
    span = intervals.over_trials(values)
    assert (span.low, span.high) == (pytest.approx(math.exp(low)), pytest.approx(math.exp(high)))
    middle = intervals.middle(values)
    assert middle == pytest.approx(math.exp(logs.mean()))


@pytest.mark.parametrize("values", [[], [5.0], [5.0, 0.0]])
def test_fewer_than_two_trials_with_a_figure_give_no_interval_over_trials(values: list[float]) -> None:
    assert intervals.over_trials(values) == NOTHING


def test_one_more_trial_lies_within_its_interval_as_often_as_is_said() -> None:
    dice = np.random.default_rng(3)
    for count in (2, 3, 5):
        figures = np.exp(0.1 * dice.standard_normal((4000, count + 1)))
        spans = [intervals.of_one_more(list(row[:-1])) for row in figures]
        inside = [low <= row[-1] <= high for (low, high), row in zip(spans, figures, strict=True) if low and high]
        assert len(inside) == len(figures)
        assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    assert intervals.of_one_more([5.0]) == intervals.of_one_more([]) == NOTHING


def test_requests_that_are_alike_widen_the_interval_of_a_single_trial() -> None:
    """The same values, in chance order and in order of size within long stretches."""
    dice = np.random.default_rng(1)
    values = dice.lognormal(0.0, 0.3, 800)
    alike = np.sort(values.reshape(8, 100), axis=None).reshape(8, 100)[dice.permutation(8)].ravel()
    for fraction in (0.5, 0.95):
        chance, grouped = (intervals.of_percentile(order, fraction) for order in (values, alike))
        assert chance.low is not None
        assert chance.high is not None
        assert chance.low <= np.quantile(values, fraction) <= chance.high
        assert grouped.low is not None
        assert grouped.low < chance.low
        assert grouped.high is None or grouped.high > chance.high


def test_a_rate_lies_within_its_interval_and_too_few_requests_give_none() -> None:
    gaps = np.random.default_rng(2).exponential(0.01, 500)
    received = 7.0 + np.cumsum(gaps)
    rate = 500 / gaps.sum()
    span = intervals.of_rate(received, 7.0, rate)
    assert span.low is not None
    assert span.high is not None
    assert span.low < rate < span.high
    assert intervals.of_rate(received[:63], 7.0, rate) == NOTHING


def test_an_interval_that_the_data_do_not_close_has_no_upper_end() -> None:
    """459 requests allow to print p99; that the worst of them bounds it at 97.5 % is not known if they come in clumps."""
    values = np.ones(459)
    values[100:110] = np.arange(2.0, 12.0)
    span = intervals.of_percentile(values, 0.99)
    assert span.low is not None
    assert span.high is None
