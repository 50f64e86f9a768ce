"""`harness check` of small applications, about half of which a fork breaks: an error for each of those, and for no other.

`tests/forked` holds them; the first word of each module's docstring is its truth.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Exit
from tests.integration.conftest import ROOT, run_harness

pytestmark = pytest.mark.integration

FORKED = Path(__file__).resolve().parent.parent / "forked"
MODULES = sorted(FORKED.glob("*.py"))
#: the rule that has to find it
RULES = {
    "batcher": "lost-thread", "corpus": "shared-file", "journal": "lost-thread", "kept_pool": "lost-pool",
    "ledger": "held-lock", "loop_thread": "lost-pool", "mailbox": "lost-thread",
    "old_pool": "lost-pool", "polled_table": "lost-thread",
    "raw_socket": "shared-connection", "signal_started": "lost-thread", "ticker": "lost-thread",
    "tokens": "lost-thread", "warm_executor": "lost-pool", "warmed_getter": "lost-thread", "worker_alone": "lost-thread",
}  # fmt: skip
#: arguments of one call, and whether the call itself shows what the fork breaks
CALLS = {
    "batcher": ([1], True), "loop_thread": ([8], True), "warm_executor": (["word"], True), "tokens": ([50], True),
    "polled_table": (["one"], True),
    "own_batcher": ([1], False), "hears_of_forks": ([5], False), "child_started": ([3], False), "pooled_store": ([2], False),
    "matrices": ([300], False),
}  # fmt: skip


def is_broken(path: Path) -> bool:
    told = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert told.startswith(("Broken", "Fine")), path
    return told.startswith("Broken")


@cache
def checked(name: str, *options: object, folder: Path = FORKED) -> tuple[int, dict[str, Any]]:
    """The exit code and the answer; who asks the same again is told the same."""
    asked = ("--app", f"{name}:app", "--cwd", folder, "--python", sys.executable, "--json", *options)
    done = run_harness(Path(tempfile.gettempdir()), "check", *asked, PYTHONDONTWRITEBYTECODE="1")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def errors(answer: dict[str, Any]) -> list[str]:
    return [one["rule"] for one in answer["findings"] if one["level"] == "error"]


def test_there_are_twenty_modules_and_half_of_them_break() -> None:
    assert len(MODULES) >= 20
    assert {path.stem for path in MODULES if is_broken(path)} == set(RULES)
    assert 10 <= len(RULES) <= len(MODULES) - 10


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_an_error_is_found_in_what_a_fork_breaks_and_in_nothing_else(path: Path) -> None:
    code, answer = checked(path.stem)
    found = errors(answer)
    assert (code, bool(found)) == ((Exit.BREAKS, True) if is_broken(path) else (Exit.DONE, False)), answer["findings"]
    assert RULES.get(path.stem) in [*found, None]
    assert answer["breaks"] == is_broken(path)
    assert answer["imported"]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_does_not_come_back_from_a_child_is_proof(name: str, tmp_path: Path) -> None:
    row, shows = CALLS[name]
    assert shows == is_broken(FORKED / f"{name}.py")
    arguments = tmp_path / "rows.json"
    arguments.write_text(json.dumps([row]))
    task = task_of(FORKED / f"{name}.py")
    code, answer = checked(name, "--task", task, "--args", arguments)
    assert ("call-in-child" in errors(answer)) == shows, answer["findings"]
    assert code == (Exit.BREAKS if shows else Exit.DONE)
    assert answer["called"] == task


LOADED_WHEN_READY = """
from celery import Celery
from celery.signals import worker_ready

app = Celery("ready_shop")
MODEL = {}

@worker_ready.connect
def load(sender, **_):
    MODEL["app"] = sender.app.main

@app.task(name="price")
def price():
    return MODEL["app"]
"""


def test_what_is_loaded_once_the_worker_is_ready_is_missed_in_its_children_alone(tmp_path: Path) -> None:
    (tmp_path / "ready_shop.py").write_text(LOADED_WHEN_READY)
    code, answer = checked("ready_shop", "--task", "price", folder=tmp_path)
    (found,) = [one for one in answer["findings"] if one["level"] == "error"]
    assert (code, found["rule"]) == (Exit.BREAKS, "call-in-child")
    assert "row 1 raised in a forked child alone: KeyError: 'app'" in found["what"]


ABORTS = """
import os
from celery import Celery

app = Celery("abort_shop")
IMPORTED = os.getpid()

@app.task(name="price")
def price():
    if os.getpid() != IMPORTED:
        os.abort()  # as a library does that notices a fork
    return 1
"""


def test_a_call_that_ends_a_child_alone_is_proof(tmp_path: Path) -> None:
    (tmp_path / "abort_shop.py").write_text(ABORTS)
    code, answer = checked("abort_shop", "--task", "price", folder=tmp_path)
    (found,) = [one for one in answer["findings"] if one["level"] == "error"]
    assert (code, found["rule"]) == (Exit.BREAKS, "call-in-child")
    assert "price, row 1, ended 2 of 2 forked children (SIGABRT)" in found["what"]


SPREADS = """
import multiprocessing
from celery import Celery

app = Celery("spread_shop")

@app.task(name="price")
def price():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return sum(pool.map(abs, [-1, 2]))
"""


def test_a_call_that_starts_processes_fails_in_a_child_as_it_does_in_prefork(tmp_path: Path) -> None:
    (tmp_path / "spread_shop.py").write_text(SPREADS)
    code, answer = checked("spread_shop", "--task", "price", folder=tmp_path)
    (found,) = [one for one in answer["findings"] if one["level"] == "error"]
    assert (code, found["rule"]) == (Exit.BREAKS, "call-in-child")
    assert "daemonic processes are not allowed to have children" in found["what"]
    assert "billiard" in found["do"]


SECOND_DEVICE = """
from billiard import current_process
from celery import Celery

app = Celery("device_shop")
DEVICES = [31, 30]

@app.task(name="price")
def price():
    return DEVICES[getattr(current_process(), "index", 0)]
"""


def test_what_the_second_child_of_a_pool_answers_is_not_blamed_on_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "device_shop.py").write_text(SECOND_DEVICE)
    code, answer = checked("device_shop", "--task", "price", folder=tmp_path)
    (found,) = [one for one in answer["findings"] if one["level"] == "warning"]
    assert (code, found["rule"]) == (Exit.DONE, "call-in-child")
    assert "31 without a fork, 30 in the child" in found["what"]


ONE_AT_A_TIME = """
import fcntl
import time
from celery import Celery

app = Celery("single_shop")
with open("/proc/self/cmdline") as file:
    time.sleep(2 if "/0/question.json" in file.read() else 0)
FILE = open(__file__)
fcntl.flock(FILE, fcntl.LOCK_EX | fcntl.LOCK_NB)

@app.task(name="price")
def price():
    time.sleep(4)
    return 1
"""


def test_an_application_that_one_process_can_import_is_looked_at_in_that_process(tmp_path: Path) -> None:
    (tmp_path / "single_shop.py").write_text(ONE_AT_A_TIME)
    code, answer = checked("single_shop", "--task", "price", folder=tmp_path)
    (found,) = [one for one in answer["findings"] if one["rule"] == "call-in-child"]
    assert (code, found["level"]) == (Exit.DONE, "note")
    assert "a second import of the application failed (BlockingIOError" in found["what"]


@pytest.mark.parametrize("name", ["batcher", "loop_thread", "raw_socket", "warm_executor"])
def test_the_diff_is_the_cure(name: str, tmp_path: Path) -> None:
    _, before = checked(name)
    diffs = {one["diff"] for one in before["findings"] if one["diff"]}
    assert len(diffs) == 1, before["findings"]
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(FORKED / f"{name}.py", folder)
    patched = subprocess.run(["patch", "-p1"], cwd=folder, input=diffs.pop(), text=True, capture_output=True, check=False)
    assert patched.returncode == 0, patched.stdout
    code, after = checked(name, folder=folder)
    assert (code, errors(after)) == (Exit.DONE, []), after["findings"]


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    done = run_harness(tmp_path, "check", "--app", "batcher:app", "--cwd", FORKED, "--python", sys.executable)
    page = (ROOT / "docs" / "how-to" / "check-my-app.md").read_text()
    shown = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    assert done.stdout.startswith(shown)


def task_of(path: Path) -> str:
    keywords = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.keyword) and node.arg == "name"]
    names = [str(one.value.value) for one in keywords if isinstance(one.value, ast.Constant)]
    return next(name for name in names if name.startswith(f"{path.stem}."))


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--app", "nowhere:app"], Exit.BAD_INPUT, "no module 'nowhere'"),
        (["--app", "batcher:wrong"], Exit.BAD_INPUT, "wrong"),
        (["--app", "batcher:app", "--args", "rows.json"], Exit.BAD_INPUT, "--args are a task's"),
        (["--app", "batcher:app", "--python", "no-such-python"], Exit.BAD_INPUT, "no such program"),
    ],
)
def test_what_cannot_be_checked_is_told_in_a_line(options: Sequence[str], code: Exit, said: str, tmp_path: Path) -> None:
    done = run_harness(tmp_path, "check", "--cwd", FORKED, "--python", sys.executable, *options)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
