"""The bundle of a real worker whose application, task, arguments, host and folders have odd names: none of them is in it."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import broker, environments
from tests.integration.conftest import Harness
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

#: what a name is of -> an odd one. None of them is a word of ours, whole or in part.
ODD = {
    "folder": "zqfolder", "module": "zqmodule", "app": "zqapplication", "task": "zqtask", "function": "zqfunction",
    "argument": "zqargument", "local": "zqlocal", "thread": "zqthread", "host": "zqhost", "queue": "zqqueue",
    "id": "zqidentity", "environ": "zqenviron", "file": "zqfile", "option": "zqoption", "comm": "zqcomm",
}  # fmt: skip
TASKS = """
import os, socket, sys, threading
from celery import Celery

URL = os.environ["SHOP_URL"]
app = Celery("zqapplication", broker=URL, backend=URL)


def zqfunction(held, zqlocal):
    held.recv(1)


@app.task(name="zqtask.run")
def run(how):
    kept = open(os.path.join(os.path.dirname(__file__), "zqfile.lock"), "w")
    with open("/proc/self/comm", "w") as comm:
        comm.write("zqcomm")
    threading.Thread(target=threading.Event().wait, name="zqthread", daemon=True).start()
    server = socket.create_server(("127.0.0.1", 0))
    asks = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    zqfunction(asks, "zqlocal of " + how)
"""
SEND = "import zqmodule; zqmodule.run.apply_async(['zqargument'], queue='zqqueue', task_id='zqidentity')"


@contextmanager
def serving(python: Path, folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    variables = {**os.environ, "SHOP_URL": url, "ZQ": ODD["environ"]}
    options = [
        "-c",
        "2",
        "-n",
        "zqhost@%h",
        "-Q",
        "zqqueue",
        "--loglevel",
        "WARNING",
        "--pidfile",
        str(folder / "zqoption.pid"),
    ]
    argv = [str(python), "-m", "celery", "-A", "zqmodule", "worker", *options]
    with (folder / "zqfile.log").open("wb") as log:
        worker = subprocess.Popen(argv, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True)
        with worker:
            try:
                subprocess.run([str(python), "-c", SEND], cwd=folder, env=variables, check=True)
                yield worker
            finally:
                os.killpg(worker.pid, signal.SIGKILL)


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(path.read_bytes()))) as archive:
        return {one.name: (found.read() if (found := archive.extractfile(one)) else b"") for one in archive.getmembers()}


def test_no_name_of_the_users_is_in_a_bundle_unless_it_is_asked_for(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path
) -> None:
    folder = tmp_path / ODD["folder"]
    folder.mkdir()
    (folder / "zqmodule.py").write_text(TASKS)
    plain, named = tmp_path / "plain.tar.gz", tmp_path / "named.tar.gz"
    with (
        broker.embedded(tmp_path / "broker") as server,
        serving(celery_environment.python, folder, server.url) as worker,
    ):
        password = server.url.partition("://:")[2].partition("@")[0]
        assert wait_until(lambda: ODD["function"] in harness("why", worker.pid, "--json").stdout)
        said = harness("why", worker.pid, "--json", "--deep", "--broker", server.url, "--bundle", plain)
        told = harness("why", worker.pid, "--broker", server.url, "--bundle", named, "--with-names")
        again = harness("why", worker.pid, "--bundle", plain)
    # that there was something to take out
    answer = json.loads(said.stdout)
    assert [ODD[name] in said.stdout for name in ("module", "task", "function", "id")] == [True] * 4
    assert (said.returncode, told.returncode, again.returncode) == (21, 21, 3)
    assert "not overwritten" in again.stderr

    raw = gzip.decompress(plain.read_bytes()).lower()
    assert [what for what, odd in ODD.items() if odd.encode() in raw] == []
    assert [what for what in (tmp_path.name, "127.0.0.1", password) if what.lower().encode() in raw] == []
    inside = members(plain)
    found = json.loads(inside["why/answer.json"])
    assert (found["state"], found["workers"][0]["pid"]) == (answer["state"], worker.pid)
    (one,) = found["workers"][0]["executors"]
    assert (one["task"], one["task_id"]) == ("task-1", "id-1")
    folders = {name.split("/")[2] for name in inside if name.startswith("why/processes/")}
    assert {str(worker.pid), str(one["pid"])} <= folders
    stack = inside[f"why/processes/{one['pid']}/stacks.txt"].decode()
    assert "trace_task (celery/app/trace.py:" in stack
    assert "function-1 (path-" in stack
    native = inside[f"why/processes/{one['pid']}/native.txt"].decode()
    assert ("trace_task (celery/app/trace.py:" in native, ".so" in native) == (True, True)
    assert "syscall:" in inside[f"why/processes/{one['pid']}/threads.txt"].decode()
    assert "tfd:" in inside[f"why/processes/{worker.pid}/descriptors.txt"].decode()
    assert json.loads(inside["why/versions.json"])[str(worker.pid)]["libraries"]["celery"]

    whole = b"".join(members(named).values()).decode().lower()
    kept = ("task", "function", "module", "id", "thread", "folder", "file", "comm")
    assert [name for name in kept if ODD[name] not in whole] == []
    assert [name for name in ("argument", "local", "environ", "option") if ODD[name] in whole] == []
    assert password.lower() not in whole


@pytest.mark.parametrize(
    ("options", "code"), [(("--bundle", "-"), 3), (("--bundle", "no/where.tar.gz"), 8), (("--json", "--markdown"), 3)]
)
def test_options_that_cannot_be_carried_out_are_refused_at_once(harness: Harness, options: tuple[str, ...], code: int) -> None:
    done = harness("why", *options)
    assert (done.returncode, done.stderr.startswith("error: ")) == (code, True)
