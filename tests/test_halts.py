"""What a row of looks says of a process that was met stopped; real ones, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.machine import procfs
from harness.observe.halts import Halt, halt
from harness.observe.looks import ProcessLook
from tests.test_watchdog import FUTEX, HELPER
from tests.waiting import wait_until

PID = 100
RUNS = ProcessLook(pid=PID, cpu_s=1.0, children=(), threads=(FUTEX, replace(FUTEX, tid=HELPER)))
STOPPED = replace(RUNS, threads=tuple(replace(one, state="T") for one in RUNS.threads))
HALF = replace(RUNS, threads=(replace(FUTEX, state="T"), RUNS.threads[1]))
MOVED = replace(STOPPED, threads=tuple(replace(one, switches=8) for one in STOPPED.threads))
RAN = replace(STOPPED, threads=tuple(replace(one, cpu_s=1.1) for one in STOPPED.threads))
FROZEN = replace(RUNS, frozen="/sys/fs/cgroup/a/cgroup.freeze")
FEWER = replace(STOPPED, threads=STOPPED.threads[:1])


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ((RUNS, RUNS, RUNS), Halt.NONE),
        ((HALF, HALF, HALF), Halt.NONE),
        ((STOPPED, STOPPED, STOPPED), Halt.STOPPED),
        ((RUNS, STOPPED, STOPPED), Halt.NEW),
        ((STOPPED, STOPPED, RUNS), Halt.TURNS),
        ((STOPPED, RUNS, STOPPED), Halt.TURNS),
        ((STOPPED, STOPPED, MOVED), Halt.TURNS),
        ((STOPPED, RAN, RAN), Halt.TURNS),
        ((STOPPED, FEWER, FEWER), Halt.TURNS),
        ((RUNS, MOVED, MOVED), Halt.NEW),
        ((FROZEN, FROZEN, FROZEN), Halt.FROZEN),
        ((RUNS, FROZEN, FROZEN), Halt.NEW),
        ((FROZEN, RUNS, FROZEN), Halt.TURNS),
        ((FROZEN, replace(MOVED, frozen=FROZEN.frozen)), Halt.TURNS),
        ((replace(STOPPED, threads=()),) * 3, Halt.NONE),
    ],
)
def test_stopped_is_what_has_not_moved_since_the_first_look(seen: tuple[ProcessLook, ...], found: Halt) -> None:
    assert halt(seen) is found


@pytest.fixture
def program() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        yield process.pid
        process.kill()


def look(pid: int) -> ProcessLook:
    return ProcessLook(pid=pid, cpu_s=0.0, children=(), threads=tuple(procfs.threads(pid)))


def stop(pid: int) -> ProcessLook:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(one.state == "T" for one in look(pid).threads))
    return look(pid)


def test_the_kernel_shows_that_a_process_was_continued_between_two_looks(program: int) -> None:
    first = stop(program)
    assert halt([first, look(program), look(program)]) is Halt.STOPPED
    os.kill(program, signal.SIGCONT)
    assert halt([first, stop(program)]) is Halt.TURNS
