"""The faults themselves, in this process: what passes does pass, and nothing that a fault starts outlives its worker."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from harness.backends import faults
from harness.backends.faults import computing, endings, helpers, loads, locks, native, pauses, peers, tasks, unnoticed
from harness.places import PACKAGE
from tests.waiting import wait_until

FAMILIES = (locks, native, pauses, peers, tasks, computing, endings, unnoticed)
#: What ends by itself after as many seconds as it is told, and needs neither a broker nor a green library.
PASSING = (
    "sleep", "lock-wait", "alarm", "select", "ping-pong", "future", "coroutine-sleep", "import-lock", "native-sleep",
    "native-poller", "native-timer", "native-join", "timer-signal", "timer-file", "child", "file-lock", "shared-lock",
    "shared-lock-in-thread", "pipe", "peer", "spin", "collection", "load-per-thread",
)  # fmt: skip
START = """
import sys, time
from harness.backends.faults import helpers
process = helpers.start("time.sleep(600)")
print(process.pid, flush=True)
time.sleep(600)
"""


def test_no_two_families_have_a_fault_of_the_same_name() -> None:
    counted = Counter(kind for family in FAMILIES for kind in family.FAULTS)
    assert set(counted.values()) == {1}
    assert set(counted) == set(faults.FAULTS)
    assert not set(counted) & {*faults.ANSWER_FAULTS, *faults.DEAR_FAULTS}


@pytest.mark.parametrize("kind", PASSING)
def test_what_is_to_pass_does_pass_and_leaves_no_process(kind: str) -> None:
    helpers.STARTED.clear()
    assert faults.FAULTS[kind](0.2) is None
    assert [process.poll() for process in helpers.STARTED] == [0] * len(helpers.STARTED)


@pytest.mark.parametrize("kind", sorted(faults.DEAR_FAULTS))
def test_a_dear_row_is_answered_in_the_end(kind: str) -> None:
    assert faults.DEAR_FAULTS[kind](0.1) is None


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("error", ValueError),
        ("long-error", ValueError),
        ("unpicklable-error", endings.Unpicklable),
        ("recursion", RecursionError),
        ("system-exit", SystemExit),
        ("keyboard-interrupt", KeyboardInterrupt),
        ("memory-error", MemoryError),
    ],
)
def test_what_is_to_raise_does_raise(kind: str, raised: type[BaseException]) -> None:
    with pytest.raises(raised):
        faults.FAULTS[kind](1)


def test_a_lock_between_processes_leaves_no_name_behind() -> None:
    faults.FAULTS["shared-lock"](0.1)
    assert not list(Path("/dev/shm").glob(f"sem.faulty-{os.getpid()}-*"))


def test_a_helper_ends_with_the_process_that_started_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    ) as starter:
        assert starter.stdout
        helper = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    assert wait_until(lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE)


def test_a_helper_whose_starter_is_gone_already_ends_at_once() -> None:
    argv = [sys.executable, "-c", helpers.BOUND + "print('went on')", "1"]
    assert subprocess.run(argv, capture_output=True, check=True).stdout == b""


def test_a_second_process_cannot_read_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(loads.MAIN, str(os.getpid()))
    loads.FAULTS["child-error"](0)
    monkeypatch.setenv(loads.MAIN, "1")
    with pytest.raises(RuntimeError, match="another process"):
        loads.FAULTS["child-error"](0)


@pytest.mark.parametrize("path", sorted(Path(faults.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_a_family_can_be_read_by_python_3_7(path: Path) -> None:
    assert ast.parse(path.read_text(), feature_version=(3, 7)).body
