"""What the pytest plugin says of a cell's row."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.certainty import intervals
from harness.decide.advise import limits
from harness.decide.advise.fresh import Fresh
from harness.pytest_plugin import BOUNDS, HELD, MeasuredCell, pytest_runtest_call


def cell(**row: Any) -> MeasuredCell:
    return MeasuredCell({"outcome": "ok", "doubts": "", "throughput_per_s": 10.0, "reason": "fine", **row}, Path(), "one")


@pytest.mark.parametrize(
    ("doubts", "why"),
    [
        ("", ""),
        (None, ""),
        ("swap: 3 MiB were swapped, free some memory", ""),
        (
            "unusable: machine too noisy: others used 60% of the cores that we may use, measure again: --retry invalid",
            "machine too noisy: others",
        ),
    ],
)
def test_a_cell_whose_figures_were_spoiled_says_by_what(doubts: str | None, why: str) -> None:
    assert cell(doubts=doubts).unusable.startswith(why)
    assert bool(cell(doubts=doubts).unusable) is bool(why)


def test_a_limit_is_held_against_the_row() -> None:
    assert cell().broken({"min_throughput_per_s": 5.0}) == []
    assert cell().broken({"min_throughput_per_s": 50.0}) == ["min_throughput_per_s=50: throughput_per_s is 10"]
    assert cell(outcome="waiting", reason="for a peer").broken({}) == ["ended waiting, not ok: for a peer"]


def fleet(name: str, *values: float, **row: Any) -> MeasuredCell:
    """A cell whose workers have these figures; the row has their geometric mean, as `cells.csv` has."""
    column, bound, least = limits.LIMITS[name]
    known = {one: Fresh(workers=len(values), values=(), own=()) for _, one, _ in limits.LIMITS.values()}
    known[bound] = Fresh(workers=len(values), values=values, own=(None,) * len(values), least=least)
    middle = {column: intervals.middle(values), "judged_trials": len(values), "hung_trials": 0, **row}
    return MeasuredCell({"outcome": "ok", "doubts": "", "reason": "fine", **middle}, Path("kept"), "one", fresh=known)


def test_one_slow_worker_of_five_breaks_a_limit_that_the_mean_keeps() -> None:
    found = fleet("max_p95_s", 0.02, 0.02, 0.02, 0.02, 0.5)
    assert found.row["latency_p95_s"] < 0.05
    assert found.broken({"max_p95_s": 0.05}) == ["max_p95_s=0.05: latency_p95_s is 0.5 in the worst of 5 fresh workers"]
    slow = fleet("min_throughput_per_s", 50.0, 50.0, 5.0)
    said = "min_throughput_per_s=20: throughput_per_s is 5 in the worst of 3 fresh workers"
    assert slow.broken({"min_throughput_per_s": 20}) == [said]


@pytest.mark.parametrize("name", [name for name in limits.LIMITS if name != "max_hang_rate"])
def test_no_limit_is_kept_by_fewer_than_three_workers_and_the_missing_ones_are_counted(name: str) -> None:
    far = {name: 1e-9 if name.startswith("min") else 1e12}
    one, two, three = fleet(name, 1.0), fleet(name, 1.0, 1.01), fleet(name, 1.0, 1.01, 1.0)
    assert [each.broken(far) for each in (one, two, three)] == [[], [], []]
    (said,) = one.left_open(far)
    assert "repeat=3: it takes 3 fresh workers, 2 more than there are" in said
    assert "1 more than there are" in two.left_open(far)[0]
    assert three.left_open(far) == []


def test_one_worker_is_enough_to_break_a_limit() -> None:
    assert fleet("max_p95_s", 0.5).broken({"max_p95_s": 0.05}) == ["max_p95_s=0.05: latency_p95_s is 0.5"]


def test_workers_that_differ_too_much_leave_a_near_limit_open() -> None:
    found = fleet("max_p95_s", 0.02, 0.03, 0.04)
    assert found.broken({"max_p95_s": 0.05}) == []
    (said,) = found.left_open({"max_p95_s": 0.05})
    assert said.startswith("max_p95_s=0.05: one more fresh worker may have ")
    assert "--" not in said


def test_a_worker_without_the_figure_leaves_the_limit_open_and_names_the_requests() -> None:
    found = fleet("max_p99_s", 0.02, 0.02, 0.02)
    lacking = {**found.fresh, "p99": Fresh(workers=4, values=(0.02,) * 3, own=(None,) * 3)}
    (said,) = replace(found, fresh=lacking).left_open({"max_p99_s": 1.0})
    assert "requests=459" in said


def test_a_figure_that_too_few_requests_have_is_no_broken_limit() -> None:
    found = fleet("max_p99_s", 0.02, 0.02, 0.02, latency_p99_s=None)
    assert found.broken({"max_p99_s": 1.0}) == []
    hung = fleet("max_p99_s", 0.02, latency_p99_s=None, outcome="hung")
    assert any("there is no latency_p99_s" in line for line in hung.broken({"max_p99_s": 1.0}))


def test_a_hang_rate_takes_as_many_clean_workers_as_recommend_asks_for() -> None:
    assert "repeat=59:" in fleet("max_hang_rate", 1.0, 1.0, 1.0, hang_rate=0.0).left_open({"max_hang_rate": 0.05})[0]
    assert fleet("max_hang_rate", *(1.0,) * 59, hang_rate=0.0).left_open({"max_hang_rate": 0.05}) == []
    assert "name one above it" in fleet("max_hang_rate", 1.0, hang_rate=0.0).left_open({"max_hang_rate": 0})[0]
    assert cell(hang_rate=0.5).broken({"max_hang_rate": 0.05}) == ["max_hang_rate=0.05: hang_rate is 0.5"]


def run(cell: MeasuredCell, wanted: dict[str, Any]) -> Generator[None, object, object]:
    item = SimpleNamespace(stash=pytest.Stash())
    item.stash[HELD] = (cell, wanted)
    return pytest_runtest_call(item)  # type: ignore[arg-type]


def test_a_limit_that_is_left_open_skips_the_test_after_its_own_lines() -> None:
    calls = run(fleet("max_p95_s", 0.02), {"max_p95_s": 0.05})
    next(calls)
    with pytest.raises(pytest.skip.Exception, match=r"cannot be said whether one keeps its limits: max_p95_s=0.05: repeat=3"):
        calls.send(None)
    failing = run(fleet("max_p95_s", 0.02), {"max_p95_s": 0.05})
    next(failing)
    with pytest.raises(AssertionError, match="its own"):
        failing.throw(AssertionError("its own"))


def test_a_broken_limit_fails_the_test_before_its_first_line() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"breaks its limits:\n  max_p95_s=0.05: latency_p95_s is 0.5\n"):
        next(run(fleet("max_p95_s", 0.5), {"max_p95_s": 0.05}))


def test_a_test_whose_limits_are_kept_passes() -> None:
    calls = run(fleet("max_p95_s", 0.02, 0.02, 0.021), {"max_p95_s": 0.05, "outcome": "ok"})
    next(calls)
    with pytest.raises(StopIteration):
        calls.send(None)


def test_the_plugin_names_the_limits_that_are_held() -> None:
    assert tuple(limits.LIMITS) == BOUNDS
