"""The instrument measures what it says: CPU time, and messages that are Celery's own."""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.environments import Environment
from harness.machine.processes import OwnedProcess
from harness.measure import waterfall
from harness.measure.monitor import Monitor
from harness.proof.selfcost import stamps
from harness.records import answers
from harness.records.record import TrialRecord, from_line
from tests.integration.conftest import Harness, block, experiment, run_harness

BURN = """
import os, subprocess, sys, time
def burn(s):
    end = time.process_time() + s
    while time.process_time() < end: pass
pids = []
for i in range(3):
    pid = os.fork()
    if pid == 0:
        burn(0.4 + 0.1 * i)
        if i < 2: os._exit(0)
        time.sleep(300)
    pids.append(pid)
for i in range(4): subprocess.check_call([sys.executable, '-c', 'sum(range(3000000))'])
os.waitpid(pids[0], 0)  # the second one stays a zombie
burn(0.5)
print('done', flush=True)
time.sleep(300)
"""


def test_cpu_time_agrees_with_the_kernels_own_accounting_within_2_percent(tmp_path: Path) -> None:
    """Living, dead, unreaped and short-lived processes; the kernel's figure is getrusage of the whole reaped tree."""
    log = tmp_path / "log"
    with OwnedProcess([sys.executable, "-c", BURN], log=log, env={"PATH": os.environ["PATH"]}) as process:
        until = time.monotonic() + 120
        while "done" not in (log.read_text() if log.exists() else "") and time.monotonic() < until:
            time.sleep(0.05)
        sampled = Monitor(worker=process).sample().worker_tree_cpu_s
    assert process.kernel_cpu_s is not None
    assert process.kernel_cpu_s > 1.5
    assert sampled == pytest.approx(process.kernel_cpu_s, rel=0.02)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_cells_cpu_time_agrees_with_the_kernels_own_accounting_within_2_percent(
    pool: str, tmp_path: Path, harness: Harness
) -> None:
    """A hung cell is killed at once after the last sample, so both figures end at the same moment."""
    path = experiment(tmp_path, block("faulty", pool, fault="deadlock@1000"), measure_s=60.0)
    done = harness("run", path, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    record = from_line((tmp_path / "run" / "trials.jsonl").read_text())
    assert record is not None
    assert record.outcome == "hung", record.reason
    assert record.cpu.kernel_cpu_s is not None
    assert record.cpu.tree_cpu_s == pytest.approx(record.cpu.kernel_cpu_s, rel=0.02)


def most_at_once(path: Path) -> int:
    """How many requests were inside the task at one moment, at the most."""
    columns = pq.read_table(path, columns=["begin", "predict_end"]).to_pydict()
    steps = sorted([(at, 1) for at in columns["begin"]] + [(at, -1) for at in columns["predict_end"]])
    return max(itertools.accumulate(step for _, step in steps))


POOLS_AND_SIZES = [("gevent", 4), ("eventlet", 4), ("threads", 4), ("prefork", 2), ("solo", 1)]


@pytest.fixture(scope="module", params=POOLS_AND_SIZES, ids=lambda param: param[0])
def sleeping(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrialRecord, Path]:
    """The record of a cell whose requests sleep for 0.25 s, more of them in flight than it has executors; and its folder."""
    pool, concurrency = request.param
    folder = tmp_path_factory.mktemp(pool)
    cell = block("faulty", pool, concurrency=concurrency, fault="sleep:0.25@0", traffic="closed-8")
    done = run_harness(folder, "run", experiment(folder, cell, measure_s=2.0), "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    record = from_line((folder / "run" / "trials.jsonl").read_text())
    assert record is not None
    return record, folder / "run"


def test_a_worker_is_not_ended_before_it_has_noted_the_end_of_every_request(sleeping: tuple[TrialRecord, Path]) -> None:
    record, folder = sleeping
    columns = pq.read_table(folder / record.answers.requests_file, columns=["received", "written"]).to_pydict()
    assert len(columns["received"]) > record.as_cell.concurrency
    assert min(columns["received"]) > 0
    assert min(columns["written"]) > 0


def test_a_pool_runs_as_many_requests_at_once_as_it_was_told(sleeping: tuple[TrialRecord, Path]) -> None:
    """Green workers would run one at a time if they were not patched: their sleep would block the hub."""
    record, folder = sleeping
    assert most_at_once(folder / record.answers.requests_file) == record.as_cell.concurrency


def test_the_record_says_what_the_cores_and_the_executors_did_and_where_the_samples_lie(
    sleeping: tuple[TrialRecord, Path],
) -> None:
    """Eight requests in flight keep the executors asleep in one, which uses next to no CPU time."""
    record, folder = sleeping
    facts, seen = record.cpu.facts, record.cpu.facts.occupancy if record.cpu.facts else None
    assert record.cpu.verdict
    assert record.cpu.verdict_reason
    assert facts is not None
    assert seen is not None
    assert (seen.executors, seen.work_waits > 0.9, seen.executors_busy > 0.7) == (record.as_cell.concurrency, True, True)
    assert sum(facts.thread_cpu_s.values()) < 0.5 * facts.span_s
    samples = pq.read_table(folder / record.cpu.samples_file).to_pandas()
    assert {"first", "warmup", "measure"} <= set(samples["phase"])
    assert record.memory.use is not None
    children = record.memory.use.pss_bytes["children"]
    assert (children > 0) == (record.as_cell.pool == "prefork")
    assert record.memory.peak_pss_bytes == samples[["pss_worker_bytes", "pss_children_bytes"]].sum(axis=1).max()


def test_the_stages_of_a_request_add_up_to_its_latency_within_2_percent(sleeping: tuple[TrialRecord, Path]) -> None:
    record, folder = sleeping
    found = waterfall.read(folder / record.answers.requests_file, capacity=record.as_cell.concurrency)
    latencies = answers.measured(folder / record.answers.requests_file).latency_s
    assert found is not None
    assert len(found) == len(latencies), "every request has a full set of stamps"
    assert sorted(np.nansum(found, axis=1)) == pytest.approx(sorted(latencies), rel=0.02)


def test_the_wait_for_an_executor_and_the_sleep_are_the_stages_that_hold_the_time(sleeping: tuple[TrialRecord, Path]) -> None:
    """With 8 requests in flight, all executors are busy: what a pool does not take from the broker waits there."""
    record, folder = sleeping
    found = waterfall.read(folder / record.answers.requests_file, capacity=record.as_cell.concurrency)
    assert found is not None
    share = dict(zip(waterfall.STAGES, np.nansum(found, axis=0) / np.nansum(found), strict=True))
    assert found[:, waterfall.STAGES.index("predict")].min() >= 0.25
    waits = share["broker"] if record.as_cell.pool == "solo" else share["prefetch"] + share["broker"]
    assert waits + share["predict"] > 0.8


def test_two_processes_of_the_ceiling_predict_side_by_side_and_are_counted_while_both_do(tmp_path: Path) -> None:
    cell = block("faulty", "in-process", concurrency=2, placement="import", traffic="single", fault="sleep:0.05@0")
    done = run_harness(tmp_path, "run", experiment(tmp_path, cell, requests=30), "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    record = from_line((tmp_path / "run" / "trials.jsonl").read_text())
    assert record is not None
    assert record.pace.measured_requests >= 30
    table = pq.read_table(tmp_path / "run" / record.answers.requests_file).to_pandas()
    assert table["right"].all()
    assert table["pid"].nunique() == 2
    measured = table[table["phase"] == answers.MEASURE]
    others = table[table["phase"] != answers.MEASURE]
    assert len(measured) == record.pace.measured_requests
    for pid in table["pid"].unique():  # each has worked before the measured phase and went on after it
        assert others.loc[others["pid"] == pid, "published"].min() < measured["received"].min()
        assert others.loc[others["pid"] == pid, "received"].max() > measured["received"].max()


@pytest.mark.parametrize(("fault", "outcome"), [("deadlock@30", "hung"), ("exit@30", "crashed")])
def test_a_ceiling_whose_processes_hang_or_end_is_judged(fault: str, outcome: str, tmp_path: Path) -> None:
    cell = block("faulty", "in-process", concurrency=2, placement="import", traffic="single", fault=fault)
    done = run_harness(tmp_path, "run", experiment(tmp_path, cell, measure_s=60.0, limit_s=25.0), "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    record = from_line((tmp_path / "run" / "trials.jsonl").read_text())
    assert record is not None
    assert record.outcome == outcome, record.reason


def test_a_worker_that_is_cut_off_from_its_broker_says_where_requests_are_or_whom_it_waits_for(tmp_path: Path) -> None:
    """It holds far fewer requests than are in flight: the others are in the broker. Where the cut finds its executors idle, it
    stalls; where they stand in sending a result, they wait for the broker.
    """
    cell = block("faulty", "prefork", concurrency=2, prefetch=1, traffic="closed-32", fault="outside-cut")
    done = run_harness(tmp_path, "run", experiment(tmp_path, cell, measure_s=60.0, limit_s=25.0), "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    record = from_line((tmp_path / "run" / "trials.jsonl").read_text())
    assert record is not None
    assert record.ended.cause == "broker-lost"
    columns = pq.read_table(tmp_path / "run" / record.answers.requests_file).to_pydict()
    still = [i for i, at in enumerate(columns["received"]) if at < 0]
    in_broker = [i for i in still if columns["worker_received"][i] < 0]
    assert len(in_broker) > len(still) / 2
    share = f"{len(in_broker) / len(still):.0%} in the broker (published"
    words = {"stalled": share, "waiting": "waits for TCP 127.0.0.1:"}
    assert words[record.outcome] in record.reason


def test_the_two_stamps_cost_the_worker_more_than_one_and_are_both_paid_for(celery_environment: Environment) -> None:
    found = stamps.measure(celery_environment)
    assert found.request_s > found.stamp_s > 0
