"""The pace of a call decides how a pool is measured, and a budget what is measured at all."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.applications.probe import budget, calls, pace
from harness.applications.probe.budget import Budget, Prices
from harness.applications.probe.order import MOST_FIRST, ProbeOrder, cells
from harness.applications.probe.pace import Pace
from harness.applications.probe.sizing import Sizing
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.experiment.pools import POOLS
from harness.observe.looks import patience_s
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from tests.test_store import record

CORES = 2
SETTINGS = Settings(requests=50, measure_s=3.0)


def cell(pool: str = "prefork", concurrency: int = 2, traffic: str = "closed-4") -> Cell:
    many = 1 if pool == "solo" else concurrency
    return Cell(backend=OWN_APP, pool=pool, concurrency=many, placement=AS_WRITTEN, call="task", traffic=traffic)


def of(usual_s: float, cores: float = 0.0, first_s: float | None = None, calls: int = 3) -> Pace:
    return Pace(calls=calls, usual_s=usual_s, first_s=first_s or usual_s, slowest_s=usual_s, cores=cores)


def line(begin_s: float, end_s: float, cpu_s: float = 0.0) -> dict[str, Any]:
    return {"begin": round(begin_s * 1e9), "end": round(end_s * 1e9), "cpu_s": cpu_s}


def test_the_pace_is_that_of_the_later_calls_and_tells_a_first_one_apart() -> None:
    found = pace.of([line(0, 40, 30), line(40, 65, 20), line(65, 90, 5)])
    assert found == Pace(calls=3, usual_s=25.0, first_s=40.0, slowest_s=25.0, cores=0.5)
    assert found.cold
    alone = pace.of([line(0, 90)])
    assert alone is not None
    assert (alone.usual_s, alone.cold) == (90.0, False)
    assert pace.of([]) is None


@pytest.mark.parametrize(
    ("pool", "cores", "seconds"),
    [
        ("prefork", 0.0, 25.0), ("threads", 0.0, 25.0), ("gevent", 0.0, 25.0), ("solo", 1.0, 25.0),
        ("prefork", 1.0, 25.0), ("threads", 1.0, 50.0), ("gevent", 1.0, 50.0), ("prefork", 2.0, 50.0), ("threads", 2.0, 50.0),
    ],
)  # fmt: skip
def test_calls_that_compute_take_turns_where_they_share_what_they_need(pool: str, cores: float, seconds: float) -> None:
    assert pace.round_s(of(25.0, cores), cell(pool), CORES) == seconds


@pytest.mark.parametrize(
    ("usual_s", "pool", "requests"),
    [(0.001, "prefork", 50), (2.0, "prefork", 50), (25.0, "prefork", 9), (25.0, "solo", 8), (75.0, "prefork", 8),
     (90.0, "prefork", 6), (90.0, "solo", 3), (300.0, "prefork", 2), (300.0, "solo", 1), (3000.0, "prefork", 2)],
)  # fmt: skip
def test_the_slower_a_call_the_fewer_requests_are_wanted(usual_s: float, pool: str, requests: int) -> None:
    assert pace.wanted(of(usual_s), cell(pool), CORES) == requests


@pytest.mark.parametrize(
    ("usual_s", "requests", "few"),
    [(0.01, 2, False), (0.9, 1, False), (2.0, 50, False), (2.0, 8, True), (5.0, 500, False), (25.0, 2, True), (25.0, 9, True)],
)
def test_a_request_is_not_warmed_up_for_where_that_costs_more_than_it_tells(usual_s: float, requests: int, few: bool) -> None:
    assert pace.is_few(of(usual_s), cell(), SETTINGS, requests, CORES) is few


def test_traffic_by_the_clock_keeps_its_warm_up() -> None:
    assert not pace.is_few(of(25.0), cell(traffic="poisson-0.1"), SETTINGS, 8, CORES)


def test_the_time_limit_leaves_room_for_the_requests_and_for_a_proof() -> None:
    one = pace.size(of(25.0), cell(), SETTINGS, 8, CORES)
    assert one.load_s == 100.0
    assert one.limit_s >= 2 * one.load_s + patience_s(25.0)
    assert pace.size(of(25.0), cell(), SETTINGS, 8, CORES, limit_s=60.0).limit_s == 60.0, "what was asked for holds"
    assert pace.size(of(0.001), cell(), SETTINGS, 50, CORES).limit_s == 120.0


def prices(seconds: float, asked: int | None = None) -> Prices:
    """Five seconds a trial, beside its requests."""
    known = of(seconds)
    return Prices(
        cost=lambda one, count: 5.0 + math.ceil(count / pace.at_once(one)) * seconds,
        wanted=lambda one: asked or pace.wanted(known, one, CORES), least=lambda one: asked or pace.least(one),
    )  # fmt: skip


def bought(seconds: float, budget_s: float, pools: list[str], asked: int | None = None) -> dict[str, int]:
    """How many requests each pool got, one after the other."""
    left_s, found, its = budget_s, {}, prices(seconds, asked)
    for number, pool in enumerate(pools):
        count = budget.requests(cell(pool), [cell(one) for one in pools[number + 1 :]], left_s, its)
        left_s -= its.cost(cell(pool), count) if count else 0.0
        found[pool] = count
    assert left_s >= 0, "a budget is kept"
    return found


FOUR = ["prefork", "threads", "gevent", "solo"]


def test_with_time_enough_each_pool_gets_what_is_wanted() -> None:
    assert bought(25.0, 10_000.0, FOUR) == {"prefork": 9, "threads": 9, "gevent": 9, "solo": 8}


def test_a_call_of_25_s_is_measured_in_four_pools_within_a_quarter_of_an_hour() -> None:
    assert min(bought(25.0, 820.0, FOUR).values()) >= 8


def test_a_call_of_90_s_is_seen_to_end_in_four_pools_within_a_quarter_of_an_hour() -> None:
    found = bought(90.0, 800.0, FOUR)
    assert found["prefork"] == 4
    assert min(found.values()) >= 1


def test_of_a_call_of_five_minutes_the_first_pools_are_seen_to_end_and_the_others_not_measured() -> None:
    assert bought(300.0, 650.0, FOUR) == {"prefork": 2, "threads": 2, "gevent": 0, "solo": 0}


def test_of_a_search_no_cell_is_left_out_for_more_trials_of_others() -> None:
    """Six cells and six more trials, of calls of 6 s: the first get fewer requests than there would be time for."""
    its, left_s, found = prices(6.0), 80.0, list[int]()
    cells = [cell("solo"), cell("solo"), *[cell("threads")] * 4]
    for number, one in enumerate(cells, start=1):
        found.append(budget.requests(one, cells[number:], left_s, its, [cell("threads")] * 6))
        left_s -= its.cost(one, found[-1])
    assert min(found) >= 1
    assert left_s >= 0


def test_a_number_that_was_asked_for_is_never_another_one() -> None:
    found = bought(25.0, 400.0, FOUR, asked=8)
    assert found == {"prefork": 8, "threads": 8, "gevent": 8, "solo": 0}


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


HERE = Path("/somewhere")
ORDER = ProbeOrder(
    app="slow:app", task="slow.task", rows=[[1]], python=HERE / "python", folder=HERE, variables={}, own={}, env_file=None,
    settings=SETTINGS, out=HERE, pools=MOST_FIRST, concurrency=(2,), traffic="closed-4",
)  # fmt: skip


def sizing(budget_s: float | None = None, known: Pace | None = None, clock: Clock | None = None, **order: Any) -> Sizing:
    asked = replace(ORDER, budget_s=budget_s, **order)
    return Sizing(order=asked, budget=Budget(seconds=budget_s, clock=clock or Clock()), usable=CORES, pace=known)


def test_a_quick_call_is_measured_as_ever() -> None:
    one = sizing(known=of(0.01))
    assert one.why_not(cell(), []) == ""
    assert one.settings(cell())["requests"] == 50
    assert one.limit_s(cell()) == 120.0
    assert one.assignment(cell()) == {"at_work_s": 0.0}
    assert one.note(record(cell())) == []


def test_a_slow_call_is_measured_from_its_first_request_on_and_the_judge_knows_its_pace() -> None:
    one = sizing(known=of(25.0, first_s=50.0), requests=8)
    assert one.why_not(cell(), []) == ""
    assert one.settings(cell())["requests"] == 8
    told = one.assignment(cell())
    assert (told["few"], told["cold"], told["baseline_s"], told["baseline_first_s"]) == (True, True, 25.0, 50.0)
    assert 125.0 <= told["most_s"] < one.limit_s(cell())
    assert one.note(record(cell())) == ["a call takes 25 s: 8 requests were measured, without a warm-up"]


def test_serial_calls_that_compute_may_take_longer_than_those_that_wait() -> None:
    serial = cell().baseline()
    one = sizing()
    assert one.at_work_s(serial) > one.limit_s(serial) >= 300.0
    bounded = sizing(budget_s=400.0)
    assert bounded.at_work_s(serial) == bounded.limit_s(serial) == 200.0
    asked = sizing(limit_s=60.0)
    assert (asked.limit_s(serial), asked.at_work_s(serial)) == (60.0, 0.0)


def test_what_a_budget_does_not_buy_is_said_with_the_time_that_it_would_take() -> None:
    clock = Clock()
    one = sizing(900.0, of(300.0), clock)
    clock.now_s += 320.0
    assert one.why_not(cell(), [cell("threads")]) == ""
    assert one.settings(cell())["requests"] == 2
    clock.now_s += 310.0
    said = one.why_not(cell("threads"), [])
    assert said == "of 15 min 00 s: it takes about 5 min 05 s, and 4 min 24 s are left"


def test_a_trial_never_outlasts_the_budget() -> None:
    clock = Clock()
    one = sizing(900.0, of(25.0), clock)
    assert one.why_not(cell(), []) == ""
    clock.now_s += 700.0
    assert one.limit_s(cell()) == 189.0, "a worker takes its time to start and to end"
    assert one.settings(cell())["ready_limit_s"] == 180.0
    clock.now_s += 150.0
    assert one.settings(cell())["ready_limit_s"] == 44.0
    assert one.limit_s(cell()) == 39.0


def test_a_trial_that_the_budget_cut_off_is_none_that_was_measured() -> None:
    clock = Clock()
    one = sizing(900.0, of(25.0), clock)
    slow = done(cell(), outcome=Outcome.SLOW)
    assert one.cut_short(slow) == "", "there is time left: the pool itself was too slow"
    clock.now_s += 890.0
    assert one.cut_short(slow) == "not measured within the budget of 15 min 00 s"
    assert one.cut_short(done(cell(), outcome=Outcome.HUNG)) == one.cut_short(done(cell())) == ""
    assert sizing(None, of(25.0)).cut_short(slow) == ""


def test_what_its_trials_took_beside_their_requests_tells_the_next_ones() -> None:
    one = sizing(known=of(25.0), requests=8)
    one.why_not(cell(), [])
    assert one.left_s([cell("threads")]) == pytest.approx(105.0)
    one.ended(done(cell(), seconds=120.0, measured_s=101.0))
    assert one.left_s([cell("threads")]) == pytest.approx(119.0)


def done(which: Cell, **more: Any) -> TrialRecord:
    return record(which, measured_requests=8, **more)


def test_within_a_budget_the_pools_that_tell_most_come_first_and_each_concurrency_with_all_of_them() -> None:
    order = replace(ORDER, concurrency=(2, 4), budget_s=900.0)
    assert [(one.pool, one.concurrency) for one in cells(order)[1:]] == [
        ("prefork", 2), ("threads", 2), ("prefork-spawn", 2), ("solo", 1), ("gevent", 2), ("eventlet", 2),
        ("prefork", 4), ("threads", 4), ("prefork-spawn", 4), ("gevent", 4), ("eventlet", 4),
    ]  # fmt: skip
    assert set(MOST_FIRST) == set(POOLS)


def test_the_serial_calls_of_a_grid_have_a_turn_within_a_budget_whatever_number_of_executors_is_asked() -> None:
    serial = cells(ORDER)[0]
    assert (serial.is_baseline, serial.concurrency) == (True, 1)
    assert set(cells(replace(ORDER, grid=(serial,), budget_s=900.0))) == {serial}


def test_counted_calls_are_shared_and_none_is_made_for_a_warm_up() -> None:
    one = sizing(known=of(0.01), max_calls=1000)
    one.share = calls.shares(1000, rows=2, trials=6).trial
    assert one.why_not(cell(), []) == ""
    assert one.settings(cell())["requests"] == 148
    assert one.assignment(cell())["few"]
    assert one.note(record(cell())) == ["--max-calls bounds them: 148 requests were measured, without a warm-up"]
    slow = sizing(known=of(25.0))
    slow.share = 148
    slow.why_not(cell(), [])
    assert slow.settings(cell())["requests"] == 9, "no more than tell something"


def test_calls_are_counted_though_the_serial_ones_never_came_back() -> None:
    one = sizing(max_calls=100)
    one.share = 7
    assert one.why_not(cell(), []) == ""
    assert one.settings(cell())["requests"] == 7
    assert one.assignment(cell())["few"]


def test_the_shares_are_no_more_than_was_allowed() -> None:
    for most in (30, 100, 5000):
        found = calls.shares(most, rows=3, trials=6)
        assert found.serial + 6 * (found.trial + 3) <= most
    with pytest.raises(BadInput, match="6 trials of 3 rows need 26 or more"):
        calls.shares(25, rows=3, trials=6)


def test_how_often_a_quick_task_is_called_is_said_before_it_is() -> None:
    assert sizing(known=of(0.01)).said([cell(), cell("solo")]) == (
        "2 trials call the task up to about 1,800 times in all; --max-calls bounds that"
    )


def test_how_long_the_pools_take_is_said_of_a_quick_task_too() -> None:
    said = sizing(known=of(0.01)).said([cell(), cell("solo")], 29.7)
    assert said == "2 trials call the task up to about 1,800 times in all, and take about 30 s; --max-calls bounds that"
    assert "1,200 times in all, and takes about 1 min 05 s" in sizing(known=of(0.01)).said([cell()], 65.0)


@pytest.mark.parametrize(
    ("usual_s", "budget_s", "said"),
    [
        (25.0, None, "a call takes 25 s without Celery: 4 trials with 8 to 9 requests each take about 9 min 55 s"),
        (25.0, 700.0, "4 trials with 8 to 9 requests each take about 9 min 55 s, within the budget of 11 min 40 s"),
        (300.0, 650.0, "2 of 4 trials with 2 requests each take about 10 min 10 s, within the budget of 10 min 50 s"),
        (300.0, 200.0, "within the budget, there is no time for a pool"),
    ],
)
def test_what_comes_is_said_before_the_first_pool(usual_s: float, budget_s: float | None, said: str) -> None:
    assert sizing(budget_s, of(usual_s)).said([cell(pool) for pool in FOUR]).endswith(said)


def test_serial_calls_that_never_came_back_are_told_how_to_get_more_time() -> None:
    serial = cell().baseline()
    one = sizing()
    assert one.note(record(serial, outcome=Outcome.WAITING)) == [
        "no call came back within 6 min 00 s: if it takes longer, raise --limit-s"
    ]
    assert one.note(record(serial, outcome=Outcome.HUNG)) == []
    one.pace = of(25.0)
    assert one.note(record(serial, outcome=Outcome.WAITING)) == []


def test_a_number_that_was_asked_for_is_bought_whole_or_not_at_all() -> None:
    its = prices(25.0, 8)
    assert its.cost(cell(), 8) == 105.0
    assert budget.requests(cell(), [], 105.0, its) == 8
    assert budget.requests(cell(), [], 104.0, its) == 0


@pytest.mark.parametrize(("limit_s", "most_s"), [(None, 100.0), (60.0, 35.0), (105.0, 100.0), (1000.0, 975.0), (10.0, 25.0)])
def test_requests_end_before_the_time_limit_if_they_can(limit_s: float | None, most_s: float) -> None:
    one = sizing(known=of(25.0), requests=8, limit_s=limit_s)
    assert one.why_not(cell(), []) == ""
    told = one.assignment(cell())["most_s"]
    assert (told == most_s) if limit_s else (told > most_s)
