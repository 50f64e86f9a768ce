"""A trial's figures: windows over the whole measured phase, and the same figures from an old record's requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.certainty import few, stability
from harness.measure import figures
from harness.records.answers import Measured, Requests
from harness.records.sections import Figures
from harness.records.sending import Sending
from harness.summary import summary
from harness.worker import contract
from tests.test_store import CELL, record

RESULTS = Path(__file__).resolve().parent.parent / "results"


def measured(gaps_s: list[float], latency_s: float | list[float] = 0.02) -> Measured:
    """Requests answered one after the other, so many seconds apart."""
    received = 100.0 + np.cumsum(gaps_s)
    latency = np.broadcast_to(latency_s, received.shape).astype(float)
    return Measured(received_s=received, latency_s=latency, predict_s=latency / 2)


def computed(gaps_s: list[float], latency_s: float | list[float] = 0.02, *, backlog: bool = False) -> Figures:
    return figures.compute(measured(gaps_s, latency_s), seconds=sum(gaps_s), requests=len(gaps_s), backlog=backlog)


def test_a_steady_trial_is_stable() -> None:
    found = computed([0.02] * 300)
    assert found.stable is True
    assert found.throughput_per_s == pytest.approx(50.0)
    assert found.window_throughputs_per_s == pytest.approx([50.0] * 3, rel=0.02)
    assert found.latency_s["p95"] == pytest.approx(0.02)


def test_a_freeze_makes_a_trial_unstable_wherever_it_lies() -> None:
    for at in (10, 150, 290):
        gaps = [0.02] * 300
        gaps[at] = 1.0
        assert computed(gaps).stable is False


def test_latency_that_grows_is_unstable_but_for_a_backlog_where_it_must() -> None:
    grows = list(np.linspace(0.02, 0.2, 300))
    assert computed([0.02] * 300, grows).stable is False
    assert computed([0.02] * 300, grows, backlog=True).stable is True


def test_too_few_requests_for_windows_leave_stability_unjudged() -> None:
    assert computed([0.02] * 149).stable is None
    assert computed([0.02] * 150).stable is True


@pytest.mark.parametrize(
    ("throughputs", "latencies", "answer"),
    [
        ([1.0, 1.0], [1.0, 1.0], False),
        ([9.0, 10.0, 10.5, 11.0], [1.0, 1.0, 1.0, 1.0], True),  # the last three count
        ([10.0, 10.5, 11.1], [1.0, 1.0, 1.0], False),
        ([10.0, 10.5, 11.0], [1.0, 1.0, 1.2], False),
        ([10.0, 0.0, 10.0], [], False),
    ],
)
def test_windows_are_stable_by_perf_analyzers_rule(throughputs: list[float], latencies: list[float], answer: bool) -> None:
    assert stability.stable(throughputs, latencies) is answer


def test_figures_of_a_record_without_them_come_from_its_requests(tmp_path: Path) -> None:
    from tests.test_packing import answered

    old = answered(tmp_path, CELL, 500)
    assert old.certainty.figures is None
    found = figures.of(old, tmp_path)
    assert found
    assert found.throughput_per_s == pytest.approx(100.0)
    assert 0.002 <= found.latency_s["p50"] < found.latency_s["p95"] <= 0.009


def test_figures_of_an_old_record_repeat_the_table_of_its_time() -> None:
    from harness.records import store

    folder, cell = RESULTS / "claims", "tensorflow1-prefork-c2-first-task-graph-session"
    records = [one for one in store.RunFolder(folder).current().values() if one.cell_id == cell]
    assert all(one.certainty.figures for one in records), (
        "a record of the first version, whose figures were computed as it was packed"
    )
    then = pd.read_csv(folder / "cells.csv").set_index("cell").loc[cell]
    row = summary.table(records, folder).set_index("cell").loc[cell]
    for name in ("throughput_per_s", "latency_p95_s"):
        assert row[name] == pytest.approx(then[name], rel=1e-3)
    assert row["throughput_low_per_s"] < then["throughput_per_s"] < row["throughput_high_per_s"]
    assert row["latency_p95_low_s"] < then["latency_p95_s"] < row["latency_p95_high_s"]


def test_figures_whose_requests_are_gone_are_empty(tmp_path: Path) -> None:
    gone = record(measured_s=1.0, measured_requests=100, requests_file="requests/none.parquet")
    assert summary.table([gone], tmp_path).isna()["throughput_per_s"][0]


def test_several_trials_make_one_figure_with_an_interval_from_their_spread(tmp_path: Path) -> None:
    trials = [
        record(trial=number, measured_s=5.0, measured_requests=500, figures=computed([1 / rate] * 500))
        for number, rate in enumerate((90.0, 100.0, 110.0), 1)
    ]
    row = summary.table(trials, tmp_path).iloc[0]
    assert row["throughput_per_s"] == pytest.approx((90 * 100 * 110) ** (1 / 3))
    assert row["throughput_low_per_s"] < 90
    assert row["throughput_high_per_s"] > 110
    assert row["stable"]


def few_requests(traffic: str, *, took_s: float = 30.0, cold: bool = False, said: Sending | None = None) -> few.Loop | None:
    """Eight requests in two children that run one after the other, as a trial's columns."""
    number = np.arange(8)
    begin = (number // 2) * took_s + 100.0
    end = begin + took_s + np.where(cold & (number < 2), took_s / 2, 0.0)
    columns = {
        "number": number, "row": number, "phase": np.full(8, contract.PHASES.index("measure")), "pid": 7 + number % 2,
        "tid": 7 + number % 2, "error": np.full(8, ""), "answers": np.zeros((8, 1)),
    } | {name: np.round(values * 1e9).astype(np.int64) for name, values in {
        "intended": np.where(number < 4, 100.0, begin - took_s + 0.01), "published": begin, "sent": begin,
        "received": end + 0.01, "begin": begin, "predict_begin": begin, "predict_end": end,
    }.items()}  # fmt: skip
    right = np.ones(8, dtype=bool)
    one = Requests(columns=columns, answered=right, right=right, raised=~right, difference=np.zeros(8))
    return figures.of_loop(one, traffic, 2, said or Sending(few=True, cold=cold))


def test_few_requests_are_counted_by_how_long_each_one_keeps_an_executor() -> None:
    found = few_requests("closed-4")
    assert found is not None
    assert found.rate_per_s == pytest.approx(2 / 30)
    assert found.median_s == pytest.approx(60.0)
    told = figures.of_few(computed([30.0] * 8), found)
    assert (told.requests, told.throughput_per_s) == (8, found.rate_per_s)
    assert told.predict_p50_s == 30.0
    assert set(told.latency_s) == {"p50"}


def test_the_first_request_of_each_executor_is_left_out_where_it_is_known_to_take_longer() -> None:
    found = few_requests("closed-4", cold=True)
    assert found is not None
    assert (found.requests, found.cold, found.service_s) == (6, 2, 30.0)


@pytest.mark.parametrize(("traffic", "said"), [("closed-4", Sending()), ("drain", None), ("poisson-2", None)])
def test_requests_that_were_measured_otherwise_are_counted_otherwise(traffic: str, said: Sending | None) -> None:
    assert few_requests(traffic, said=said) is None
