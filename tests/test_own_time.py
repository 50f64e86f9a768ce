"""How long a request keeps its executor, without the waits for a core that others make long: over plain figures."""

from __future__ import annotations

import pytest

from harness.measure import own_time
from tests.test_cpu_verdict import WINDOW_S, cpu, facts, occupancy

USE = cpu(children=1.0)  # 100 requests


def own_s(*, threads: int, wait_s: float | None, executors: int = 2, busy: float = 1.0, cpu_s: float = 0.0) -> float | None:
    told = facts(
        executor_threads=threads, executor_wait_s=wait_s, executor_cpu_s=cpu_s, occupancy=occupancy(executors, busy=busy)
    )
    return own_time.of(USE, told)


def test_waits_for_a_core_are_left_out() -> None:
    assert own_s(threads=2, wait_s=0.0) == pytest.approx(2 * WINDOW_S / 100)
    assert own_s(threads=2, wait_s=0.5 * WINDOW_S) == pytest.approx(1.5 * WINDOW_S / 100)


def test_time_without_a_request_is_no_time_of_a_request() -> None:
    assert own_s(threads=2, wait_s=0.2 * WINDOW_S, busy=0.5) == pytest.approx(0.8 * WINDOW_S / 100)


def test_a_thread_that_waits_holds_up_all_its_greenlets() -> None:
    """Eight requests at once, in one thread that had no core for a quarter of the time: each lost a quarter."""
    lost = {"wait_s": 0.25 * WINDOW_S, "cpu_s": 0.75 * WINDOW_S}
    assert own_s(threads=1, executors=8, **lost) == pytest.approx(8 * 0.75 * WINDOW_S / 100)


def test_a_thread_that_waits_does_not_hold_up_the_greenlets_that_sleep() -> None:
    """Twenty requests at once sleep nearly always, in a thread that runs for a tenth of the time, and waits for as long."""
    found = own_s(threads=1, wait_s=0.1 * WINDOW_S, executors=20, cpu_s=0.1 * WINDOW_S)
    assert found == pytest.approx(20 * WINDOW_S / 100, rel=0.01)


def test_the_waits_of_a_solo_worker_between_requests_are_none_of_a_request() -> None:
    """Half of its time is Celery's own, which waits for a core as its requests do."""
    found = own_s(threads=1, wait_s=0.5 * WINDOW_S, executors=1, busy=0.5, cpu_s=0.5 * WINDOW_S)
    assert found == pytest.approx(0.25 * WINDOW_S / 100)


def test_beside_twice_as_many_programs_a_request_takes_as_long_of_its_executor() -> None:
    """Alone: 100 requests of 20 ms each. Beside others: half as many in that time; their threads wait as long as they run."""
    alone = own_time.of(cpu(children=2.0), facts(executor_threads=2, executor_wait_s=0.0))
    beside = cpu(children=1.0, others=1.0).model_copy(update={"requests": 50})
    assert own_time.of(beside, facts(executor_threads=2, executor_wait_s=1.0 * WINDOW_S)) == pytest.approx(alone)


@pytest.mark.parametrize(
    "told",
    [
        None,
        facts(occupancy=None, executor_threads=2, executor_wait_s=0.0),
        facts(),
        facts(executor_threads=0, executor_wait_s=0.0),
    ],
)
def test_nothing_is_said_of_what_was_not_read(told: object) -> None:
    assert own_time.of(USE, told) is None  # type: ignore[arg-type]
    assert own_time.of(None, facts(executor_threads=2, executor_wait_s=0.0)) is None
    assert own_time.of(USE.model_copy(update={"requests": 0}), facts(executor_threads=2, executor_wait_s=0.0)) is None
