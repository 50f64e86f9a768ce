"""The search for the highest rate that keeps a latency: LoadGen's rule, and what is tried next."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.certainty import intervals
from harness.client import peak
from harness.client.peak import Met, Tried


def searched(capacity: float, guess: float) -> list[Tried]:
    """All steps where every rate up to `capacity` meets the bound and none above does."""
    steps: list[Tried] = []
    while (rate := peak.next_rate(guess, steps)) is not None:
        steps.append(Tried(rate_per_s=rate, met=Met.YES if rate <= capacity else Met.NO))
    return steps


@pytest.mark.parametrize(
    ("misses", "fraction", "requests"), [(0, 0.99, 459), (1, 0.99, 662), (10, 0.99, 2010), (10, 0.90, 197)]
)
def test_a_step_needs_as_many_requests_as_loadgens_rule_says(misses: int, fraction: float, requests: int) -> None:
    assert peak.needed(misses, fraction) == requests
    step = peak.Size(least=1, most=peak.needed(misses, fraction))
    assert step.decide(requests, misses, fraction) is Met.YES
    assert step.decide(requests - 1, misses, fraction) is Met.OPEN
    assert step.decide(requests, misses + 1, fraction) is Met.NO


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.95, 0.99])
def test_without_a_miss_the_rule_is_that_of_printed_percentiles(fraction: float) -> None:
    assert peak.needed(0, fraction) == intervals.needed_requests(fraction)


@given(bound_s=st.floats(0.005, 5.0), capacity=st.floats(1.0, 500.0), fraction=st.sampled_from([0.90, 0.95, 0.99]))
def test_a_step_above_capacity_by_more_than_the_precision_is_missed(bound_s: float, capacity: float, fraction: float) -> None:
    """Even where nothing but the growing backlog delays requests, and they arrive as evenly as can be."""
    rate = capacity * peak.PRECISION * 1.2
    step = peak.size(rate, bound_s, fraction)
    waits_s = np.arange(step.most) * (1 / capacity - 1 / rate)
    misses = np.cumsum(waits_s > bound_s)
    met = (step.decide(n + 1, int(count), fraction) for n, count in enumerate(misses))
    assert next((word for word in met if word is not Met.OPEN), Met.OPEN) is not Met.YES


def test_a_rate_that_misses_too_often_is_rarely_passed() -> None:
    """With a true share of misses as high as p95 allows, a step passes in about 1 % of cases for each number of misses."""
    dice = np.random.default_rng(1)
    passed = 0
    for _ in range(2000):
        step = peak.size(10.0, 0.1, 0.95)
        misses = np.cumsum(dice.random(step.most) < 0.05)
        met = (step.decide(n + 1, int(count), 0.95) for n, count in enumerate(misses))
        passed += next(word for word in met if word is not Met.OPEN) is Met.YES
    assert passed / 2000 < 0.03


@settings(max_examples=200)
@given(capacity=st.floats(0.5, 2000.0), factor=st.floats(0.1, 10.0))
def test_the_search_ends_within_its_precision_below_the_capacity(capacity: float, factor: float) -> None:
    guess = capacity * factor
    steps = searched(capacity, guess)
    found = peak.found(steps)
    assert len(steps) <= peak.MOST_STEPS
    assert found is not None
    assert capacity / peak.PRECISION <= found <= capacity
    assert "keep" in peak.reason(guess, steps, "p99 within 1 ms")


def test_no_rate_at_all_is_found_out_in_few_steps_and_said() -> None:
    steps = searched(0.0, 100.0)
    assert len(steps) <= 6
    assert peak.found(steps) is None
    assert peak.nothing_meets(100.0, steps)
    assert peak.reason(100.0, steps, "p99 within 1 ms").startswith("no rate keeps p99 within 1 ms")


def test_a_step_that_time_left_undecided_ends_the_search_without_a_claim() -> None:
    steps = [Tried(rate_per_s=50.0, met=Met.NO), Tried(rate_per_s=30.0, met=Met.OPEN)]
    assert peak.next_rate(50.0, steps) is None
    assert peak.found(steps) is None
    assert not peak.nothing_meets(50.0, steps)
    assert "not known" in peak.reason(50.0, steps, "p99 within 1 ms")
    best = [Tried(rate_per_s=20.0, met=Met.YES), *steps]
    assert peak.found(best) == 20.0
    assert "whether a higher rate below 50" in peak.reason(50.0, best, "p99 within 1 ms")


@given(met=st.lists(st.sampled_from([Met.YES, Met.NO]), max_size=peak.MOST_STEPS))
def test_whatever_the_steps_say_the_search_ends_and_never_repeats_a_rate(met: list[Met]) -> None:
    """Also where chance lets a rate pass and a lower one miss."""
    steps: list[Tried] = []
    for word in met:
        rate = peak.next_rate(10.0, steps)
        if rate is None:
            break
        assert math.isfinite(rate)
        assert rate > 0
        assert all(not math.isclose(rate, step.rate_per_s) for step in steps)
        steps.append(Tried(rate_per_s=rate, met=word))
    best, worst = peak.found(steps), peak.missed(steps)
    assert best is None or worst is None or best < worst
