"""What a waiting thread waits for is told in words: over real processes that wait, each in its own way."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.machine import descriptors, procfs, sockets
from harness.observe import waits
from tests.waiting import wait_until

AHEAD = "import ctypes, fcntl, os, select, socket, subprocess, sys, threading, time\nprint('up', flush=True)\n"


@contextmanager
def waiting(code: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that waits in this code's last call."""
    argv = [sys.executable, "-c", AHEAD + code, str(path)]
    with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def settled(pid: int, kind: str) -> None:
    def waits_so() -> bool:
        call = procfs.call(pid, pid)
        return call is not None and call.kind == kind

    assert wait_until(waits_so), procfs.call(pid, pid)


#: code -> (kind of the call, what is said of it); {path} is a file of the test's, {me} the process itself
WAYS = {
    "lock = threading.Lock(); lock.acquire(); lock.acquire()": (
        "futex",
        "a lock or condition inside its own process, with no time limit",
    ),
    "lock = threading.Lock(); lock.acquire(); lock.acquire(timeout=600)": (
        "futex",
        "a lock or condition inside its own process",
    ),
    "time.sleep(600)": ("sleep", "a sleep to end"),
    "child = subprocess.Popen(['sleep', '600']); child.wait()": ("wait-child", "its child processes: process {child} sleep"),
    "a, b = socket.socketpair(); a.recv(1)": ("recv", "a Unix socket, with no time limit"),
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('127.0.0.1', 9)); s.recv(1)": (
        "recv",
        "UDP 127.0.0.1:9, with no time limit",
    ),
    "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::1', 0)); s.recv(1)": (
        "recv",
        "UDP from anybody, at [::1]:",
    ),
    "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); s.recv(1)": ("recv", "a netlink socket, with no time limit"),
    "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); s.bind((0, 1)); s.recv(1)": (
        "recv",
        "a netlink socket (uevent), with no time limit",
    ),
    "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + '.s'); s.listen(); s.accept()": (
        "accept",
        "the Unix socket {path}.s, with no time limit",
    ),
    "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + '.s'); s.listen(); c = socket.socket(socket.AF_UNIX);"
    "c.connect(s.getsockname()); a = s.accept(); c.recv(1)": ("recv", "the Unix socket {path}.s, with no time limit"),
    "a, b = os.pipe(); os.read(a, 1)": ("read", "a pipe from itself, with no time limit"),
    "a, b = os.pipe(); os.close(b); c, d = os.pipe(); select.select([c], [], [])": ("select", "a pipe from itself"),
    "a, b = os.pipe(); subprocess.Popen(['sleep', '600'], pass_fds=[b]); os.close(b); os.read(a, 1)": (
        "read",
        "a pipe from process {child} sleep, with no time limit",
    ),
    "a, b = os.pipe(); subprocess.Popen(['sleep', '600'], pass_fds=[a]); os.close(a); os.write(b, b'x' * 10**6)": (
        "write",
        "a pipe to process {child} sleep, with no time limit",
    ),
    "a, b = os.pipe(); select.poll().register(a); p = select.poll(); p.register(a); p.poll()": ("poll", "a pipe from itself"),
    "a, b = os.pipe(); e = select.epoll(); e.register(a); e.poll(600)": ("epoll", "a pipe from itself"),
    "import fcntl; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX)": (
        "flock",
        "a lock on the file {path}, held by process {test} {comm}, with no time limit",
    ),
    "os.mkfifo(sys.argv[1] + '.fifo'); open(sys.argv[1] + '.fifo')": ("open", "a file to be opened"),
}


@pytest.mark.parametrize(("code", "kind", "said"), [(code, *told) for code, told in WAYS.items()], ids=list(WAYS))
def test_what_is_waited_for_is_told_in_words(code: str, kind: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with locked(path), waiting(code, path) as process:
        settled(process.pid, kind)
        children = procfs.children(process.pid)
        known = {"path": path, "test": os.getpid(), "comm": (procfs.read("/proc/self/comm") or "").strip()}
        expected = said.format(child=next(iter(children), 0), **known)  # a child has its name once it runs its program
        assert wait_until(lambda: waits.waits_for(process.pid, process.pid).startswith(expected)), expected


def test_a_silent_peer_is_named_with_its_process_and_state(tmp_path: Path) -> None:
    serve = (
        "s = socket.create_server(('127.0.0.1', 0)); open(sys.argv[1], 'w').write(str(s.getsockname()[1]))\n"
        "c = s.accept(); time.sleep(600)"
    )
    with waiting(serve, tmp_path / "port") as server:
        assert wait_until(lambda: (tmp_path / "port").exists() and (tmp_path / "port").read_text())
        port = (tmp_path / "port").read_text()
        ask = f"s = socket.create_connection(('127.0.0.1', {port})); s.recv(1)"
        with waiting(ask, tmp_path) as client:
            settled(client.pid, "recv")
            settled(server.pid, "sleep")
            told = waits.waits_for(client.pid, client.pid)
            comm = (procfs.read(f"/proc/{server.pid}/comm") or "").strip()
            assert told == f"TCP 127.0.0.1:{port} (established, process {server.pid} {comm}), with no time limit"


def test_of_a_process_that_is_gone_nothing_is_told() -> None:
    assert waits.waits_for(2**22 + 1, 2**22 + 1) == ""
    assert descriptors.leads_to(2**22 + 1, 0) == ""


def test_addresses_are_read_in_both_families() -> None:
    six = "00000000000000000000000001000000:1F90 0000000000000000FFFF00000100007F:0050"
    (one,) = sockets.parse(f"title\n 0: {six} 0A 0:0 0:0 0 0 0 5 1")
    assert (one.local, one.remote, one.state, one.inode) == (("::1", 8080), ("127.0.0.1", 80), "listening", 5)


FRAMES = ["__poll (libc.so.6)", "read (redis/connection.py:9)", "ask (tasks.py:14)", "trace_task (celery/app/trace.py:4)"]


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (FRAMES, "in read (redis/connection.py:9), called from ask (tasks.py:14)"),
        (FRAMES[2:], "in ask (tasks.py:14)"),
        (["wait (x.so)", "load (tasks.py:3)", "send (celery/utils/dispatch/signal.py:7)"], "in load (tasks.py:3)"),
        (["predict (model.py:3)", "timed (harness/worker/serial.py:7)"], "in predict (model.py:3)"),
        (["trace_task (celery/app/trace.py:4)"], ""),
        (["sem_wait (libc.so.6)"], ""),
        ([], ""),
    ],
)
def test_where_it_waits_is_told_from_the_innermost_frame_to_the_task(frames: list[str], said: str) -> None:
    assert waits.place(frames) == said


C_MUTEX = """
libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)
libc.pthread_mutex_init(mutex, None)
"""
LEFT_IN_PARENT = """
taken = threading.Event()
def hold():
    libc.pthread_mutex_lock(mutex); open(sys.argv[1], 'w').write(str(threading.get_native_id())); taken.set(); time.sleep(600)
threading.Thread(target=hold, daemon=True).start()
taken.wait()
if os.fork():
    time.sleep(600)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
libc.pthread_mutex_lock(mutex)
"""
TWICE = """
open(sys.argv[1], 'w').write(str(threading.get_native_id()))
libc.pthread_mutex_lock(mutex)
libc.pthread_mutex_lock(mutex)
"""


@pytest.mark.parametrize(("code", "forks"), [(LEFT_IN_PARENT, True), (TWICE, False)], ids=["fork", "twice"])
def test_a_mutex_names_its_holder_also_across_a_fork(code: str, forks: bool, tmp_path: Path) -> None:
    with waiting(C_MUTEX + code, tmp_path / "tid") as process:
        assert wait_until(lambda: not forks or procfs.children(process.pid))
        pid = procfs.children(process.pid)[0] if forks else process.pid
        settled(pid, "futex")
        assert wait_until(lambda: procfs.threads(pid)[0].owner)
        assert procfs.threads(pid)[0].owner == int((tmp_path / "tid").read_text())
        assert (procfs.threads(pid)[0].owner in procfs.numbers(f"/proc/{pid}/task")) is not forks


def test_the_lock_of_a_file_of_c_is_no_mutex_and_names_nobody(tmp_path: Path) -> None:
    """It waits as a mutex does, and has a pointer where that has its owner."""
    code = """
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
libc.fdopen.restype, libc.fdopen.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_char_p]
libc.flockfile.argtypes = [ctypes.c_void_p]
file = libc.fdopen(os.pipe()[0], b"r")
taken = threading.Event()
def hold():
    libc.flockfile(file); taken.set(); time.sleep(600)
threading.Thread(target=hold, daemon=True).start()
taken.wait()
libc.flockfile(file)
"""
    with waiting(code, tmp_path) as process:
        settled(process.pid, "futex")
        assert {thread.owner for thread in procfs.threads(process.pid)} == {0}


def test_a_lock_of_pythons_names_nobody(tmp_path: Path) -> None:
    with waiting("lock = threading.Lock(); lock.acquire(); lock.acquire()", tmp_path) as process:
        settled(process.pid, "futex")
        assert [thread.owner for thread in procfs.threads(process.pid)] == [0]


def test_every_other_kind_of_socket_is_named_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {
        "raw": " 1: 00000000:0001 00000000:0000 07 0:0 0:0 0 0 0 11 2 0 0",
        "packet": "00000000e0918e1a 2 3 0003 0 0 0 0 12",
        "icmp": " 1: 0100007F:0007 0500000A:0000 01 0:0 0:0 0 0 0 13 2 0 0",
        "netlink": "0000000005fd0f0e 30 0 00000000 0 0 0 2 0 14",
        "unix": "00000000b61ad371: 2 0 0 1 3 15 /run/a b.sock",
    }
    monkeypatch.setattr(
        procfs, "read", lambda path: f"title\n{tables[name]}" if (name := path.split("/")[-1]) in tables else ""
    )
    monkeypatch.setattr(sockets, "kind_of", lambda pid, descriptor: {1: "VSOCK", 2: "TCP"}.get(descriptor, ""))
    said = [sockets.other_in_words(7, 0, inode) for inode in range(11, 16)]
    assert said == [
        "a raw socket (protocol 1)", "a packet socket, which hears the network", "ping 10.0.0.5:0",
        "a netlink socket (protocol 30)", "the Unix socket /run/a b.sock",
    ]  # fmt: skip
    others = [sockets.other_in_words(7, descriptor, 99) for descriptor in (0, 1, 2)]
    assert others == ["a socket", "a VSOCK socket", "a TCP socket that is not connected"]
