"""`harness why` beside real workers that know nothing of it: what they are stuck in, and that nothing in them changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import broker, environments
from harness.live import find
from harness.machine import procfs
from tests.integration.conftest import Harness, sent
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

TASKS = """
import os, signal, threading, time
from celery import Celery

URL = os.environ["SHOP_URL"]
app = Celery("shop", broker=URL, backend=URL)


@app.task
def price(how):
    if how == "sleep":
        time.sleep(600)
    if how == "stuck":
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
    if how == "patient":
        told = threading.Event()
        signal.signal(signal.SIGUSR1, lambda number, frame: told.set())
        told.wait()
    return how
"""


@contextmanager
def serving(
    environment: environments.Environment, folder: Path, pool: str, url: str, name: str = "shop"
) -> Iterator[subprocess.Popen[bytes]]:
    """A plain `celery worker` of the application, in a session of its own. `name`: what else the application is called: tests
    beside this one have workers of `shop`, too, and who watches takes one of these for a restart."""
    (folder / f"{name}.py").write_text("from shop import app\n")
    (folder / "shop.py").write_text(TASKS)
    variables = {**os.environ, "SHOP_URL": url}
    many = "3" if pool == "prefork" else "2"
    argv = [str(environment.python), "-m", "celery", "-A", name, "worker", "-P", pool, "-c", many, "--loglevel", "WARNING"]
    log = (folder / "worker.log").open("wb")
    with log, subprocess.Popen(argv, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True) as worker:
        try:
            assert wait_until(lambda: find.is_worker(find.command(worker.pid)))  # not before its program runs
            yield worker
        finally:
            os.killpg(worker.pid, signal.SIGKILL)


def send(url: str, how: str) -> str:
    """The id of a task that was sent."""
    return sent(url, "shop.price", how)[0]


def states_of(pid: int) -> str:
    """What would betray that somebody touched a process: its tracer, and its state."""
    lines = (procfs.read(f"/proc/{pid}/status") or "").splitlines()
    return " ".join(line for line in lines if line.startswith(("TracerPid", "SigPnd", "ShdPnd")))


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_stuck_task_is_found_and_named_and_a_sleep_is_not_stuck(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path, pool: str
) -> None:
    def asked(*options: str) -> tuple[int, dict[str, Any]]:
        done = harness("why", worker.pid, "--json", *options)
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, found

    with broker.embedded(tmp_path / "broker") as server, serving(celery_environment, tmp_path, pool, server.url) as worker:
        assert wait_until(lambda: asked("--broker", server.url)[1]["workers"][0]["broker"].get("asks"))
        code, idle = asked()
        assert (code, idle["state"], idle["workers"][0]["executors"]) == (0, "works", [])
        sleeps = send(server.url, "sleep")
        assert wait_until(lambda: [one["task_id"] for one in asked()[1]["workers"][0]["executors"]] == [sleeps])
        code, slow = asked()
        assert (code, slow["state"]) == (0, "works")
        patient = send(server.url, "patient") if pool == "prefork" else ""  # only a main thread may set a handler
        stuck = send(server.url, "stuck")
        before = states_of(worker.pid)
        assert wait_until(lambda: asked()[0] == (20 if pool == "prefork" else 21))
        code, found = asked("--broker", server.url)
        assert states_of(worker.pid) == before
        (told,) = found["workers"]
        by_id = {one["task_id"]: one for one in told["executors"]}
        assert (by_id[stuck]["task"], by_id[sleeps]["state"]) == ("shop.price", "works")
        assert "in price (shop.py:" in by_id[stuck]["waits_for"][0]["what"]
        assert (told["pool"], told["app"], told["broker"]["answers"]) == (pool, "shop", True)
        if pool == "prefork":
            assert (by_id[stuck]["state"], told["cause"]) == ("stuck", "deadlock")
            assert told["now"].startswith(f"kill -9 {by_id[stuck]['pid']}")
            assert by_id[patient]["state"] != "stuck", "its own handler of a signal may end the wait"
        page = harness("why", worker.pid)
        assert page.stdout.startswith(f"worker {worker.pid} (shop, {pool} x {'3' if pool == 'prefork' else '2'}): ")


def test_a_process_that_is_none_says_so(harness: Harness) -> None:
    done = harness("why", 2**22 - 1)
    assert (done.returncode, "has ended, or there is none" in done.stderr) == (4, True)
