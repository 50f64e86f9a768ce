"""`harness watch` beside a real worker: its states, its restart, and what is on disk when it is asked to end."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import broker, environments
from harness.machine import procfs
from tests.integration.conftest import HARNESS, environment_variables
from tests.integration.test_why import send, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

NAME = "watched"


@contextmanager
def watching(folder: Path, *words: object) -> Iterator[subprocess.Popen[str]]:
    argv = [*HARNESS, "watch", *map(str, words), "--every", "1"]
    with subprocess.Popen(argv, cwd=folder, env=environment_variables(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_stuck_task_and_a_restart_are_told_and_kept(celery_environment: environments.Environment, tmp_path: Path) -> None:
    kept, metrics = tmp_path / "changes.jsonl", tmp_path / "celery.prom"

    def told(state: str) -> bool:
        return any(one["to"] == state for one in lines(kept))

    with (
        broker.embedded(tmp_path / "broker") as server,
        serving(celery_environment, tmp_path, "prefork", server.url, NAME) as worker,
    ):
        assert wait_until(lambda: procfs.children(worker.pid))
        stuck = send(server.url, "stuck")
        with watching(tmp_path, worker.pid, "--json-lines", kept, "--textfile", metrics) as watch:
            assert wait_until(lambda: told("stuck"))
            worker.kill()
            assert wait_until(lambda: told("gone"))
            with serving(celery_environment, tmp_path, "prefork", server.url, NAME) as again:
                assert wait_until(lambda: told("restarted"))
                assert wait_until(lambda: lines(kept)[-1]["to"] == "works")
                watch.send_signal(signal.SIGTERM)
                shown, _ = watch.communicate()
    assert watch.returncode == 0
    events = lines(kept)
    assert [one["event"] for one in events][-1] == "end"
    found = next(one for one in events if one["to"] == "stuck")
    (executor,) = [one for one in found["worker"]["executors"] if one["state"] == "stuck"]
    assert (executor["task_id"], str(executor["pid"]) in found["still_since"]) == (stuck, True)
    assert next(one["pid"] for one in events if one["to"] == "restarted") == again.pid
    assert len(shown.splitlines()) == len(events)
    assert f'harness_worker_state{{pid="{again.pid}",state="works",worker="{NAME}"}} 1.0' in metrics.read_text()


def test_an_interrupted_watch_ends_well_and_what_it_told_is_kept(
    celery_environment: environments.Environment, tmp_path: Path
) -> None:
    kept, metrics = tmp_path / "changes.jsonl", tmp_path / "celery.prom"
    with (
        broker.embedded(tmp_path / "broker") as server,
        serving(celery_environment, tmp_path, "solo", server.url, NAME) as worker,
        watching(tmp_path, worker.pid, "--json-lines", kept, "--textfile", metrics) as watch,
    ):
        assert wait_until(lambda: any(one["to"] == "works" for one in lines(kept)))
        watch.send_signal(signal.SIGINT)
        shown, _ = watch.communicate()
    assert watch.returncode == 0
    events = lines(kept)
    assert [events[0]["event"], events[-1]["event"]] == ["new", "end"]
    assert len(shown.splitlines()) == len(events)
    assert f'harness_worker_state{{pid="{worker.pid}",state="works",worker="{NAME}"}} 1.0' in metrics.read_text()
