"""`harness why` beside real workers of a pool of threads: a deadlock is proved, unless the worker's own loop may end it.

In each application but the first, something of its own releases the lock in the end, and the tasks are answered.
"""

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
from tests.integration.conftest import Harness, sent
from tests.waiting import wait_until

pytestmark = pytest.mark.integration
THREADS = 2
LOOKS = 3  # at what waits, once it is overdue, before it is ended
ASK_S = 4.5  # from then on a task is overdue
SHOP = """
import os, threading
from celery import Celery, bootsteps, signals
from celery.worker.control import control_command
from kombu import Consumer, Queue

URL, HOW = os.environ["SHOP_URL"], os.environ["SHOP_HOW"]
app = Celery("shop", broker=URL, backend=URL)
held = threading.Semaphore(0)

def free():
    if os.path.exists("free"):
        let_all_go()

def let_all_go():
    for _ in range(THREADS):
        held.release()

@app.task
def price():
    held.acquire()
    return "free"

@app.task
def release():
    let_all_go()

class Timer(bootsteps.StartStopStep):
    requires = {"celery.worker.consumer.tasks:Tasks"}
    def start(self, consumer):
        consumer.timer.call_repeatedly(1.0, free)

class Listener(bootsteps.ConsumerStep):
    def get_consumers(self, channel):
        return [Consumer(channel, queues=[Queue("free")], callbacks=[self.hear])]
    def hear(self, body, message):
        message.ack()
        let_all_go()

if HOW == "timer":
    app.steps["consumer"].add(Timer)
if HOW == "listener":
    app.steps["consumer"].add(Listener)
if HOW == "heartbeat":
    signals.heartbeat_sent.connect(lambda **_: free(), weak=False)
if HOW == "command":
    @control_command()
    def let_go(state):
        let_all_go()
""".replace("THREADS", str(THREADS))
FREE = "open('free', 'w').close()"  # which a timer and a heartbeat look for
#: what is said; how many tasks wait; what a client does to end that
LOOPS = {
    "timer": ("a timer that calls free", THREADS, FREE),
    "heartbeat": ("a receiver of heartbeat_sent", THREADS, FREE),
    "command": ("the command let_go", THREADS, "shop.app.control.broadcast('let_go')"),
    "listener": (
        "a consumer of messages that calls Listener.hear",
        THREADS,
        "shop.app.connection().SimpleQueue('free').put(1)",
    ),
    "next-task": ("the next task, in 1 thread that is idle", THREADS - 1, "shop.release.delay()"),
}


def call(environment: environments.Environment, folder: Path, variables: dict[str, str], code: str) -> str:
    """What a client of the application prints."""
    argv = [str(environment.python), "-c", f"import shop; {code}"]
    return subprocess.run(argv, cwd=folder, env=variables, capture_output=True, text=True, check=True).stdout


@contextmanager
def serving(environment: environments.Environment, folder: Path, variables: dict[str, str]) -> Iterator[int]:
    """A plain `celery worker` of the application, in a session of its own."""
    (folder / "shop.py").write_text(SHOP)
    argv = [str(environment.python), "-m", "celery", "-A", "shop", "worker", "--pool", "threads", "-c", str(THREADS)]
    log = (folder / "worker.log").open("wb")
    with log, subprocess.Popen(argv, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True) as worker:
        try:
            assert wait_until(lambda: find.is_worker(find.command(worker.pid)))
            yield worker.pid
        finally:
            os.killpg(worker.pid, signal.SIGKILL)


def asked(harness: Harness, pid: int) -> dict[str, Any]:
    done = harness("why", pid, "--json")
    assert done.stdout, done.stderr
    (found,) = json.loads(done.stdout)["workers"]
    told: dict[str, Any] = found
    return told


def stand(harness: Harness, pid: int, many: int) -> dict[str, Any]:
    """What is said once so many tasks wait, and are overdue."""
    found = [asked(harness, pid)]

    def overdue() -> bool:
        found.append(asked(harness, pid))
        since = [one["since_s"] for one in found[-1]["executors"]]
        return len(since) == many and min(since) > ASK_S

    assert wait_until(overdue), found[-1]
    return found[-1]


def test_a_deadlock_in_all_threads_is_proved(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path
) -> None:
    with broker.embedded(tmp_path / "broker") as server:
        variables = {**os.environ, "SHOP_URL": server.url, "SHOP_HOW": ""}
        with serving(celery_environment, tmp_path, variables) as pid:
            sent(server.url, "shop.price", times=THREADS)
            found = stand(harness, pid, THREADS)
            assert (found["state"], found["cause"]) == ("stuck", "deadlock"), found
            assert [one["state"] for one in found["executors"]] == ["stuck"] * THREADS


@pytest.mark.parametrize("how", LOOPS)
def test_what_the_worker_s_own_loop_may_end_is_named_and_never_stuck(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path, how: str
) -> None:
    said, many, ends = LOOPS[how]
    with broker.embedded(tmp_path / "broker") as server:
        variables = {**os.environ, "SHOP_URL": server.url, "SHOP_HOW": how}
        with serving(celery_environment, tmp_path, variables) as pid:
            sent(server.url, "shop.price", times=many)
            found = stand(harness, pid, many)
            assert found["state"] == "waiting", found
            assert f"not proved: the worker's own loop runs {said}, which may end the wait" in found["support"]
            states = [asked(harness, pid)["state"] for _ in range(LOOKS)]
            call(celery_environment, tmp_path, variables, ends)
            assert wait_until(lambda: states.append(asked(harness, pid)["state"]) or states[-1] == "works", limit_s=120.0)
            assert "stuck" not in states
