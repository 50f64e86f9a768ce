"""Which calls are made without a worker: the first, a warm-up, and those that are measured, as far as there is time."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from harness.worker import contract, heartbeat, in_process


class Clock:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    monkeypatch.setattr(heartbeat, "emit", lambda kind, number: None)
    return found


def made(clock: Clock, *took_s: float, whole_s: float = 90.0, minimum: int = 8, most: float = float("inf")) -> dict[str, int]:
    """How many calls each phase has; `took_s`: of one after the other, the last one of all further ones."""
    left, phases = list(took_s), list[int]()
    for number in in_process.requests(3.0, minimum, 4, 10.0, whole_s, most):
        phases.append(number)
        clock.now_s += left.pop(0) if len(left) > 1 else left[0]
    return {contract.PHASES[phase]: count for phase, count in Counter(phases).items()}


@pytest.mark.parametrize(
    ("took_s", "calls"),
    [
        ((0.01,), {"first": 1, "warmup": 4, "measure": 300}),
        ((25.0,), {"first": 1, "warmup": 1, "measure": 1}),
        ((40.0,), {"first": 1, "measure": 1}),
        ((80.0,), {"first": 1}),
        ((300.0,), {"first": 1}),
        ((15.0, 0.01), {"first": 1, "warmup": 4, "measure": 300}),
    ],
)
def test_slow_calls_are_made_as_far_as_there_is_time(clock: Clock, took_s: tuple[float, ...], calls: dict[str, int]) -> None:
    assert made(clock, *took_s) == pytest.approx(calls, abs=2)


def test_without_a_bound_all_phases_are_run_to_their_end(clock: Clock) -> None:
    assert made(clock, 40.0, whole_s=float("inf")) == {"first": 1, "warmup": 1, "measure": 8}


@pytest.mark.parametrize(
    ("most", "calls"), [(1, {"first": 1}), (3, {"first": 1, "warmup": 2}), (9, {"first": 1, "warmup": 4, "measure": 4})]
)
def test_calls_that_are_counted_end_with_the_last_one(clock: Clock, most: int, calls: dict[str, int]) -> None:
    assert made(clock, 0.01, most=most) == calls
