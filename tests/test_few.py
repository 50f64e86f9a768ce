"""What few, long requests tell: whether the interval of eight holds the long run's value, and is as narrow as that allows."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
import pytest

from harness.certainty import few
from harness.certainty.few import Loop, Runs
from harness.certainty.intervals import NOTHING, Floats, t_quantile

SETS, REQUESTS, USUAL_S = 1000, 8, 30.0
Draw = Callable[[np.random.Generator, int], Floats]
NOISES: dict[str, Draw] = {
    "3 %": lambda dice, n: USUAL_S * dice.lognormal(0, 0.03, n),
    "20 %": lambda dice, n: USUAL_S * dice.lognormal(0, 0.2, n),
    "two kinds": lambda dice, n: np.where(dice.random(n) < 0.5, 20.0, 40.0) * dice.lognormal(0, 0.05, n),
}
LOOPS = ((1, 1), (2, 2), (4, 2), (4, 1), (1, 2), (4, 4))  # (in flight, executors)
LONG = 20_000


def loop(service: Floats, in_flight: int, executors: int) -> Runs:
    """A closed loop with the queue's first one served first."""
    free, ends = [0.0] * executors, list[float]()
    sent, begin, first = np.zeros(len(service)), np.zeros(len(service)), np.zeros(len(service), dtype=bool)
    for number, took in enumerate(service):
        if number >= in_flight:
            sent[number] = heapq.heappop(ends)
        begin[number] = max(heapq.heappop(free), sent[number])
        first[number] = number < executors
        heapq.heappush(free, begin[number] + took)
        heapq.heappush(ends, begin[number] + took)
    return Runs(sent=sent, received=begin + service, begin=begin, end=begin + service, first=first)


def long_run(draw: Draw, in_flight: int, executors: int) -> tuple[float, float]:
    """(requests per second, median latency in seconds)."""
    runs = loop(draw(np.random.default_rng(1), LONG), in_flight, executors)
    return LONG / float(runs.end.max()), float(np.median((runs.received - runs.sent)[in_flight:]))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("in_flight", "executors"), LOOPS)
def test_the_interval_of_eight_requests_holds_the_long_runs_value(noise: str, in_flight: int, executors: int) -> None:
    rate, median = long_run(NOISES[noise], in_flight, executors)
    dice = np.random.default_rng(7)
    found = [figures(loop(NOISES[noise](dice, REQUESTS), in_flight, executors), in_flight, executors) for _ in range(SETS)]
    assert share(one.rate_span.low <= rate <= (one.rate_span.high or np.inf) for one in found if one.rate_span.low) >= 0.92
    assert all(one.rate_span.low for one in found)
    known = [one for one in found if one.median_s is not None and one.median_span.low]
    assert len(known) >= 0.9 * SETS
    assert share((one.median_span.low or 0.0) <= median <= (one.median_span.high or np.inf) for one in known) >= 0.90


def share(inside: object) -> float:
    return float(np.mean(list(inside)))  # type: ignore[call-overload]


def figures(runs: Runs, in_flight: int, executors: int) -> Loop:
    found = few.of(runs, in_flight=in_flight, executors=executors)
    assert found is not None
    return found


@pytest.mark.parametrize(("noise", "spread"), [("3 %", 0.03), ("20 %", 0.2)])
def test_the_interval_is_no_wider_than_eight_independent_requests_make_it(noise: str, spread: float) -> None:
    """Student's t of eight values is the narrowest that holds for normal ones; a tenth more is allowed."""
    least = t_quantile(REQUESTS - 1) * spread / np.sqrt(REQUESTS)
    dice = np.random.default_rng(3)
    for in_flight, executors in LOOPS:
        each = [figures(loop(NOISES[noise](dice, REQUESTS), in_flight, executors), in_flight, executors) for _ in range(300)]
        widths = [one.rate_per_s / one.rate_span.low - 1 for one in each if one.rate_span.low]
        assert np.median(widths) <= 1.1 * least


def test_the_median_of_the_rates_is_that_of_the_long_run() -> None:
    """Neither the begin of the loop nor its end draws the figure to one side."""
    dice = np.random.default_rng(5)
    for noise, draw in NOISES.items():
        for in_flight, executors in LOOPS:
            rate, _ = long_run(draw, in_flight, executors)
            found = [
                figures(loop(draw(dice, REQUESTS), in_flight, executors), in_flight, executors).rate_per_s for _ in range(300)
            ]
            assert np.median(found) == pytest.approx(rate, rel=0.05), noise


def test_requests_that_take_turns_in_one_thread_are_as_fast_as_one() -> None:
    ends: Floats = np.arange(1.0, 9.0) * 25.0
    runs = Runs(sent=np.zeros(8), received=ends, begin=ends - 25.0, end=ends, first=np.arange(8) < 1)
    assert figures(runs, 4, 2).rate_per_s == pytest.approx(1 / 25)
    two = Runs(sent=np.zeros(2), received=ends[:2], begin=ends[:2] - 25.0, end=ends[:2], first=np.arange(2) < 1)
    assert figures(two, 2, 2).rate_per_s == pytest.approx(1 / 25), "of two, none ran beside the other"


def test_a_child_that_starts_later_than_the_other_is_no_slower() -> None:
    late = loop(np.array([30.0] * 8), 2, 2)
    second = np.arange(8) % 2 * 12.0
    shifted = Runs(
        sent=late.sent, received=late.received + second, begin=late.begin + second, end=late.end + second, first=late.first
    )
    assert figures(shifted, 2, 2).rate_per_s == pytest.approx(2 / 30)


def test_first_requests_count_unless_they_are_known_to_take_longer_or_plainly_do() -> None:
    same = loop(np.array([30.0] * 8), 2, 2)
    assert (figures(same, 2, 2).requests, figures(same, 2, 2).cold) == (8, 0)
    plainly = figures(loop(np.array([90.0, 80.0, *[30.0] * 6]), 2, 2), 2, 2)
    assert (plainly.requests, plainly.cold, plainly.service_s) == (6, 2, 30.0)
    assert plainly.rate_per_s == pytest.approx(2 / 30)
    known = few.of(loop(np.array([45.0, 45.0, *[30.0] * 6]), 2, 2), in_flight=2, executors=2, cold=True)
    assert known is not None
    assert (known.requests, known.cold) == (6, 2)
    assert known.rate_per_s == pytest.approx(2 / 30)


@pytest.mark.parametrize(("hand_over_s", "told"), [(0.0, True), (0.0002, True), (0.05, False)])
def test_nothing_is_told_by_executors_that_did_nothing_most_of_the_time(hand_over_s: float, told: bool) -> None:
    begin = np.arange(4) * (0.0002 + hand_over_s)
    runs = Runs(sent=begin, received=begin + 0.0002, begin=begin, end=begin + 0.0002, first=np.arange(4) == 0)
    assert (few.of(runs, in_flight=1, executors=1) is not None) is told


@pytest.mark.parametrize(("hand_over_s", "told"), [(0.0, True), (0.0002, True), (0.006, False)])
def test_nothing_is_told_of_a_burst_that_came_back_long_after_it_was_done(hand_over_s: float, told: bool) -> None:
    begin = np.array([0.0, 0.0, 0.0003, 0.0003])
    runs = Runs(sent=begin * 0, received=begin + 0.0003 + hand_over_s, begin=begin, end=begin + 0.0003, first=begin == 0)
    assert (few.of(runs, in_flight=4, executors=2) is not None) is told


def test_one_request_has_a_pace_and_no_interval() -> None:
    found = figures(loop(np.array([300.0]), 4, 2), 4, 2)
    assert found.rate_per_s == pytest.approx(1 / 300)
    assert (found.rate_span, found.median_s) == (NOTHING, None)


def test_two_requests_have_a_wide_interval() -> None:
    found = figures(loop(np.array([300.0, 310.0]), 4, 2), 4, 2)
    assert found.rate_per_s == pytest.approx(2 / 305, rel=0.02)
    assert found.rate_span.low is not None
    assert found.rate_per_s / found.rate_span.low > 1.1


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 5])
def test_fewer_than_six_values_bound_no_median(values: list[float]) -> None:
    assert few.median_span(values) == NOTHING


def test_more_values_bound_the_median_more_closely() -> None:
    spans = [few.median_span(np.linspace(1.0, 2.0, count)) for count in (6, 8, 12, 30, 60)]
    widths = [high - low for low, high in spans if low is not None and high is not None]
    assert len(widths) == len(spans)
    assert widths == sorted(widths, reverse=True)
