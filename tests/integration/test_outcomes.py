"""Every injected fault gets its outcome, and nothing slow is called hung."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Harness, block, cells, experiment

NOISY = "machine too noisy"  # the tests' machine may be shared: then a good cell is honestly not called ok


def outcome_of(
    harness: Harness, folder: Path, backend: str, pool: str, settings: dict[str, object], **dims: object
) -> dict[str, object]:
    path = experiment(folder, block(backend, pool, **dims), **settings)
    done = harness("run", path, "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    row: dict[str, object] = cells(folder / "run").iloc[0].to_dict()
    return row


@pytest.mark.parametrize("pool", ["prefork", "prefork-spawn", "threads", "gevent", "eventlet", "solo"])
def test_the_null_control_answers_rightly_in_every_pool(pool: str, harness: Harness, tmp_path: Path) -> None:
    concurrency = 1 if pool == "solo" else 2
    row = outcome_of(harness, tmp_path, "null", pool, {}, concurrency=concurrency)
    starving = pool == "threads" and row["outcome"] == "stalled"  # Celery's threads leave their queue alone now and then
    assert row["outcome"] == "ok" or starving or str(row["reason"]).startswith(NOISY), row["reason"]
    assert row["requests"] == row["ok"]
    assert row["ok"] >= 10  # type: ignore[operator]
    assert row["throughput_per_s"] > 0  # type: ignore[operator]
    assert 0 < row["cpu_saturation"] <= 1.05  # type: ignore[operator]


FAULTS = [
    # pool, concurrency, fault, settings, outcome, a word of the reason
    ("prefork", 2, "deadlock", {}, "hung", "private futex"),
    ("threads", 1, "deadlock", {}, "hung", "private futex"),
    ("solo", 1, "deadlock", {}, "hung", "private futex"),
    ("prefork", 2, "signal:11", {}, "crashed", "SIGSEGV"),
    ("prefork", 2, "exit:3", {}, "crashed", "exitcode 3"),
    ("threads", 1, "signal:9", {}, "crashed", "SIGKILL"),
    ("gevent", 2, "signal:9", {}, "crashed", "SIGKILL"),
    ("prefork", 2, "error:1", {}, "errors", "injected error"),
    ("gevent", 2, "error:1", {}, "errors", "injected error"),
    ("threads", 2, "wrong", {}, "wrong", "differ from the reference"),
    ("prefork", 2, "load-error:1", {}, "errors", "injected error"),
]


@pytest.mark.parametrize(("pool", "concurrency", "fault", "settings", "outcome", "word"), FAULTS)
def test_each_injected_fault_gets_its_outcome(
    pool: str,
    concurrency: int,
    fault: str,
    settings: dict[str, object],
    outcome: str,
    word: str,
    harness: Harness,
    tmp_path: Path,
) -> None:
    row = outcome_of(harness, tmp_path, "faulty", pool, settings, concurrency=concurrency, fault=fault)
    assert row["outcome"] == outcome, row["reason"]
    assert word in str(row["reason"])
    if outcome in ("hung", "crashed"):
        assert (tmp_path / "run" / str(row["evidence"])).exists() or fault in ("signal:11", "exit:3")


SLOW = [
    # a single one of these takes longer than the watchdog's patience, and ends by itself
    ("prefork", "sleep:12@2"),
    ("threads", "sleep:12@2"),
    ("gevent", "sleep:12@2"),
    ("prefork", "lock-wait:12@2"),
    ("threads", "lock-wait:12@2"),
    ("gevent", "lock-wait:12@2"),
    ("prefork", "spin:12@2"),
    ("eventlet", "native-sleep:12@2"),
    ("solo", "subprocess-wait:12@2"),
]


@pytest.mark.parametrize(("pool", "fault"), SLOW)
def test_what_ends_by_itself_is_never_called_hung(pool: str, fault: str, harness: Harness, tmp_path: Path) -> None:
    settings = {"limit_s": 22.0}  # one such request, and most of the next, with threads of its own
    row = outcome_of(harness, tmp_path, "faulty", pool, settings, fault=fault, traffic="single")
    assert row["outcome"] == "slow" or str(row["reason"]).startswith(NOISY), row["reason"]
    assert row["ok"] > 2, "the fault's own requests were answered, too"  # type: ignore[operator]


def test_a_hang_in_its_evidence_has_the_native_stacks_and_the_threads(harness: Harness, tmp_path: Path) -> None:
    row = outcome_of(harness, tmp_path, "faulty", "prefork", {}, fault="deadlock")
    folder = (tmp_path / "run" / str(row["evidence"])).parent
    stacks = (tmp_path / "run" / str(row["evidence"])).read_text()
    assert "deadlock" in stacks
    assert "futex private" in (folder / "threads.txt").read_text()
    assert "open: request" in (folder / "requests.txt").read_text()


@pytest.mark.parametrize(
    ("fault", "word"),
    [("load-error:1", "injected error"), ("load-exit:7", "exit 7"), ("load-sleep:60", "not ready within 6 s")],
)
def test_a_worker_that_never_gets_ready_is_refused(fault: str, word: str, harness: Harness, tmp_path: Path) -> None:
    settings = {"ready_limit_s": 6.0}
    row = outcome_of(harness, tmp_path, "faulty", "prefork", settings, placement="import", fault=fault)
    assert row["outcome"] == "refused"
    assert word in str(row["reason"])


def test_a_slow_load_in_every_child_is_waited_for(harness: Harness, tmp_path: Path) -> None:
    row = outcome_of(harness, tmp_path, "faulty", "prefork", {}, concurrency=2, fault="load-sleep:9")
    assert row["outcome"] == "ok" or str(row["reason"]).startswith(NOISY)
    assert row["first_predict_s"] >= 9  # type: ignore[operator]


def test_a_backlog_is_drained(harness: Harness, tmp_path: Path) -> None:
    row = outcome_of(harness, tmp_path, "null", "prefork", {"requests": 300}, concurrency=2, traffic="drain")
    assert row["outcome"] == "ok" or str(row["reason"]).startswith(NOISY)
    assert row["ok"] >= 400  # type: ignore[operator]
