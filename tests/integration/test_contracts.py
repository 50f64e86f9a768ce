"""The contracts of some pools, measured with real workers: the answers that no noise can change, and a survey cut short."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest
import redis

from harness import broker
from harness.errors import Interrupted
from harness.studies.contracts import rows
from tests.integration.conftest import WARM, Harness, environment_variables
from tests.integration.test_lifecycle import below, has, still_there
from tests.waiting import wait_until
from tests.warm import Started

SURE = {
    # pool, contract: verdict, a word of what was seen
    ("prefork", "soft-limit-python"): ("cut off", "SoftTimeLimitExceeded"),
    ("prefork", "revoke-python"): ("ended", "TaskRevokedError"),
    ("prefork", "kill"): ("error to the caller", "WorkerLostError"),
    ("prefork", "kill-late-reject"): ("redelivered", "a new child"),
    ("threads", "warm-shutdown"): ("finishes", "in flight: answered"),
    ("threads", "revoke-python"): ("not implemented", "NotImplementedError"),
    ("threads", "kill"): ("lost", "the worker itself died"),
    ("threads", "kill-late-reject"): ("n/a", "no child processes"),
}


def survey(*arguments: str) -> list[str]:
    return ["contracts", "--backend", "celery", "--out", "survey", *arguments]


def start(folder: Path) -> Started:
    words = survey("--pool", "threads", "-s", "cold-shutdown", "-s", "kill")
    return WARM.start(words, cwd=folder, env=environment_variables(), output=folder / "out")


def test_the_answers_of_prefork_and_threads(tmp_path: Path, harness: Harness, celery_environment: object) -> None:
    chosen = [part for pool, contract in SURE for part in ("-s", f"celery-{pool}-{contract}")]
    done = harness(*survey(*chosen))
    assert done.returncode == 0, done.stderr
    found = rows.read(tmp_path / "survey")
    for (pool, contract), (verdict, word) in SURE.items():
        row = found["celery", pool, contract]
        assert row.verdict == verdict, row
        assert word in row.detail
        assert row.verdict == "n/a" or "worker" in (tmp_path / "survey" / row.evidence).read_text()
    assert "| `threads` |" in (tmp_path / "survey" / "contracts.md").read_text()
    assert not (tmp_path / "survey" / "scratch").exists()
    again = harness(*survey(*chosen))
    assert "answers are on record" in again.stdout
    assert rows.read(tmp_path / "survey") == found


def test_a_busy_solo_worker_answers_no_ping_and_a_busy_child_leaves_its_worker_free(
    tmp_path: Path, harness: Harness, celery_environment: object
) -> None:
    done = harness(*survey("--pool", "prefork", "--pool", "solo", "-s", "ping-gil"))
    assert done.returncode == 0, done.stderr
    found = rows.read(tmp_path / "survey")
    assert found["celery", "solo", "ping-gil"].verdict == "silent"
    assert found["celery", "prefork", "ping-gil"].verdict in ("answered", "partly")


def test_a_worker_whose_connections_were_closed_consumes_again(
    tmp_path: Path, harness: Harness, celery_environment: object
) -> None:
    done = harness(*survey("-s", "celery-prefork-idle-blip"))
    assert done.returncode == 0, done.stderr
    row = rows.read(tmp_path / "survey")["celery", "prefork", "idle-blip"]
    assert row.verdict == "consumes again", row
    assert row.detail.startswith("3 outages in a row")
    steps = (tmp_path / "survey" / row.evidence).read_text()
    assert steps.count("the server closed") == 3
    assert "closed 0 connections" not in steps, "the worker had connections, and none of them was left"


@pytest.mark.parametrize("keeps", [True, False])
def test_a_server_that_was_killed_has_its_data_if_it_keeps_them(keeps: bool, tmp_path: Path) -> None:
    with broker.embedded(tmp_path / "broker", keeps=keeps) as own:
        assert own.process is not None
        broker.client(own.url).rpush("queue", "message")
        own.process.kill()
        with broker.restarted(tmp_path / "broker"):
            assert wait_until(lambda: answers(own.url))
            assert broker.client(own.url).llen("queue") == keeps


def answers(url: str) -> bool:
    try:
        return bool(broker.client(url).ping())
    except redis.RedisError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_survey_cut_short_leaves_no_process_and_goes_on_later(
    number: signal.Signals, tmp_path: Path, harness: Harness, celery_environment: object
) -> None:
    driver = start(tmp_path)
    assert wait_until(has(driver, "harness.worker.app"))
    seen: set[psutil.Process] = set(below(driver))
    driver.send_signal(number)
    code = driver.wait(60)
    assert code == (-number if number is signal.SIGKILL else Interrupted.exit_code)
    assert not still_there(seen)
    done = harness(*survey("--pool", "threads", "-s", "kill"))
    assert done.returncode == 0, done.stderr
    assert rows.read(tmp_path / "survey")["celery", "threads", "kill"].verdict == "lost"
