"""The process in which serial calls are made: what a worker would be before it takes messages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.worker import contract, spec

TOLD_SHOP = """
from celery import Celery
from celery.signals import celeryd_init, worker_init, worker_process_init

app = Celery("told_shop", broker="memory://", set_as_current=False)
LOADED = {}

@celeryd_init.connect
def scale(conf=None, **_):
    LOADED["scale"] = 7

@worker_init.connect
def vocabulary(sender=None, **_):
    LOADED["of"] = sender.app.main

@worker_process_init.connect
def load(**_):
    LOADED["times"] = LOADED.get("times", 0) + 1

@app.task(bind=True, name="price", shared=False)
def price(self, number):
    told = self.request.delivery_info
    return {"scaled": number * LOADED["scale"], "queue": told["routing_key"], "priority": told["priority"],
            "by": self.request.hostname, "init": LOADED == {"scale": 7, "of": "told_shop", "times": 1},
            "tenant": [self.request.headers["tenant"], self.request.tenant]}
"""

LOADER_SHOP = """
from celery import Celery
from celery.loaders.app import AppLoader

LOADED = {}

class Loader(AppLoader):
    def on_worker_init(self):
        LOADED["scale"] = 7

    def on_worker_process_init(self):
        LOADED["times"] = LOADED.get("times", 0) + 1
        raise OSError("what it raises ends no call")

app = Celery("told_shop", broker="memory://", loader=Loader, set_as_current=False)

@app.task(bind=True, name="price", shared=False)
def price(self, number):
    told = self.request.delivery_info
    return {"scaled": number * LOADED["scale"], "queue": told["routing_key"], "priority": told["priority"],
            "by": self.request.hostname, "init": LOADED == {"scale": 7, "times": 1},
            "tenant": [self.request.headers["tenant"], self.request.tenant]}
"""

CALLS = """
import json, sys
from harness.worker import their_app, unstarted
with open(sys.argv[1]) as file:
    _, calls = their_app.opened(json.load(file))
print(json.dumps([unstarted.node(), their_app.stored(their_app.applied(*calls[0]), "json")]))
"""


@pytest.mark.parametrize("shop", [TOLD_SHOP, LOADER_SHOP], ids=["signals", "loader"])
def test_a_serial_call_has_what_a_worker_loads_and_tells_its_task_of_its_message(shop: str, tmp_path: Path) -> None:
    (tmp_path / "told_shop.py").write_text(shop)
    (tmp_path / "rows.json").write_text("[[2]]")
    told = spec.for_application(
        app="told_shop:app", tasks=["price"], rows=str(tmp_path / "rows.json"), prefix="ab", events_dir=str(tmp_path),
        deliveries=[{"exchange": "", "routing_key": "gold", "priority": 3, "headers": {"tenant": "seven"}}],
    )  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(told))
    argv = [sys.executable, "-c", CALLS, str(tmp_path / "spec.json")]
    path = str(Path(__file__).parents[2])
    done = subprocess.run(argv, cwd=tmp_path, env={"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    node, (error, payload) = json.loads(done.stdout.splitlines()[-1])
    assert error == ""
    expected = {"scaled": 14, "queue": "gold", "priority": 3, "by": node, "init": True, "tenant": ["seven", "seven"]}
    assert json.loads(payload)["result"] == expected
    assert node.startswith("harness@")


WORKER_SHOP = """
import sys
from celery import Celery

app = Celery("told_shop", broker="memory://", backend="cache+memory://", set_as_current=False)
MODEL = {"bias": 10} if "worker" in sys.argv and sys.argv[1:3] == ["-A", "told_shop:app"] else None

@app.task(name="price", shared=False)
def price(number):
    return MODEL["bias"] + number
"""


READY_SHOP = """
from celery import Celery
from celery.signals import worker_ready

app = Celery("told_shop", broker="memory://", backend="cache+memory://", set_as_current=False)
MODEL = {}

@worker_ready.connect
def load(sender=None, **_):
    MODEL["bias"] = 10 if sender.app.main == "told_shop" else 0

@app.task(name="price", shared=False)
def price(number):
    return MODEL["bias"] + number
"""

MOVING_SHOP = """
import os
from celery import Celery

app = Celery("told_shop", broker="memory://", backend="cache+memory://", set_as_current=False)

@app.task(name="price", shared=False)
def price(number):
    os.chdir("/")
    os.environ.clear()
    return number
"""

COUNTING_SHOP = """
import threading

from celery import Celery

app = Celery("told_shop", broker="memory://", backend="cache+memory://", set_as_current=False)

@app.task(name="price", shared=False)
def price(number):
    return [threading.active_count(), threading.current_thread().name]
"""


LOCKING_SHOP = """
import fcntl
from celery import Celery

app = Celery("told_shop", broker="memory://", backend="cache+memory://", set_as_current=False)
FILE = open(__file__)
fcntl.flock(FILE, fcntl.LOCK_EX)

@app.task(name="price", shared=False)
def price(number):
    return number
"""

ENDLESS_SHOP = """
import os
from celery import Celery

app = Celery("told_shop", broker="memory://", backend="cache+memory://", set_as_current=False)
while "PYTHONHASHSEED" in os.environ:
    pass

@app.task(name="price", shared=False)
def price(number):
    return number
"""


def called(shop: str, module: str, folder: Path, witnesses: int = 0, limit_s: int = 20) -> dict[str, Any]:
    """The first line of a process that calls the task of this shop."""
    (folder / "told_shop.py").write_text(shop)
    (folder / "rows.json").write_text("[[2]]")
    told = spec.for_application(
        app="told_shop:app", tasks=["price"], rows=str(folder / "rows.json"), prefix="ab", events_dir=str(folder)
    )
    (folder / "spec.json").write_text(json.dumps(told))
    out = str(folder / "out")
    words = {"serial": ["0.1", "2", out, str(witnesses), str(limit_s), "5", "0"], "witness": [out, "0", "0"]}
    argv = [sys.executable, "-m", f"harness.worker.{module}", *words[module]]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), contract.SPEC: str(folder / "spec.json")}
    subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    first: dict[str, Any] = json.loads((folder / "out").read_text().splitlines()[0])
    return first


@pytest.mark.parametrize("shop", [WORKER_SHOP, READY_SHOP], ids=["words", "ready"])
@pytest.mark.parametrize("module", ["serial", "witness"])
def test_an_application_that_loads_in_workers_alone_has_loaded(module: str, shop: str, tmp_path: Path) -> None:
    first = called(shop, module, tmp_path)
    assert not first.get("error"), first
    assert json.loads(first["payload"])["result"] == 12


def test_witnesses_begin_where_the_application_is_started_whatever_its_task_changes(tmp_path: Path) -> None:
    called(MOVING_SHOP, "serial", tmp_path, witnesses=2)
    assert [(tmp_path / (contract.WITNESS % number)).read_text().count('"row": 0') for number in range(2)] == [1, 1]


def test_witnesses_have_other_numbers_of_threads_and_files_and_call_in_the_main_thread(tmp_path: Path) -> None:
    first = called(COUNTING_SHOP, "serial", tmp_path, witnesses=2)
    lines = [json.loads((tmp_path / (contract.WITNESS % number)).read_text().splitlines()[0]) for number in range(2)]
    alone, *beside = [json.loads(line["payload"])["result"] for line in (first, *lines)]
    assert alone == [1, "MainThread"]
    assert beside == [[2, "MainThread"], [3, "MainThread"]]


def test_an_import_that_waits_beside_the_first_process_is_told_by_that(tmp_path: Path) -> None:
    called(LOCKING_SHOP, "serial", tmp_path, witnesses=1, limit_s=9)
    (told,) = (tmp_path / (contract.WITNESS % 0)).read_text().splitlines()
    assert json.loads(told)[contract.WAITS] is True
    assert "its import waited for 9 s and used no CPU" in json.loads(told)[contract.FAILED]


def test_an_import_that_computes_beside_the_first_process_is_not_said_to_wait(tmp_path: Path) -> None:
    called(ENDLESS_SHOP, "serial", tmp_path, witnesses=1, limit_s=9)
    assert not (tmp_path / (contract.WITNESS % 0)).exists()
