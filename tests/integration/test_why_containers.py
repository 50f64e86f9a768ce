"""`harness why` on the host, and within, of a worker that is process 1 of a PID namespace, as it is in a container."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import broker, environments
from harness.live import find
from harness.machine import procfs
from tests.integration.conftest import ROOT, Harness, environment_variables
from tests.integration.test_why import TASKS, send
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces")]


@contextmanager
def contained(environment: environments.Environment, folder: Path, pool: str, url: str) -> Iterator[int]:
    """The number here of a plain worker that is process 1 of its own namespace."""
    (folder / "shop.py").write_text(TASKS)
    unshare = shutil.which("unshare") or pytest.skip("there is no unshare")
    if subprocess.run([unshare, "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace may be made here")
    argv = [
        unshare, "--pid", "--fork", "--kill-child", "--mount-proc", str(environment.python), "-m", "celery", "-A", "shop",
        "worker", "--pool", pool, "--concurrency", "2", "--loglevel", "WARNING",
    ]  # fmt: skip
    log = (folder / "worker.log").open("wb")
    variables = {**os.environ, "SHOP_URL": url}
    with log, subprocess.Popen(argv, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True) as outer:
        try:
            assert wait_until(lambda: any(find.is_worker(find.command(pid)) for pid in procfs.children(outer.pid)))
            (inner,) = procfs.children(outer.pid)
            yield inner
        finally:
            os.killpg(outer.pid, signal.SIGKILL)


def within(pid: int, *words: object) -> subprocess.CompletedProcess[str]:
    """The command line within that process's namespace."""
    argv = ["nsenter", "--target", str(pid), "--pid", "--mount", sys.executable, "-m", "harness.cli", *map(str, words)]
    return subprocess.run(argv, env=environment_variables(), cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_stuck_worker_in_a_container_is_told_by_the_numbers_of_whoever_asks(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path, pool: str
) -> None:
    with broker.embedded(tmp_path / "broker") as server, contained(celery_environment, tmp_path, pool, server.url) as main:

        def asked() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(harness("why", main, "--json", "--broker", server.url).stdout)["workers"][0]
            return found

        assert wait_until(lambda: asked()["broker"].get("asks"))
        stuck = send(server.url, "stuck")
        assert wait_until(lambda: asked()["state"] != "works")
        told = asked()
        (executor,) = told["executors"]
        assert (told["pid"], executor["task_id"], executor["task"]) == (main, stuck, "shop.price")
        assert executor["pid"] in {main, *procfs.children(main)}
        assert any(f"process {main} is 1" in one for one in told["unseen"])

        found = json.loads(within(main, "why", "--json").stdout)
        (inside,) = found["workers"]
        (theirs,) = inside["executors"]
        assert (inside["pid"], theirs["task_id"], theirs["state"]) == (1, stuck, executor["state"])
        assert theirs["pid"] == procfs.own_numbers(executor["pid"])[-1]
        if pool == "prefork":
            assert told["state"] == "stuck"
            assert told["now"].startswith(f"kill -9 {executor['pid']}:")
            assert inside["now"].startswith(f"kill -9 {theirs['pid']}:")
        else:
            assert f"kill -9 {main} from here does that, too" in told["now"]
            assert "kill -9 does nothing to that from inside" in inside["now"]
        refused = harness("why", 2**22 - 1)
        assert refused.returncode == 4
