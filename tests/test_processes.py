"""Processes are owned: whatever way a driver or a program ends, nothing of it survives."""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from harness.machine import procfs, socket_limits, syscalls
from harness.machine.processes import OwnedProcess, signal_name
from harness.observe import children
from tests.waiting import wait_until

ENV = {"PATH": os.environ["PATH"]}
ESCAPING = "(setsid sleep 300 &); sleep 300 & sleep 300"


def alive(pid: int) -> bool:
    stat = procfs.process(pid)
    return stat is not None and stat.state not in "ZX"


def start(command: str, folder: Path, scratch: str = "") -> OwnedProcess:
    return OwnedProcess(["sh", "-c", command], log=folder / "log", env=ENV, cwd=folder, scratch=scratch)


def test_the_exit_code_and_the_kernels_accounting_come_back(tmp_path: Path) -> None:
    with start("echo hello; exit 3", tmp_path) as process:
        assert wait_until(lambda: process.poll() is not None)
    assert process.exit_code == 3
    assert process.kernel_cpu_s is not None
    assert (tmp_path / "log").read_text() == "hello\n"


def test_a_driver_with_many_open_files_owns_processes_like_any_other(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if most < 1200:
        pytest.skip(f"no more than {most} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with start("exit 3", tmp_path) as process:
            assert wait_until(lambda: process.poll() is not None)
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert process.exit_code == 3


def test_leaving_the_block_kills_even_what_ran_away_into_a_session_of_its_own(tmp_path: Path) -> None:
    with start(ESCAPING, tmp_path) as process:
        assert wait_until(lambda: len(procfs.tree(process.keeper_pid)) >= 4)
        pids = [stat.pid for stat in procfs.tree(process.keeper_pid)]
    assert not any(map(alive, pids))
    assert process.exit_code == -signal.SIGKILL


def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    with start("(setsid sleep 300 & echo $! > left); exec sleep 0.3", tmp_path) as process:
        assert wait_until(lambda: process.poll() is not None)
        assert process.exit_code == 0
    assert not procfs.tree(process.keeper_pid)


def test_a_driver_killed_by_sigkill_takes_everything_with_it(tmp_path: Path) -> None:
    driver = (
        "import os, pathlib, signal\n"
        "from harness.machine.processes import OwnedProcess\n"
        f"p = OwnedProcess(['sh', '-c', {ESCAPING!r}], log=pathlib.Path('log'), env={ENV!r}, scratch='scratch')\n"
        "print(p.keeper_pid, flush=True)\n"
        "signal.pause()\n"
    )
    (tmp_path / "scratch" / "deep").mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", driver], stdout=subprocess.PIPE, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    ) as process:
        assert process.stdout is not None
        keeper = int(process.stdout.readline())
        assert wait_until(lambda: len(procfs.tree(keeper)) >= 4)
        pids = [keeper, *(stat.pid for stat in procfs.tree(keeper))]
        process.kill()
    assert wait_until(lambda: not any(map(alive, pids)), limit_s=10.0)
    assert not (tmp_path / "scratch").exists()


def test_a_driver_that_lives_finds_what_its_program_has_written(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    for command in ("echo 1 > scratch/one", "echo 2 > scratch/two; sleep 300"):
        with start(command, tmp_path, scratch=str(tmp_path / "scratch")) as process:
            assert wait_until(lambda: process.poll() is not None or (tmp_path / "scratch" / "two").exists())
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == ["one", "two"]


def test_a_killed_keeper_takes_its_program_with_it(tmp_path: Path) -> None:
    process = start("exec sleep 300", tmp_path)
    os.kill(process.keeper_pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(process.pid), limit_s=10.0)
    assert process.poll() == -signal.SIGKILL


def test_a_program_that_ignores_term_is_killed(tmp_path: Path) -> None:
    with start("trap '' TERM; echo up; while :; do sleep 1; done", tmp_path) as process:
        assert wait_until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text())
        assert process.terminate(grace_s=0.3) is False
        assert process.exit_code == -signal.SIGKILL


@pytest.mark.parametrize(("code", "name"), [(-9, "SIGKILL"), (-11, "SIGSEGV"), (2, "exit 2"), (None, "unknown")])
def test_endings_have_names(code: int | None, name: str) -> None:
    assert signal_name(code) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("202 0x7f00 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd 0x7f01", ("futex", False, True)),
        ("202 0x7f00 0x189 0x0 0x7ffe1000 0x0 0xffffffff 0x7ffd 0x7f01", ("futex", True, True)),
        ("202 0x7f00 0x0 0x2 0x0 0x0 0x0 0x7ffd 0x7f01", ("futex", False, False)),
        ("232 0x5 0x7f00 0x3ff 0x3e8 0x0 0x8 0x7ffd 0x7f01", ("epoll", True, False)),
        ("232 0x5 0x7f00 0x3ff 0xffffffff 0x0 0x8 0x7ffd 0x7f01", ("epoll", False, False)),
        ("35 0x7ffd 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f01", ("sleep", True, False)),
        ("0 0x7 0x7f00 0x4 0x0 0x0 0x0 0x7ffd 0x7f01", ("read", False, False)),
        ("128 0x7f00 0x7f10 0x0 0x8 0x0 0x0 0x7ffd 0x7f01", ("sigwait", False, False)),
        ("128 0x7f00 0x7f10 0x7f20 0x8 0x0 0x0 0x7ffd 0x7f01", ("sigwait", True, False)),
        ("220 0x3 0x7f00 0x1 0x0 0x0 0x0 0x7ffd 0x7f01", ("semop", False, False)),
        ("220 0x3 0x7f00 0x1 0x7f20 0x0 0x0 0x7ffd 0x7f01", ("semop", True, False)),
        ("243 0x7 0x7f00 0x2000 0x0 0x7f20 0x0 0x7ffd 0x7f01", ("mq", True, False)),
        ("441 0x5 0x7f00 0x10 0x0 0x0 0x8 0x7ffd 0x7f01", ("epoll", False, False)),
        ("271 0x7f00 0x2 0x7f20 0x0 0x8 0x0 0x7ffd 0x7f01", ("poll", True, False)),
        ("7 0x7f00 0x2 0xffffffff 0x0 0x0 0x0 0x7ffd 0x7f01", ("poll", False, False)),
        ("running", ("running", False, False)),
        ("-1 0x7ffd 0x7f01", ("blocked", False, False)),
        ("", ("unknown", False, False)),
    ],
)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="call numbers of x86-64")
def test_a_system_call_is_named_with_its_limits(text: str, expected: tuple[str, bool, bool]) -> None:
    assert syscalls.parse(text) == expected


def test_a_limit_of_a_socket_is_told_for_the_way_that_it_is_of() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 45, 500_000))
        told = [socket_limits.of_call(os.getpid(), one.fileno(), kind) for kind in ("recv", "read", "send")]
        assert told == [45.5, 45.5, 0.0]
        assert not socket_limits.none(os.getpid(), one.fileno())
        assert socket_limits.none(os.getpid(), other.fileno())
    with open(os.devnull) as file:
        assert socket_limits.limits_s(os.getpid(), file.fileno()) is None


POOL = """
import os, subprocess, sys, time
if os.fork() == 0:
    time.sleep(60)
spawned = subprocess.Popen([sys.executable, "-c", "'billiard.spawn'; import time; time.sleep(60)"])
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(spawned.pid, other.pid, flush=True)
time.sleep(60)
"""


def test_the_children_of_a_pool_are_those_that_are_forked_or_that_billiard_spawns() -> None:
    with subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True, start_new_session=True) as main:
        try:
            assert main.stdout is not None
            spawned, other = map(int, main.stdout.readline().split())
            assert wait_until(lambda: len(children.of_pool(main.pid)) == 2)
            assert spawned in children.of_pool(main.pid)
            assert other in procfs.children(main.pid)
            assert other not in children.of_pool(main.pid)
        finally:
            os.killpg(main.pid, signal.SIGKILL)


def test_a_process_that_was_forked_is_told_from_one_that_runs_a_program() -> None:
    code = "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        try:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            told = [procfs.process(pid) for pid in (parent.pid, child)]
            assert [one is not None and one.forked for one in told] == [False, True]
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
