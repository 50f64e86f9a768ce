"""The null control answers in every pool, a backlog is drained, a hang leaves evidence. Every fault: `test_selftest`."""

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


def test_a_hang_in_its_evidence_has_the_native_stacks_and_the_threads(harness: Harness, tmp_path: Path) -> None:
    row = outcome_of(harness, tmp_path, "faulty", "prefork", {}, fault="deadlock")
    folder = (tmp_path / "run" / str(row["evidence"])).parent
    stacks = (tmp_path / "run" / str(row["evidence"])).read_text()
    assert "deadlock" in stacks
    assert "futex private" in (folder / "threads.txt").read_text()
    assert "open: request" in (folder / "requests.txt").read_text()


def test_a_backlog_is_drained(harness: Harness, tmp_path: Path) -> None:
    row = outcome_of(harness, tmp_path, "null", "prefork", {"requests": 300}, concurrency=2, traffic="drain")
    assert row["outcome"] == "ok" or str(row["reason"]).startswith(NOISY)
    assert row["ok"] >= 400  # type: ignore[operator]
