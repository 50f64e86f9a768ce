"""The row of a cell, column by column, from trials made by hand; and the table of cells."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.certainty import intervals
from harness.certainty.intervals import Span
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.measure import waterfall
from harness.records import answers
from harness.records.cpu import CpuUse, Throttled
from harness.records.outcomes import ANSWERED, GRAVITY, Outcome
from harness.records.record import TrialRecord
from harness.records.sections import Figures, Pace
from harness.records.sending import Sending
from harness.summary import summary
from harness.summary.summary import COLUMNS, gravest
from tests import replay
from tests.test_store import record

CELL = Cell(backend="theano", environment="theano-1", pool="prefork", concurrency=2, batch=8, traffic="poisson-50")
USE = CpuUse(window_s=2.0, cores=4, requests=10, worker=1.0, children=3.0, broker=0.5, client=0.5, machine=5.4, steal=0.0)
WINDOWS: dict[str, Any] = {"window_throughputs_per_s": [1.0, 2.0, 3.0], "window_latencies_s": [1.0, 2.0, 3.0]}
ENOUGH = {"p50": 0.01, "p95": 0.02, "p99": 0.03}


def figures(pace_per_s: float = 40.0, **more: Any) -> Figures:
    return Figures(**{"requests": 500, "throughput_per_s": pace_per_s, "latency_s": ENOUGH, "stable": True, **more})


def trial(pace_per_s: float = 40.0, cell: Cell = CELL, **changes: Any) -> TrialRecord:
    told = {"figures": figures(pace_per_s), "cpu": USE, "measured_s": 10.0, "measured_requests": 400}
    return record(cell, **{**told, **changes})


def row(*trials: TrialRecord, beside: tuple[TrialRecord, ...] = ()) -> dict[str, Any]:
    others: dict[str, list[TrialRecord]] = {}
    for one in (*trials, *beside):
        others.setdefault(one.cell_id, []).append(one)
    return summary.row(list(trials), others, Path("nowhere"))


def test_a_row_names_its_cell() -> None:
    found = row(trial())
    told = {name: value for name, value in CELL.as_dict().items() if name in COLUMNS}
    assert {name: found[name] for name in told} == {**told, "environment": "theano-1"}
    assert (found["cell"], found["batch"], found["trials"]) == (CELL.id, 8, 1)
    assert row(trial(cell=replace(CELL, environment="")))["environment"] == "theano"
    assert set(found) <= set(COLUMNS)


def test_what_is_counted_is_counted_over_all_trials() -> None:
    found = row(
        trial(requests=10, ok=4, wrong=1, unanswered=2, errors={"A": 1, "B": 2}),
        trial(requests=20, ok=17, wrong=1, unanswered=1, errors={"A": 1}, outcome=Outcome.ERRORS),
    )
    assert {name: found[name] for name in ("trials", "requests", "ok", "wrong", "unanswered", "errors")} == {
        "trials": 2, "requests": 30, "ok": 21, "wrong": 2, "unanswered": 3, "errors": 4,
    }  # fmt: skip
    assert found["outcomes"] == "ok:1 errors:1"


def test_the_gravest_trial_gives_the_reason_and_the_evidence() -> None:
    found = row(
        trial(evidence="evidence/fine", reason="fine"),
        trial(outcome=Outcome.HUNG, evidence="evidence/one", reason="they wait"),
        trial(outcome=Outcome.SLOW, evidence="evidence/slow", reason="slow"),
    )
    assert (found["outcome"], found["reason"], found["evidence"]) == ("hung", "they wait", "evidence/one")


@pytest.mark.parametrize("place", range(len(GRAVITY)))
def test_each_outcome_outweighs_all_that_follow_it_unless_it_was_not_judged(place: int) -> None:
    grave, lighter = GRAVITY[place], GRAVITY[place + 1 :]
    for other in lighter:
        hidden = grave is Outcome.INVALID and other in ANSWERED
        for trials in ([trial(outcome=grave), trial(outcome=other)], [trial(outcome=other), trial(outcome=grave)]):
            assert gravest(iter(trials)).outcome is (other if hidden else grave)


def test_every_outcome_has_its_gravity() -> None:
    assert sorted(GRAVITY) == sorted(Outcome)
    assert GRAVITY[0] is Outcome.CRASHED


def test_peaks_are_the_largest_and_times_the_median_of_all_trials() -> None:
    trials = [
        trial(peak_pss_bytes=size, threads_peak={"worker": size + 1, "child": size + 2}, ready_s=size, first_predict_s=2 * size,
              starved=size / 10, outcome=outcome)
        for size, outcome in ((1, Outcome.OK), (7, Outcome.HUNG), (2, Outcome.OK))
    ]  # fmt: skip
    found = row(*trials)
    assert {name: found[name] for name in ("peak_pss_bytes", "threads_worker", "threads_child")} == {
        "peak_pss_bytes": 7, "threads_worker": 8, "threads_child": 9,
    }  # fmt: skip
    assert (found["ready_s"], found["first_predict_s"], found["starved_share"]) == (2, 4, 0.2)


def test_what_no_trial_knows_is_left_empty() -> None:
    found = row(record(CELL, outcome=Outcome.REFUSED))
    empty = ("peak_pss_bytes", "threads_worker", "threads_child", "ready_s", "first_predict_s", "starved_share",
             "offered_per_s", "late_share", "peak_per_s", "stage_predict_p50_s")  # fmt: skip
    assert {found[name] for name in empty} == {None}
    assert not {"throughput_per_s", "cpu_saturation", "efficiency", "latency_p50_s"} & set(found)
    assert found["doubts"] == ""
    assert row(trial(threads_peak={}))["threads_child"] is None


def test_figures_are_those_of_the_good_trials_and_else_of_those_that_measured() -> None:
    good, hung = trial(40.0), trial(10.0, outcome=Outcome.HUNG)
    assert row(good, hung)["throughput_per_s"] == 40.0
    assert row(hung)["throughput_per_s"] == 10.0
    assert "throughput_per_s" not in row(trial(measured_s=None))
    assert "throughput_per_s" not in row(trial(measured_requests=0))
    assert "throughput_per_s" not in row(trial(figures=None))


def test_the_interval_of_one_trial_is_its_own_and_that_of_several_comes_from_how_they_differ() -> None:
    span = {"throughput_span_per_s": Span(30.0, 50.0), "latency_span_s": {"p50": Span(0.005, 0.015)}, "predict_p50_s": 0.004}
    one = row(trial(figures=figures(**span)))
    assert (one["throughput_low_per_s"], one["throughput_high_per_s"]) == (30.0, 50.0)
    assert (one["latency_p50_low_s"], one["latency_p50_s"], one["latency_p50_high_s"]) == (0.005, 0.01, 0.015)
    assert (one["latency_p95_low_s"], one["latency_p95_s"], one["latency_p95_high_s"]) == (None, 0.02, None)
    assert one["predict_p50_s"] == 0.004
    fast = figures(90.0, **span, latency_s={"p50": 0.04, "p95": 0.08, "p99": 0.12})
    two = row(trial(figures=figures(40.0, **span)), trial(figures=fast))
    assert two["throughput_per_s"] == pytest.approx(math.sqrt(40 * 90))
    assert (two["throughput_low_per_s"], two["throughput_high_per_s"]) == pytest.approx(intervals.over_trials([40.0, 90.0]))
    assert two["latency_p50_s"] == pytest.approx(0.02)
    assert (two["latency_p50_low_s"], two["latency_p50_high_s"]) == pytest.approx(intervals.over_trials([0.01, 0.04]))
    assert two["latency_p99_s"] == pytest.approx(math.sqrt(0.03 * 0.12))


@pytest.mark.parametrize(
    ("each", "whole"),
    [([True, True], True), ([True, False], False), ([None, False], False), ([True, None], None), ([None], None)],
)
def test_a_cell_is_stable_if_all_its_trials_are(each: list[bool | None], whole: bool | None) -> None:
    assert row(*(trial(figures=figures(stable=one, **WINDOWS)) for one in each))["stable"] is whole


def pooled(folder: Path, needs: int) -> list[TrialRecord]:
    """Two trials of real requests, whose figures claim to rest on so many together and know p50 alone."""
    played = replay.once("ok-prefork")
    assert played.requests is not None
    for name in ("a", "b"):
        answers.save(played.requests, folder / f"{name}.parquet")
    few = figures(requests=needs // 2, latency_s={"p50": 0.01})
    return [trial(figures=few, requests_file="a.parquet"), trial(figures=few, requests_file="b.parquet")]


def test_a_percentile_that_no_trial_supports_alone_is_that_of_all_together_without_an_interval(tmp_path: Path) -> None:
    trials = pooled(tmp_path, 2 * 230)
    found = summary.row(trials, {}, tmp_path)
    both = [*answers.measured(tmp_path / "a.parquet").latency_s] * 2
    assert len(both) >= intervals.needed_requests(0.95)
    assert found["latency_p95_s"] == pytest.approx(intervals.percentile(both, 0.95))
    assert "latency_p95_low_s" not in found
    assert found["latency_p50_s"] == pytest.approx(0.01)


def test_too_few_requests_together_or_one_trial_alone_give_no_percentile(tmp_path: Path) -> None:
    trials = pooled(tmp_path, 2 * 44)
    assert "latency_p95_s" not in summary.row(trials, {}, tmp_path)
    assert "latency_p95_s" in summary.row(pooled(tmp_path, 90), {}, tmp_path)
    assert "latency_p95_s" not in summary.row(pooled(tmp_path, 4000)[:1], {}, tmp_path)


def test_requests_that_are_gone_leave_a_pooled_percentile_empty(tmp_path: Path) -> None:
    trials = pooled(tmp_path, 2 * 230)
    (tmp_path / "b.parquet").unlink()
    assert summary.row(trials, {}, tmp_path)["latency_p95_s"] is None


def test_the_cpu_of_several_trials_is_that_of_all_their_seconds() -> None:
    idle = USE.model_copy(update={"worker": 0.5, "children": 0.5, "broker": 0.0, "client": 0.0, "machine": 3.4, "requests": 30})
    found = row(trial(), trial(cpu=idle))
    assert found["cpu_saturation"] == pytest.approx((4.0 + 1.0) / 16)
    assert found["cpu_s_per_request"] == pytest.approx(5.0 / 40)
    assert found["cpu_share_worker"] == pytest.approx(5.0 / 6)
    assert found["cpu_share_children"] == pytest.approx(3.5 / 6)
    assert found["cpu_share_broker"] == pytest.approx(0.5 / 6)
    assert found["cpu_share_client"] == pytest.approx(0.5 / 6)
    assert found["others_cpu_share"] == pytest.approx(2.4 / 8)


def test_the_cpu_is_a_share_of_the_cores_that_each_trial_could_use() -> None:
    held = Throttled(level=0, quota=3.0, periods=40, throttled_periods=30, throttled_s=2.0)
    bound = USE.model_copy(update={"quota": 3.0, "throttled": [held]})
    found = row(trial(cpu=bound))
    assert found["cpu_saturation"] == pytest.approx(4.0 / 6)
    assert found["throttled_share"] == pytest.approx(2.0 / 8)
    assert row(trial(), trial(cpu=bound))["throttled_share"] == found["throttled_share"]
    assert row(trial())["throttled_share"] is None


def test_a_trial_that_answered_nothing_says_nothing_of_the_cpu() -> None:
    assert "cpu_saturation" not in row(trial(cpu=USE.model_copy(update={"requests": 0})))
    nothing = dict.fromkeys(("worker", "children", "broker", "client"), 0.0)
    found = row(trial(cpu=USE.model_copy(update=nothing)))
    assert {found[f"cpu_share_{role}"] for role in ("worker", "children", "broker", "client")} == {None}
    assert found["cpu_saturation"] == 0.0


def test_open_traffic_tells_its_rate_its_late_sends_and_its_peak() -> None:
    found = row(
        trial(sending=Sending(rate_per_s=50.0, sends=100, late=1, peak_per_s=60.0)),
        trial(sending=Sending(rate_per_s=70.0, sends=300, late=7, peak_per_s=80.0)),
        trial(sending=Sending(rate_per_s=99.0, sends=400, late=0, peak_per_s=10.0), outcome=Outcome.SLOW),
        trial(),
    )
    assert (found["offered_per_s"], found["late_share"], found["peak_per_s"]) == (60.0, 0.01, 70.0)


def test_closed_traffic_has_no_late_sends() -> None:
    assert row(trial(sending=Sending()))["late_share"] is None


def test_a_rate_of_zero_is_a_peak() -> None:
    assert row(trial(sending=Sending(peak_per_s=0.0)))["peak_per_s"] == 0.0


def test_each_stage_is_the_median_of_the_trials() -> None:
    trials = [trial(stages_p50_s={name: place + n for n, name in enumerate(waterfall.STAGES)}) for place in (1, 5, 2)]
    found = row(*trials)
    assert [found[f"stage_{name}_p50_s"] for name in waterfall.STAGES] == [2 + n for n in range(len(waterfall.STAGES))]
    assert row(trial(stages_p50_s={"broker": 0.0}))["stage_broker_p50_s"] == 0.0


def test_the_controls_stand_beside_a_cell() -> None:
    null, baseline = CELL.null_control(), CELL.baseline()
    beside = (
        trial(160.0, null), trial(1.0, null, outcome=Outcome.HUNG),
        trial(cell=baseline, figures=figures(predict_p50_s=0.004)), trial(cell=baseline, figures=figures(predict_p50_s=0.009)),
    )  # fmt: skip
    found = row(trial(40.0), beside=beside)
    assert (found["null_throughput_per_s"], found["overhead_fraction"]) == (160.0, 0.25)
    assert found["baseline_predict_s"] == pytest.approx(0.006)


def test_without_controls_nothing_is_compared() -> None:
    found = row(trial(40.0))
    assert {found[name] for name in ("null_throughput_per_s", "overhead_fraction", "baseline_predict_s")} == {None}
    without = row(trial(figures=None), beside=(trial(160.0, CELL.null_control()),))
    assert (without["null_throughput_per_s"], without["overhead_fraction"]) == (160.0, None)


def test_the_reason_of_a_sibling_says_what_it_brought(tmp_path: Path) -> None:
    own, reason = replace(CELL, backend=OWN_APP, placement=AS_WRITTEN), "fine; with OMP_NUM_THREADS=1"
    groups = {
        cell.id: [trial(pace * share, cell, reason=reason, trial=number) for number, share in enumerate((1.0, 0.99, 1.01), 1)]
        for cell, pace in ((own, 10.0), (own.sibling(), 31.0))
    }
    told = [summary.row(trials, groups, tmp_path)["reason"] for trials in groups.values()]
    assert told[0] == "fine; with OMP_NUM_THREADS=1", "the plain cell's own words"
    assert told[1] == f"fine; with OMP_NUM_THREADS=1: 3.10 x the throughput of {own.id}"
    alone = groups[own.sibling().id]
    assert summary.row(alone, {}, tmp_path)["reason"] == "fine; with OMP_NUM_THREADS=1"


@pytest.mark.parametrize("cell", [CELL.null_control(), CELL.baseline()])
def test_a_control_is_compared_with_nothing(cell: Cell) -> None:
    assert "overhead_fraction" not in row(trial(cell=cell))


def test_doubts_of_a_row_stand_in_one_text() -> None:
    found = row(trial(figures=figures(requests=40)))
    names = [doubt.partition(":")[0] for doubt in found["doubts"].split("; ")]
    assert names == ["1 trial", "few requests"]
    mixed = row(trial(), trial(), trial(outcome=Outcome.HUNG))
    assert "mixed ends" in mixed["doubts"]


def test_a_table_has_a_row_a_cell_in_the_order_in_which_they_appear(tmp_path: Path) -> None:
    other = replace(CELL, pool="threads")
    found = summary.table([trial(), trial(cell=other), trial(trial=2)], tmp_path)
    assert list(found.columns) == list(COLUMNS)
    assert found["cell"].tolist() == [CELL.id, other.id]
    assert found["trials"].tolist() == [2, 1]
    assert summary.table([], tmp_path).empty


def test_the_columns_that_a_row_can_have_are_all_in_the_table() -> None:
    every = {*row(trial(cell=replace(CELL, traffic="closed-4")), trial(outcome=Outcome.HUNG))}
    later = {
        *(f"latency_{name}{side}_s" for name in ENOUGH for side in ("", "_low", "_high")), "ceiling_per_s", "ceiling_cell",
        "efficiency", "run_queue_wait_s_per_s", "involuntary_switches_per_s", "pss_worker_bytes", "pss_children_bytes",
        "private_bytes", "shared_saved_bytes", "growth_bytes_per_s", "growth_bytes_per_request",
    }  # fmt: skip
    assert every | later == set(COLUMNS)
    assert len(COLUMNS) == len(set(COLUMNS))
    assert Pace().starved is None
