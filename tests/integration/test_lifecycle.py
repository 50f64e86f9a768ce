"""A run from outside: it resumes, survives Ctrl-C and SIGKILL without leaving a process, and says what is wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from harness import broker
from harness.records.record import from_line
from harness.worker import contract
from tests.integration.conftest import WARM, Harness, block, cells, environment_variables, experiment
from tests.waiting import wait_until
from tests.warm import Started

KILLS = 10
MANY = block("null", ["prefork", "threads", "gevent", "eventlet", "solo"]) + block("faulty", "prefork", fault="sleep:0.05")


class Driver(Protocol):
    """Whatever has started it."""

    @property
    def pid(self) -> int: ...


def start(folder: Path, path: Path) -> Started:
    words = ["run", str(path), "--out", str(folder / "run")]
    return WARM.start(words, cwd=folder, env=environment_variables(), output=folder / "out")


def below(process: Driver) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def still_there(seen: set[psutil.Process], limit_s: float = 10.0) -> set[psutil.Process]:
    """Of these processes, the ones that live after `limit_s`; psutil compares start times, so reused pids do not count."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        seen = set(filter(_lives, seen))
        if not seen:
            break
        time.sleep(0.05)
    return seen


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def has(process: Driver, word: str) -> Callable[[], bool]:
    """Whether some process below runs a command with this word in it."""

    def look() -> bool:
        for child in below(process):
            try:
                if word in " ".join(child.cmdline()):
                    return True
            except psutil.Error:
                continue
        return False

    return look


def test_a_killed_driver_leaves_no_process_and_the_next_run_completes_the_table(
    tmp_path: Path, harness: Harness, celery_environment: object
) -> None:
    path = experiment(tmp_path, MANY, measure_s=0.5, stop_early=True)
    dice = random.Random(7)
    for _ in range(KILLS):
        driver = start(tmp_path, path)
        seen: set[psutil.Process] = set()
        until = time.monotonic() + dice.uniform(0.5, 6.0)
        while time.monotonic() < until and driver.poll() is None:
            seen |= set(below(driver))
            time.sleep(0.02)
        seen |= set(below(driver))
        driver.kill()
        driver.wait()
        assert not still_there(seen)
    before = (tmp_path / "run" / "trials.jsonl").read_text() if (tmp_path / "run" / "trials.jsonl").exists() else ""
    done = harness("run", path, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    table = cells(tmp_path / "run")
    assert len(table) == 6
    assert (table["requests"] > 0).all()
    assert (tmp_path / "run" / "trials.jsonl").read_text().startswith(before.rpartition("\n")[0])
    again = harness("run", path, "--out", tmp_path / "run")
    assert "6 of 6 trials are on record" in again.stdout


def test_ctrl_c_keeps_what_was_measured_and_exits_with_130(tmp_path: Path, celery_environment: object) -> None:
    path = experiment(tmp_path, MANY)
    driver = start(tmp_path, path)
    trials = tmp_path / "run" / "trials.jsonl"
    assert wait_until(lambda: trials.exists() and trials.read_text().count("\n") >= 1)
    seen = set(below(driver))
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) == 130
    assert not still_there(seen)
    text = (tmp_path / "out").read_text()
    assert "Traceback" not in text
    assert "what was measured is kept" in text
    assert all(from_line(line) for line in trials.read_text().splitlines())
    assert len(cells(tmp_path / "run")) == trials.read_text().count("\n")


def test_what_is_decided_is_measured_no_further_unless_it_is_asked_for(harness: Harness, tmp_path: Path) -> None:
    blocks = block("faulty", ["threads", "solo"], fault="error") + block("null", "solo")
    path = experiment(tmp_path, blocks, measure_s=3.0, stop_early=True)
    assert harness("run", path, "--out", tmp_path / "run").returncode == 0
    found = cells(tmp_path / "run").set_index("cell")["doubts"].str.contains("stopped early")
    assert list(cells(tmp_path / "run")["outcome"])[:2] == ["errors", "errors"]
    assert found[:2].all()
    again = harness("run", path, "--select", "faulty@celery-solo-*", "--thorough", "--out", tmp_path / "thorough")
    assert again.returncode == 0, again.stderr
    row = cells(tmp_path / "thorough").iloc[0]
    assert (row["outcome"], "stopped early" in str(row["doubts"])) == ("errors", False)


def test_a_broker_that_dies_makes_the_trial_invalid(tmp_path: Path, celery_environment: object) -> None:
    path = experiment(tmp_path, block("faulty", "solo", fault="sleep:0.2"), measure_s=60.0)
    driver = start(tmp_path, path)
    assert wait_until(has(driver, "harness.client"))
    time.sleep(2.0)
    server = next(child for child in below(driver) if "valkey-server" in child.name())
    server.kill()
    assert driver.wait(90) in (0, 6)
    row = cells(tmp_path / "run").iloc[0]
    assert row["outcome"] == "invalid"
    assert "broker lost" in row["reason"]


def test_a_run_on_the_users_own_broker_leaves_nothing_in_it(tmp_path: Path, harness: Harness) -> None:
    path = experiment(tmp_path, block("null", ["prefork", "solo"]))
    with broker.embedded(tmp_path / "own") as server:
        done = harness("run", path, "--out", tmp_path / "run", "--broker", server.url)
        left = [key.decode() for key in broker.client(server.url).keys("*")]
    assert done.returncode == 0, done.stderr
    assert server.url.split("@")[0].split(":")[-1] not in done.stdout + (tmp_path / "run" / "run.json").read_text()
    assert (cells(tmp_path / "run")["ok"] > 0).all()
    assert not [key for key in left if "harness" in key or "task-meta" in key]


BAD = [
    (["run", "nonsense"], 3, "no experiment 'nonsense'"),
    (["run", "quick", "--select", "theano-*-c9"], 4, "no cell matches 'theano-*-c9'"),
    (["run", "quick", "--retry", "sleepy"], 3, "sleepy"),
    (["run", "quick", "--model", "missing.keras"], 3, "no model file"),
    (["run", "quick", "--input", "rows.npy"], 3, "--input goes with --model"),
    (["run", "quick", "--broker", "redis://127.0.0.1:1/0"], 6, "does not answer"),
    (["run", "quick", "--broker", "nonsense"], 3, "--broker nonsense is neither Redis nor Valkey, nor RabbitMQ"),
    (["run", "quick", "--repeat", "0"], 2, "repeat"),
    (["run", "quick", "--limit-s", "90000"], 3, "limit_s"),
    (["run", "quick", "--broker", "redis://127.0.0.1:abc"], 6, "does not answer"),
    (["run", "quick", "--speed", "11"], 2, "--speed"),
    (["fly"], 2, "fly"),
    (["show", "nowhere"], 3, "no records"),
]


@pytest.mark.parametrize(("arguments", "code", "word"), BAD)
def test_bad_input_gets_a_clear_error_and_its_exit_code(
    arguments: list[str], code: int, word: str, tmp_path: Path, harness: Harness
) -> None:
    done = harness(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: ")
    assert word in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) >= 2, "the remedy stands below the error"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_refused(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = harness("run", experiment(tmp_path, MANY), "--out", tmp_path / "locked" / "run")
    assert done.returncode == 8


def test_a_run_folder_that_is_a_file_is_refused(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "run").write_text("mine")
    done = harness("run", experiment(tmp_path, MANY), "--out", tmp_path / "run")
    assert done.returncode == 8
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run").read_text() == "mine"


def test_a_dry_run_prints_the_plan_and_starts_nothing(tmp_path: Path, harness: Harness) -> None:
    done = harness("run", experiment(tmp_path, MANY), "--dry-run", "--out", tmp_path / "run")
    assert done.returncode == 0
    assert "null@celery-gevent-c1-first-task-predict" in done.stdout
    assert not (tmp_path / "run").exists()


def test_repeats_run_in_another_order_and_are_all_kept(tmp_path: Path, harness: Harness) -> None:
    path = experiment(tmp_path, block("faulty", ["threads", "solo"], fault=["sleep:0", "sleep:0.001"]), measure_s=0.2)
    done = harness("run", path, "--out", tmp_path / "run", "--repeat", 2)
    assert done.returncode == 0, done.stderr
    assert cells(tmp_path / "run")["trials"].tolist() == [2, 2, 2, 2]
    lines = (tmp_path / "run" / "trials.jsonl").read_text().splitlines()
    order = [record.cell_id for line in lines if (record := from_line(line))]
    assert order[:4] != order[4:], "rounds are shuffled, by dice that fall alike in each run"
    assert sorted(order[:4]) == sorted(order[4:])


def stopped(process: psutil.Process) -> bool:
    try:
        process.send_signal(signal.SIGSTOP)
    except psutil.Error:
        return False
    return True


@pytest.mark.parametrize(("pool", "fault"), [("prefork", "gil-held"), ("gevent", "hub-blocked")])
def test_a_run_in_which_everything_hangs_at_once_ends_and_says_why(
    pool: str, fault: str, tmp_path: Path, celery_environment: object
) -> None:
    """All executors hang, the worker's own process and the broker are stopped, and the load generator with them."""
    path = experiment(tmp_path, block("faulty", pool, concurrency=2, fault=f"{fault}@0"))
    driver = start(tmp_path, path)
    assert wait_until(has(driver, "harness.client"))
    words = ("celery", "valkey", "harness.client")
    seen: set[psutil.Process] = set()

    def a_request_was_begun() -> bool:
        seen.update(below(driver))
        files = (tmp_path / "run" / "scratch" / "trial-0" / "events").glob("*.events")
        return any(event.kind == contract.TASK_BEGIN for file in files for event in contract.unpack(file.read_bytes(), 0))

    assert wait_until(a_request_was_begun)
    for process in below(driver):
        line = " ".join(process.cmdline())
        if any(word in line for word in words) and "keeper.py" not in line:
            stopped(process)
    assert driver.wait(timeout=200) == 0, (tmp_path / "out").read_text()
    assert not still_there(seen)
    row = cells(tmp_path / "run").iloc[0]
    assert row["outcome"] == "hung", row["reason"]
    assert "stopped by a signal" in row["reason"] or "futex" in row["reason"] or "GIL" in row["reason"]


def test_a_run_of_another_machine_is_not_gone_on_with(harness: Harness, tmp_path: Path) -> None:
    path = experiment(tmp_path, block("null", "solo"))
    assert harness("run", path, "--out", tmp_path / "run").returncode == 0
    header = tmp_path / "run" / "run.json"
    told = json.loads(header.read_text())
    told["machine"]["cores_available"] = 64
    header.write_text(json.dumps(told))
    done = harness("run", path, "--out", tmp_path / "run")
    assert done.returncode == 3
    assert "another machine: cores_available 64 ->" in done.stderr
    assert json.loads(header.read_text()) == told, "what was written there is as it was"


def test_an_environment_that_does_not_resolve_skips_its_cells_and_no_others(harness: Harness, tmp_path: Path) -> None:
    path = experiment(tmp_path, block("null", "solo", environment=["celery", "celery+celery==0.0.1"]))
    done = harness("run", path, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = cells(tmp_path / "run").set_index("environment")["outcome"].to_dict()
    assert outcomes == {"celery": "ok", "celery+celery==0.0.1": "skipped"}
