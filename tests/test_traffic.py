"""Traffic by name; when open traffic is sent; which sends are late; when arrivals exceed capacity; which dice are thrown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.client import schedule
from harness.errors import BadInput
from harness.experiment import experiment, seeds, traffic
from harness.experiment.matrix import Cell
from harness.run import preflight

RATES = st.floats(0.5, 5000.0)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    "name", ["single", "drain", "closed-4", "poisson-12.5", "constant-0.25", "peak-100ms", "peak-p90-2.5ms"]
)
def test_a_name_of_traffic_is_read_and_kept(name: str) -> None:
    assert traffic.parse(name).name == name


@pytest.mark.parametrize(
    ("other", "name"), [("poisson-50.0", "poisson-50"), ("constant-007", "constant-7"), ("peak-p99-100.0ms", "peak-100ms")]
)
def test_the_same_traffic_has_one_name(other: str, name: str) -> None:
    assert traffic.parse(other) == traffic.parse(name)


@pytest.mark.parametrize(
    "name", ["", "poisson", "poisson-0", "poisson--1", "constant-1e3", "poisson-999999", "peak-0ms", "peak-100", "peak-p50-1ms"]
)
def test_what_is_no_traffic_is_refused_with_what_is(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        traffic.parse(name)
    assert "poisson-50" in caught.value.remedy


def test_open_traffic_that_would_be_cut_off_is_refused_before_it_runs() -> None:
    short = experiment.Settings(requests=100, limit_s=60.0)
    cell = Cell(backend="theano", pool="solo", traffic="poisson-1")
    with pytest.raises(BadInput, match="100 requests in 100 s"):
        preflight.check_traffic([cell], short)
    preflight.check_traffic([cell], short.model_copy(update={"limit_s": 120.0}))
    preflight.check_traffic([Cell(backend="theano", pool="solo")], short)


@settings(max_examples=60)
@given(rate=RATES, seconds=st.floats(0.0, 2.0), requests=st.integers(1, 500), lead_s=st.floats(0.0, 1.0), seed=SEEDS)
def test_a_schedule_ascends_and_has_all_of_its_seconds_and_its_requests(
    rate: float, seconds: float, requests: int, lead_s: float, seed: int
) -> None:
    moments = schedule.arrivals(
        rate, poisson=True, seconds=seconds, requests=requests, dice=np.random.default_rng(seed), lead_s=lead_s
    )
    measured = moments[moments >= 0]
    assert (np.diff(moments) >= 0).all()
    assert moments[0] >= -lead_s * 1e9 - 1
    assert len(measured) >= requests
    inside = int((measured < seconds * 1e9).sum())
    assert len(measured) == max(requests, inside), "nothing is sent after both are reached"


@settings(max_examples=30)
@given(rate=RATES, seed=SEEDS)
def test_poisson_arrivals_have_their_rate_and_the_spread_of_chance(rate: float, seed: int) -> None:
    moments = schedule.arrivals(rate, poisson=True, seconds=0.0, requests=20_000, dice=np.random.default_rng(seed))
    gaps = np.diff(moments) / 1e9
    assert gaps.mean() == pytest.approx(1 / rate, rel=0.05)  # 7 standard errors
    assert gaps.std() == pytest.approx(1 / rate, rel=0.1)


@given(rate=RATES)
def test_constant_arrivals_are_equally_far_apart(rate: float) -> None:
    moments = schedule.arrivals(rate, poisson=False, seconds=0.0, requests=100, dice=np.random.default_rng(1))
    assert np.diff(moments) == pytest.approx(1e9 / rate, abs=2)


def test_a_request_is_late_beyond_a_millisecond_or_a_tenth_of_the_gap() -> None:
    intended = np.zeros(4, dtype=np.int64)
    published = np.array([900_000, 1_100_000, 9_000_000, 11_000_000])
    assert schedule.late(intended, published, 1000.0) == 3
    assert schedule.late(intended, published, 10.0) == 1
    assert schedule.late(intended, np.full(4, -1), 10.0) == 4, "what was never sent was not sent in time"


@settings(max_examples=25)
@given(load=st.sampled_from([0.3, 0.7, 0.9]), seed=SEEDS)
def test_a_queue_below_capacity_is_not_called_overloaded(load: float, seed: int) -> None:
    assert not schedule.overloaded(*backlog_of(load, seed))


@settings(max_examples=25)
@given(load=st.sampled_from([1.5, 2.0, 10.0]), seed=SEEDS)  # at 1.3, chance hides it in 1 of 500
def test_a_queue_well_above_capacity_is_called_overloaded(load: float, seed: int) -> None:
    assert schedule.overloaded(*backlog_of(load, seed))


def backlog_of(load: float, seed: int) -> tuple[int, int, int]:
    """(requests, backlog as they begin, backlog as they end) of a server with exponential service, from an empty queue."""
    dice, n = np.random.default_rng(seed), 1000
    arrivals = np.cumsum(dice.exponential(1 / load, n))
    ends, free = np.empty(n), 0.0
    for number, service in enumerate(dice.exponential(1.0, n)):
        ends[number] = free = max(free, arrivals[number]) + service
    return n, 0, int((ends > arrivals[-1]).sum())


def test_each_purpose_and_each_trial_has_dice_of_its_own() -> None:
    found = {seeds.seed_for(purpose, seed, trial) for purpose in seeds.PURPOSES for seed in (-1, 0, 1) for trial in range(20)}
    assert len(found) == len(seeds.PURPOSES) * 3 * 20
    assert seeds.seed_for("arrivals", 1, 1) == seeds.seed_for("arrivals", 1, 1)
