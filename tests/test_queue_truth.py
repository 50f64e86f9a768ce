"""Queueing theory for the truth tests, and that these would fail if the instrument told something else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.proof.instrument import queue_truth, queueing
from harness.proof.instrument.queueing import Floats, Freeze
from harness.proof.instrument.rig import MEASURE, Ran
from harness.records.sending import Sending
from harness.worker import contract

RATE = queue_truth.LOAD / queue_truth.SERVICE_S


def arrivals(n: int = 1200, seed: int = 1, rate: float = RATE) -> Floats:
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))


def ran(latency_s: Floats, moments_s: Floats, *, late: int = 0) -> Ran:
    """A run with these latencies, all of them measured."""
    n = len(moments_s)
    intended = (moments_s * 1e9).astype(np.int64)
    columns = {name: np.zeros(n, dtype=np.int64) for name in contract.REQUEST_FIELDS[:-2]}
    columns |= {
        "phase": np.full(n, MEASURE),
        "intended": intended,
        "published": intended,
        "received": intended + (latency_s * 1e9).astype(np.int64),
    }
    return Ran(columns=columns, sending=Sending(sends=n, late=late))


def latencies(moments_s: Floats, *, scale: float = 1.0, way_s: float = 0.0008) -> Floats:
    """What a true instrument sees; `scale` distorts the waits."""
    return queue_truth.SERVICE_S + way_s + scale * queueing.waits_s(moments_s, queue_truth.SERVICE_S)


@pytest.mark.parametrize("seed", range(5))
def test_a_true_instrument_passes_whatever_its_arrivals_were(seed: int) -> None:
    moments = arrivals(seed=seed)
    found = queue_truth._mean_wait(ran(latencies(moments), moments), "m", queueing.mean_wait_s(RATE, 0.02), servers=1)
    assert found.passed, found
    assert found.figure == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_waits_that_are_a_tenth_off_do_not_pass(scale: float) -> None:
    moments = arrivals()
    found = queue_truth._mean_wait(ran(latencies(moments, scale=scale), moments), "m", None, servers=1)
    assert not found.passed


def test_late_sends_do_not_pass() -> None:
    moments = arrivals()
    assert not queue_truth._mean_wait(ran(latencies(moments), moments, late=20), "m", None, servers=1).passed


def test_the_recursion_agrees_with_the_formula_on_average() -> None:
    waits = queueing.waits_s(arrivals(400_000), queue_truth.SERVICE_S)
    assert waits.mean() == pytest.approx(queueing.mean_wait_s(RATE, queue_truth.SERVICE_S), rel=0.05)


@given(gaps=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=50), service=st.floats(0.01, 1.0), servers=st.integers(1, 3))
def test_no_server_is_idle_while_a_request_waits_and_none_serves_two(gaps: list[float], service: float, servers: int) -> None:
    moments = np.cumsum(gaps)
    begin = moments + queueing.waits_s(moments, service, servers=servers)
    assert (begin >= moments - 1e-9).all()
    for number, start in enumerate(begin):
        in_service = int(((begin[:number] <= start + 1e-9) & (begin[:number] + service > start + 1e-9)).sum())
        assert in_service < servers
        if start > moments[number] + 1e-9:
            ends = begin[:number] + service
            assert np.isclose(ends, start, atol=1e-9).any(), "who waits begins as another one ends"


def test_a_freeze_holds_what_is_in_service_and_what_arrives_until_it_ends() -> None:
    moments = np.array([0.0, 0.9, 1.5, 3.0])
    waits = queueing.waits_s(moments, 0.2, freeze=Freeze(begin_s=1.0, end_s=2.0))
    assert waits == pytest.approx([0.0, 2.0 - 0.2 - 0.9, 0.5, 0.0])
