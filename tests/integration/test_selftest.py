"""The self-test itself, once round: every fault is judged truly, and the tester stops, resumes and survives a full disk.

Times to verdict are not looked at here: they are promised of a quiet machine, and `harness selftest` checks them there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import psutil
import pytest

from harness.experiment.matrix import fault_options
from harness.proof.selftest.catalogue import CATALOGUE, cases
from harness.proof.selftest.passing import PASSING as CONTROLS
from harness.records.record import from_line
from tests.integration.conftest import HARNESS, WARM, Harness, block, cells, environment_variables, experiment, run_harness
from tests.integration.test_lifecycle import below, still_there
from tests.waiting import wait_until

PASSING = {fault_options(entry.fault).get("kind") for entry in CONTROLS if entry.slow}

# A run on a small disk that fills up once the first record is written; then there is room again, and it is run again.
SMALL_DISK = """
import pathlib, subprocess, sys, time
place, argv = pathlib.Path(sys.argv[1]), sys.argv[2:]
subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=230m", "tmpfs", str(place)])
driver = subprocess.Popen(argv)
records, ballast = place / "run" / "trials.jsonl", place / "ballast"
while driver.poll() is None and not (records.exists() and records.stat().st_size):
    time.sleep(0.001)
before = records.read_bytes()
with open(ballast, "wb", buffering=0) as file:
    while True:
        try:
            file.write(bytes(4096))
        except OSError:
            break
first = driver.wait()
kept = records.read_bytes().startswith(before.rpartition(b"\\n")[0])
ballast.unlink()
print("codes", first, subprocess.call(argv), "kept", kept, "records", records.read_bytes().count(b"\\n"))
"""


IN_TURN = ("prefork", "threads", "gevent")


def turns() -> dict[str, list[str]]:
    """Every fault of the catalogue once, in one of three pools in turn, or in one where it can exist: pool -> faults."""
    found: dict[str, list[str]] = {}
    for number, entry in enumerate(CATALOGUE):
        wanted = [*IN_TURN[number % 3 :], *IN_TURN[: number % 3], *entry.pools]
        pool = next(pool for pool in wanted if not cases("celery", [pool], [entry.name])[0].skip)
        found.setdefault(pool, []).append(entry.name)
    return found


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, celery_environment: object
) -> dict[str, tuple[subprocess.CompletedProcess[str], Path]]:
    """The self-tests of all pools, side by side, for most of what they do is to wait: pool -> (how it ended, its folder)."""

    folders = {pool: tmp_path_factory.mktemp(pool) for pool in turns()}

    def one(pool: str) -> tuple[subprocess.CompletedProcess[str], Path]:
        folder = folders[pool]
        faults = [word for name in turns()[pool] for word in ("--fault", name)]
        words = ["--times", 1, "--pool", pool, *faults, "--jobs", 2, "--no-time-limits", "--out", folder / "self"]
        return run_harness(folder, "selftest", *words, limit_s=1200.0), folder / "self"

    with ThreadPoolExecutor() as at_once:
        return dict(zip(turns(), at_once.map(one, turns()), strict=True))


@pytest.mark.parametrize("pool", sorted(turns()))
def test_every_fault_is_judged_truly(pool: str, told: dict[str, tuple[subprocess.CompletedProcess[str], Path]]) -> None:
    done, folder = told[pool]
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads((folder / "matrix.json").read_text())
    assert data["misses"] == []
    assert [(line["pool"], line["fault"]) for line in data["lines"]] == [(pool, name) for name in turns()[pool]]
    assert all(line["trials"] == 1 or line["fault"] == "disk-full" for line in data["lines"])
    evidence = [record.ended.evidence for line in (folder / "trials.jsonl").read_text().splitlines()
                if (record := from_line(line)) and record.outcome == "hung"]  # fmt: skip
    assert all((folder / path).exists() for path in evidence)
    assert never_struck(folder) == []


def test_plain_workers_with_a_fault_are_told_from_outside_what_they_are_stuck_in(harness: Harness, tmp_path: Path) -> None:
    faults = [word for name in ("deadlock", "fork-lock", "load-deadlock-at-start", "child") for word in ("--fault", name)]
    words = ["--times", 1, "--pool", "prefork", *faults, "--jobs", 2, "--no-time-limits", "--deep"]
    done = harness("selftest", "--attached", *words, "--out", tmp_path / "asked", limit_s=600.0)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(line) for line in (tmp_path / "asked" / "attached.jsonl").read_text().splitlines()]
    said = {one["fault"]: (one["state"], one["cause"]) for one in records}
    assert said.pop("child")[0] in ("works", "waiting")
    assert said == {
        "deadlock": ("stuck", "deadlock"),
        "fork-lock": ("stuck", "fork-held-lock"),
        "load-deadlock-at-start": ("stuck", "deadlock"),
    }


def test_a_fault_that_cannot_exist_in_a_pool_says_so(harness: Harness, tmp_path: Path) -> None:
    done = harness("selftest", "--times", 1, "--pool", "prefork", "--fault", "hub-blocked", "--out", tmp_path / "self")
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = json.loads((tmp_path / "self" / "matrix.json").read_text())["cannot_exist"]
    assert (told["fault"], told["pool"]) == ("hub-blocked", "prefork")


def never_struck(folder: Path) -> list[str]:
    """Trials of what passes in which no request took the seconds that the fault was told: they prove nothing."""
    found = []
    for record in map(from_line, (folder / "trials.jsonl").read_text().splitlines()):
        told = fault_options(record.asked.cell["fault"]) if record else {}
        if record and told.get("kind") in PASSING and told.get("times") == 1 and record.outcome == "ok":
            requests = pd.read_parquet(folder / record.answers.requests_file)
            longest_s = (requests["predict_end"] - requests["predict_begin"]).max() / 1e9
            if longest_s < told["value"] - 0.5:  # a timer may be set in whole seconds, and by another clock
                found.append(f"{record.asked.cell['fault']} in {record.asked.cell['pool']}: {longest_s:.1f} s")
    return found


def test_a_stopped_self_test_leaves_no_process_and_the_next_one_completes_it(harness: Harness, tmp_path: Path) -> None:
    wanted = ["--times", "2", "--pool", "solo", "--fault", "wrong", "--fault", "load-error", "--jobs", "2"]
    words = ["selftest", *wanted, "--out", str(tmp_path / "self")]
    driver = WARM.start(words, cwd=tmp_path, env=environment_variables(), output=tmp_path / "out")
    parts = tmp_path / "self" / "parts"
    assert wait_until(lambda: any(path.read_bytes() for path in parts.glob("*/trials.jsonl")), limit_s=120.0)
    seen: set[psutil.Process] = set(below(driver))
    driver.send_signal(signal.SIGINT)
    assert driver.wait(90) == 130
    assert not still_there(seen)
    text = (tmp_path / "out").read_text()
    assert "Traceback" not in text
    assert "what was measured is kept" in text
    before = (tmp_path / "self" / "trials.jsonl").read_text().splitlines()
    assert before
    done = harness("selftest", *wanted, "--out", tmp_path / "self", limit_s=600.0)
    assert done.returncode == 0, done.stdout + done.stderr
    after = (tmp_path / "self" / "trials.jsonl").read_text().splitlines()
    assert set(before) < set(after)
    assert len(after) == 4


def test_a_fault_that_hangs_one_time_in_four_is_shown_as_such(harness: Harness, tmp_path: Path) -> None:
    path = experiment(tmp_path, block("faulty", "solo", fault="deadlock@3+4"), measure_s=0.2)
    done = harness("run", path, "--repeat", 4, "--out", tmp_path / "run", limit_s=600.0)
    assert done.returncode == 0, done.stderr
    row = cells(tmp_path / "run").iloc[0]
    assert (row["hung_trials"], row["judged_trials"], row["outcomes"]) == (1, 4, "ok:3 hung:1")
    assert row["hang_rate"] == pytest.approx(0.25)
    assert (row["hang_rate_low"], row["hang_rate_high"]) == pytest.approx((0.0063, 0.8059), abs=1e-4)
    assert "1 of 4 hung (0.6 % - 80.6 % at 95 %)" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting a small disk needs root")
def test_a_disk_that_fills_up_ends_the_run_with_8_and_loses_no_record(tmp_path: Path, celery_environment: object) -> None:
    (tmp_path / "disk").mkdir()
    path = experiment(tmp_path, block("null", ["solo", "threads", "prefork"]), measure_s=2.0, noise_limit=100.0)
    argv = [*HARNESS, "run", str(path), "--out", str(tmp_path / "disk" / "run")]
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", SMALL_DISK, str(tmp_path / "disk"), *argv],
        cwd=tmp_path,
        env=environment_variables(),
        capture_output=True,
        text=True,
        timeout=300.0,
        check=False,
    )
    assert "codes 8 0 kept True records 3" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
