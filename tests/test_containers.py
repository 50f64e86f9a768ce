"""Processes in a PID namespace of their own, as a container has one: their threads and locks have the numbers of here."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import NotPermitted
from harness.live import broker_urls, choose, find, sight
from harness.live.find import Worker
from harness.machine import containers, file_locks, procfs, system
from harness.observe import stacks
from tests.waiting import wait_until

MUTEX = """
import ctypes, threading, time
libc, mutex, held = ctypes.CDLL(None), ctypes.create_string_buffer(64), threading.Event()
def hold():
    libc.pthread_mutex_lock(mutex)
    held.set()
    time.sleep(600)
threading.Thread(target=hold, daemon=True).start()
held.wait()
print("up", flush=True)
"""
WAITS, FORKS = "libc.pthread_mutex_lock(mutex)", "import os; os.fork() or libc.pthread_mutex_lock(mutex); os.wait()"
LOCKS = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); print('up', flush=True); time.sleep(600)"


@contextmanager
def contained(code: str, *arguments: str) -> Iterator[int]:
    """The number here of a program that is process 1 of its own namespace."""
    unshare = shutil.which("unshare") or pytest.skip("there is no unshare")
    argv = [unshare, "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", code, *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as outer:
        assert outer.stdout is not None
        try:
            if not outer.stdout.readline():
                pytest.skip("no PID namespace may be made here")
            (inner,) = procfs.children(outer.pid)
            yield inner
        finally:
            outer.kill()


def waiter(pid: int) -> procfs.Thread:
    """The main thread of a process, once it waits for a mutex whose owner is known."""
    assert wait_until(lambda: [one for one in procfs.threads(pid) if one.tid == pid and one.owner])
    return next(one for one in procfs.threads(pid) if one.tid == pid)


def test_the_owner_of_a_mutex_is_the_thread_that_has_its_number_inside() -> None:
    with contained(MUTEX + WAITS) as pid:
        owner = waiter(pid).owner
        assert owner in procfs.numbers(f"/proc/{pid}/task")
        assert procfs.own_numbers(pid, owner)[-1] == 2
        assert procfs.numbers_here(pid) == {1: pid, 2: owner}


def test_the_owner_that_only_the_parent_has_is_the_parents_thread() -> None:
    with contained(MUTEX + FORKS) as pid:
        assert wait_until(lambda: procfs.children(pid))
        (child,) = procfs.children(pid)
        owner = waiter(child).owner
        assert owner in procfs.numbers(f"/proc/{pid}/task")
        assert owner not in procfs.numbers(f"/proc/{child}/task")


def test_threads_in_stacks_have_the_numbers_of_here_and_no_native_stack_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with contained(MUTEX + WAITS) as pid:
        waiter(pid)
        glance = stacks.glance(pid)
        assert glance is not None
        assert glance.foreign == set(procfs.numbers(f"/proc/{pid}/task"))
        assert "<module> (<string>:" in stacks.frames_of(stacks.text(pid), pid)[-1]
        monkeypatch.setattr(stacks, "_ask", lambda argv, limit_s: pytest.fail("py-spy would take other threads for these"))
        assert stacks.native(pid) is None
        assert "ask from within" in sight.no_native(pid)


def test_the_holder_of_a_file_lock_is_told_through_the_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "a lock"
    path.touch()
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert file_locks.holder(os.getpid(), file.fileno()) == os.getpid()
        path.rename(tmp_path / "another name")
        assert file_locks.holder(os.getpid(), file.fileno()) == os.getpid()
        fcntl.flock(file, fcntl.LOCK_UN)
        assert file_locks.holder(os.getpid(), file.fileno()) is None
        with contained(LOCKS, str(tmp_path / "another name")) as pid:
            assert file_locks.holder(os.getpid(), file.fileno()) == pid
    assert file_locks.holder(os.getpid(), 9999) is None


def test_the_first_process_of_a_container_is_known_as_such() -> None:
    with contained(MUTEX + WAITS) as pid:
        assert (containers.is_first(pid), containers.inside(pid), containers.is_here(pid)) == (True, 1, False)
        assert containers.named_inside(1, [os.getpid(), pid]) == [pid]
        assert not containers.is_apart(pid)


def test_a_proc_of_another_namespace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    system.linux()
    monkeypatch.setattr(os, "getpid", lambda: 2**22 - 1)
    with pytest.raises(NotPermitted, match="numbers of another PID namespace"):
        system.linux()


@pytest.mark.parametrize(
    ("main", "first", "said"),
    [
        (50, False, "restart the worker with kill -9"),
        (1, True, "restart the worker's container, whose process 1 it is (kill -9 does nothing to that from inside)"),
        (50, True, "restart the worker's container, whose process 1 it is (kill -9 50 from here does that, too)"),
    ],
)
def test_the_first_process_of_a_container_is_restarted_with_it(main: int, first: bool, said: str) -> None:
    assert Worker(main=main, first=first).restart == said


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("redis://:p@127.0.0.1:6379/0", False), ("redis://localhost", False), ("redis://[::1]:1/0", False), ("redis://", False),
        ("redis+socket:///run/redis.sock", False), ("redis://queue:6379/0", True), ("redis://127.example.com/0", True),
    ],
)  # fmt: skip
def test_a_broker_of_another_network_is_not_looked_for_at_our_own_loopback(url: str, here: bool) -> None:
    assert Worker(main=7, broker=url).broker_here == broker_urls.translated(url)
    assert bool(Worker(main=7, broker=url, apart=True).broker_here) is here


def test_a_worker_that_is_process_1_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {1: ["/v/bin/python", "-m", "celery", "worker"], 8: ["/v/bin/python", "-m", "celery", "worker"]}
    stat = procfs.process(os.getpid())
    assert stat is not None
    monkeypatch.setattr(find, "command", lambda pid: lines.get(pid, []))
    monkeypatch.setattr(procfs, "process", lambda pid: type(stat)(**{**vars(stat), "pid": pid, "parent": {8: 1}.get(pid, 0)}))
    assert (find.main_of(1), find.main_of(8)) == (1, 1)


def test_a_number_from_inside_a_container_leads_to_the_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with contained(MUTEX + WAITS) as pid:
        monkeypatch.setattr(find, "workers", lambda: [Worker(main=pid)])
        assert choose.hint(1).endswith(f"has the number {pid} here: harness why {pid}")
        assert "finds the workers" in choose.hint(2**22 - 1)
