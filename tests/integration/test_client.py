"""The client against a server whose truth is known: what open traffic shows and closed traffic hides, overload, the peak."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from harness.machine.processes import OwnedProcess
from harness.proof.instrument import rig
from harness.records.sending import Sending

FREEZE_S = 1.0


def freeze(server: OwnedProcess) -> None:
    time.sleep(0.5)
    os.kill(server.pid, signal.SIGSTOP)
    time.sleep(FREEZE_S)
    os.kill(server.pid, signal.SIGCONT)


def test_a_freeze_delays_all_that_arrive_in_it_where_closed_traffic_shows_one(tmp_path: Path) -> None:
    with rig.opened(tmp_path) as bench, bench.responder(service_s=0.005) as server:
        open_, closed = (
            bench.client(traffic, measure_s=3.0, meanwhile=lambda: freeze(server)) for traffic in ("constant-50", "single")
        )
    delayed = [int((ran.latency_s() > FREEZE_S / 10).sum()) for ran in (open_, closed)]
    assert delayed[0] >= 0.8 * 0.9 * FREEZE_S * 50
    assert 1 <= delayed[1] < delayed[0] / 4
    columns, measured = open_.columns, open_.measured
    assert (np.diff(columns["intended"][measured]) > 0).all(), "the schedule went on through the freeze"
    for first, then in (("intended", "published"), ("published", "sent"), ("published", "received")):
        assert (columns[first][measured] <= columns[then][measured]).all(), (first, then)
    assert (closed.columns["intended"] == closed.columns["published"]).all()


def test_arrivals_beyond_capacity_are_told_and_their_backlog_is_cut_off(tmp_path: Path) -> None:
    with rig.opened(tmp_path) as bench, bench.responder(service_s=0.02):
        ran = bench.client("poisson-1500", measure_s=1.0)
    said = ran.sending
    assert said.overloaded
    assert said.backlog_after > 500
    assert said.cut_off > 0
    answered = ran.columns["received"] >= 0
    assert int((~answered).sum()) == said.withdrawn, "whatever was not withdrawn was awaited"


def test_a_backlog_that_ends_in_time_is_awaited(tmp_path: Path) -> None:
    with rig.opened(tmp_path) as bench, bench.responder(service_s=0.01):
        ran = bench.client("constant-300", measure_s=1.0)
    assert ran.sending.overloaded
    assert ran.sending.withdrawn == 0
    assert (ran.columns["received"] >= 0).all()


def test_the_peak_of_a_known_queue_is_found_and_measured(tmp_path: Path) -> None:
    """4 ms a request: 250 a second is all that there is, and p90 stays within 60 ms up to nearly there."""
    with rig.opened(tmp_path) as bench, bench.responder(service_s=0.004):
        ran = bench.client("peak-p90-60ms", measure_s=1.0)
    said = ran.sending
    assert said.peak_per_s
    assert 75 < said.peak_per_s < 285
    assert said.rate_per_s == said.peak_per_s
    assert any(step.met == "met" and step.rate_per_s == said.peak_per_s for step in said.steps)
    assert int(ran.measured.sum()) >= 44


def test_a_latency_that_no_rate_keeps_is_a_peak_of_nothing(tmp_path: Path) -> None:
    with rig.opened(tmp_path) as bench, bench.responder(service_s=0.01):
        ran = bench.client("peak-p90-9ms", measure_s=1.0)
    said: Sending = ran.sending
    assert said.peak_per_s == 0
    assert said.peak.startswith("no rate keeps p90 within 9 ms")
    assert not ran.measured.any()


@pytest.mark.parametrize("traffic", ["poisson-100", "closed-4"])
def test_the_same_seed_makes_the_same_requests(traffic: str, tmp_path: Path) -> None:
    with rig.opened(tmp_path) as bench, bench.responder(service_s=0.0):
        runs = [bench.client(traffic, measure_s=0.5, seed=seed) for seed in (7, 7, 8)]
    rows = [ran.columns["row"][:50].tolist() for ran in runs]
    assert rows[0] == rows[1] != rows[2]
    if traffic.startswith("poisson"):
        gaps = [np.diff(ran.columns["intended"][ran.measured])[:20].tolist() for ran in runs]
        assert gaps[0] == gaps[1] != gaps[2]
