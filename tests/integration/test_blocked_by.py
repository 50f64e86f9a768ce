"""`harness why`, without native stacks, beside a child that waits for a lock of Python's which its parent held at the fork."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import broker, environments
from tests.integration import test_why
from tests.integration.conftest import Harness
from tests.integration.test_why import send, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

TASKS = """
import os, threading, time
from celery import Celery

app = Celery("shop", broker=os.environ["SHOP_URL"])
KINDS = {"rlock": threading.RLock(), "lock": threading.Lock()}


def keep():
    with KINDS["rlock"], KINDS["lock"]:
        time.sleep(600)


threading.Thread(target=keep, name="keeper", daemon=True).start()


@app.task
def price(how):
    if how in KINDS:
        with KINDS[how]:
            return how
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
"""


@pytest.mark.parametrize(
    ("how", "cause", "words"),
    [
        ("rlock", "fork-held-lock", "(keeper) of its parent, process"),
        ("lock", "fork-held-lock", "it waits for a threading.Lock that its parent has, too"),
        ("own", "deadlock", "that its parent does not have"),
    ],
)
def test_a_lock_that_the_parent_held_at_the_fork_is_told_from_one_of_the_child(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    how: str, cause: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(test_why, "TASKS", TASKS)

    def asked() -> dict[str, Any]:
        done = harness("why", worker.pid, "--json")
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["workers"][0]
        return found

    with broker.embedded(tmp_path / "broker") as server, serving(celery_environment, tmp_path, "prefork", server.url) as worker:
        send(server.url, how)
        assert wait_until(lambda: asked()["state"] == "stuck")
        found = asked()
    assert (found["cause"], words in found["support"][0]) == (cause, True)
    owner = found["executors"][0]["waits_for"][0]["owner"]
    assert ("(keeper) of its parent" in owner) is (how == "rlock")
