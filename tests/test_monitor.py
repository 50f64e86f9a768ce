"""The monitor's parts: no process and no thread of a tree is missed, dear readings keep to their share."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.machine import cores
from harness.machine.pacer import Pacer
from harness.machine.process_tree import FEW_THREADS, ProcessTree
from harness.machine.processes import OwnedProcess
from harness.measure import cpu_facts, thread_clocks, timeline
from harness.measure.monitor import SLOW_S, Monitor
from harness.measure.thread_clocks import ThreadUse
from tests.waiting import wait_until

FORKING_THREADS = f"""
import subprocess, sys, threading, time
def start():
    subprocess.Popen(["sleep", "300"])
    time.sleep(300)
for _ in range({FEW_THREADS + 2}):
    threading.Thread(target=start).start()
"""
SPINNING_THREAD = """
import threading, time
def spin():
    while True:
        pass
threading.Thread(target=spin).start()
time.sleep(300)
"""


@contextmanager
def program(code: str, folder: Path) -> Iterator[OwnedProcess]:
    env = {"PATH": os.environ["PATH"]}
    with OwnedProcess([sys.executable, "-c", code], log=folder / "log", env=env) as process:
        yield process


def test_children_that_other_threads_started_are_found_and_followed(tmp_path: Path) -> None:
    with program(FORKING_THREADS, tmp_path) as process:
        tree = ProcessTree(process.keeper_pid)
        assert wait_until(lambda: len(tree.read(every_thread=True)) == FEW_THREADS + 3)
        assert tree.read()[0].pid == process.pid
        assert len(tree.read()) == FEW_THREADS + 3


def test_counters_that_took_long_to_read_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They belong to one moment: a driver that waits for a core between two of them would give a share of no time at all."""
    waits, read = iter([2 * SLOW_S, 0.0]), cores.read

    def late() -> cores.CoreTimes:
        time.sleep(next(waits))
        return read()

    with program("import time; time.sleep(300)", tmp_path) as process:
        monkeypatch.setattr(cores, "read", late)
        sample = Monitor(worker=process).sample("measure", edge=True)
    assert sample.took_s < 2 * SLOW_S
    assert next(waits, None) is None


def test_what_has_ended_is_not_in_the_tree_and_its_cpu_time_is_the_keepers(tmp_path: Path) -> None:
    with program("import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass", tmp_path) as process:
        monitor = Monitor(worker=process)
        assert wait_until(lambda: process.poll() is not None)
        assert monitor.sample().pids == ()
    assert process.kernel_cpu_s is not None
    assert process.kernel_cpu_s >= 0.2


def test_a_dear_reading_is_due_no_sooner_than_its_share_allows() -> None:
    now = [100.0]
    pacer = Pacer(every_s=2.0, share=0.01, clock=lambda: now[0])
    assert pacer.due()
    pacer.spent(0.05)
    now[0] += 4.9
    assert not pacer.due()
    now[0] += 0.2
    assert pacer.due()
    pacer.spent(0.001)
    now[0] += 1.9
    assert not pacer.due()
    now[0] += 0.2
    assert pacer.due()


def test_a_thread_that_began_between_two_readings_counts_from_nothing_and_others_from_the_first(tmp_path: Path) -> None:
    with program(SPINNING_THREAD, tmp_path) as process:
        assert wait_until(lambda: len(thread_clocks.read(process.pid)) == 2)
        spinner = next(use.tid for use in thread_clocks.read(process.pid) if use.tid != process.pid)
        assert wait_until(lambda: ran(process.pid, spinner) > 0)
        ledger = thread_clocks.ThreadLedger()
        ledger.take([], 1.0)
        assert ledger.spent() == []
        ledger.take([process.pid], 2.0)
        born = {use.tid: use for use in ledger.spent()}
        later = thread_clocks.ThreadLedger()
        later.take([process.pid], 1.0)
        already_s = ran(process.pid, spinner)
        assert wait_until(lambda: ran(process.pid, spinner) > already_s + 0.05)
        later.take([process.pid], 2.0)
        since = {use.tid: use for use in later.spent()}
    assert born[spinner].cpu_s > 0
    assert since[spinner].cpu_s >= 0.05
    assert since[process.pid].cpu_s < since[spinner].cpu_s


def ran(pid: int, tid: int) -> float:
    return next(use.cpu_s for use in thread_clocks.read(pid) if use.tid == tid)


def use(pid: int, tid: int, name: str, cpu_s: float, wait_s: float = 0.0) -> ThreadUse:
    return ThreadUse(pid=pid, tid=tid, name=name, cpu_s=cpu_s, wait_s=wait_s, involuntary=0)


def test_threads_are_pythons_by_what_they_did_and_the_engines_by_their_name() -> None:
    uses = [
        use(1, 1, "celery", 1.0), use(1, 7, "celery", 2.0, 0.5), use(1, 8, "celery", 4.0), use(1, 9, "tf_Compute", 8.0),
        use(2, 2, "python", 16.0),
    ]  # fmt: skip
    ran_requests = frozenset({(1, 7)})
    assert cpu_facts.by_kind(uses, worker=1, executors=ran_requests) == {
        "worker python": 3.0, "worker unnamed": 4.0, "worker engine": 8.0, "children python": 16.0,
    }  # fmt: skip
    used, wanted = cpu_facts.python_cores(uses, 10.0, ran_requests)
    assert used == pytest.approx({1: 0.3, 2: 1.6})
    assert wanted == pytest.approx({1: 0.35, 2: 1.6})


def test_the_time_line_holds_every_sample_and_memory_only_where_it_was_read(tmp_path: Path) -> None:
    with program("import time; time.sleep(300)", tmp_path) as process:
        monitor = Monitor(worker=process)
        monitor.sample()
        monitor.sample("measure", edge=True)
        monitor.sample("measure")
    timeline.save(monitor.samples, tmp_path / "samples" / "cell.parquet")
    table = pq.read_table(tmp_path / "samples" / "cell.parquet")
    assert table.schema == timeline.SCHEMA
    rows = table.to_pylist()
    assert [row["phase"] for row in rows] == ["", "measure", "measure"]
    assert [row["pss_worker_bytes"] is None for row in rows] == [True, False, True]
    assert rows[1]["at_ns"] < rows[2]["at_ns"]
    assert {len(row["cores_busy_s"]) for row in rows} == {len(cores.AVAILABLE)}
    assert (rows[1]["processes"], rows[1]["threads"]) == (1, 1)
