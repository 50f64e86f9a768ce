"""How busy executors were and whether work waited: hand-made histories with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure import occupancy

Moment = float | None


def of(*requests: tuple[Moment, Moment, Moment], capacity: int = 1) -> tuple[float, float, float]:
    """(executors busy, work waits, idle with work) between 0 and 10 s; requests are (published, begin, end) in seconds."""
    table = np.array([[-1 if moment is None else round(moment * 1e9) + 10**9 for moment in one] for one in requests])
    columns = dict(zip(("published", "begin", "predict_end"), table.T, strict=True))
    found = occupancy.of({**columns, "received": columns["predict_end"]}, capacity=capacity, begin_s=1.0, end_s=11.0)
    assert found is not None
    return found.executors_busy, found.work_waits, found.idle_with_work


def test_one_request_at_a_time_keeps_nothing_waiting_however_busy_it_is() -> None:
    assert of((0.0, 0.002, 5.0), (5.0, 5.002, 10.0)) == pytest.approx((0.9996, 0.0, 0.0))


def test_work_waits_while_more_is_in_flight_than_there_are_executors() -> None:
    assert of((0.0, 0.0, 5.0), (0.0, 5.0, 10.0)) == pytest.approx((1.0, 0.5, 0.0))


def test_a_request_that_waits_longer_than_a_hand_over_beside_a_free_executor_is_work_that_waits() -> None:
    busy, waits, idle = of((0.0, 0.0, 10.0), (0.0, 5.0, 10.0), capacity=2)
    assert (busy, waits, idle) == pytest.approx((0.75, (5.0 - occupancy.HANDOVER_S) / 10, (5.0 - occupancy.HANDOVER_S) / 20))


def test_a_request_that_never_began_waits_to_the_end() -> None:
    busy, waits, idle = of((0.0, None, None))
    assert (busy, waits, idle) == pytest.approx((0.0, 0.995, 0.995))


def test_more_requests_under_way_than_executors_make_them_no_busier_than_always() -> None:
    assert of((0.0, 0.0, 10.0), (0.0, 0.0, 10.0))[0] == pytest.approx(1.0)


def test_only_the_part_inside_the_window_counts() -> None:
    assert of((-1.0, -0.5, 2.0), (8.0, 8.0, 20.0)) == pytest.approx((0.4, 0.0, 0.0))


def test_nothing_is_said_where_there_was_no_request() -> None:
    columns = {name: np.array([5]) for name in ("published", "begin", "predict_end", "received")}
    assert occupancy.of(columns, capacity=1, begin_s=1.0, end_s=2.0) is None


def test_an_executor_is_busy_until_what_runs_after_the_answer_has_ended() -> None:
    seconds = {"published": [1.0, 1.0], "begin": [1.0, 5.0], "predict_end": [2.0, 6.0], "written": [5.0, -1.0]}
    columns = {name: np.array([round(one * 1e9) if one >= 0 else -1 for one in each]) for name, each in seconds.items()}
    columns |= {"received": columns["predict_end"], "error": np.array(["", ""])}
    found = occupancy.of(columns, capacity=1, begin_s=1.0, end_s=11.0)
    assert found is not None
    assert (found.executors_busy, found.idle_with_work) == pytest.approx((1.0, 0.0)), "the second one never came back"
    killed = occupancy.of({**columns, "error": np.array(["", "TimeLimitExceeded"])}, capacity=1, begin_s=1.0, end_s=11.0)
    assert killed is not None
    assert killed.executors_busy == pytest.approx(0.5)
