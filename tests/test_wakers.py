"""Which processes alone could end a wait: of real processes that wait, and of children that they have started."""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path

import pytest

from harness.machine import descriptors, procfs, shared_memory, since
from harness.observe import wakers
from tests.test_waits import waiting
from tests.waiting import wait_until

SLEEPER = "subprocess.Popen(['sleep', '600'], pass_fds={fds})"
#: a semaphore in memory that is shared with children, as multiprocessing's locks are
SEMAPHORE = "import _multiprocessing; s = _multiprocessing.SemLock(1, 0, 1, '/harness-%d' % os.getpid(), {unlink}); "
#: code that waits without a time limit -> who alone could end that: itself ('own'), itself and its child ('both'), its child
#: ('child'), or nobody knows ('')
WAITS = {
    "a, b = os.pipe(); os.read(a, 1)": "own",
    "a, b = socket.socketpair(); a.recv(1)": "own",
    "a, b = socket.socketpair(); c, d = os.pipe(); e = select.epoll(); e.register(a, 1); e.register(c, 1); e.poll()": "own",
    "a, b = os.pipe(); select.select([a], [], [])": "own",
    "import asyncio; asyncio.run(asyncio.wait_for(asyncio.Event().wait(), None))": "own",
    f"a, b = os.pipe(); {SLEEPER.format(fds='[b]')}; os.read(a, 1)": "both",
    f"a, b = socket.socketpair(); {SLEEPER.format(fds='[b.fileno()]')}; a.recv(1)": "both",
    f"a, b = os.pipe(); {SLEEPER.format(fds='[b]')}; c, _ = os.pipe(); select.select([a, c], [], [])": "both",
    "a, b = os.pipe(); os.fork() or os.read(a, 1) or 1; os.read(a, 1)": "both",
    f"{SLEEPER.format(fds='[]')}.wait()": "child",
    "l = threading.Lock(); l.acquire(); l.acquire()": "own",
    SEMAPHORE.format(unlink=True) + "s.acquire()": "own",
    SEMAPHORE.format(unlink=True) + "os.fork() or s.acquire(); s.acquire()": "both",
    SEMAPHORE.format(unlink=False) + "s.acquire()": "",
    "import fcntl; a, b = (open(sys.argv[1] + '/l', 'w') for _ in 'ab'); fcntl.flock(a, 2); fcntl.flock(b, 2)": "own",
    "import fcntl; a = open(sys.argv[1] + '/l', 'w'); os.set_inheritable(a.fileno(), True); fcntl.flock(a, 2);"
    f"{SLEEPER.format(fds='[a.fileno()]')}; b = open(sys.argv[1] + '/l', 'w'); fcntl.flock(b, 2)": "both",
    "import fcntl; r, w = os.pipe(); a = open(sys.argv[1] + '/l', 'w');"
    "os.fork() or (fcntl.lockf(a, 2), os.write(w, b'.'), time.sleep(600)); os.read(r, 1); fcntl.lockf(a, 2)": "both",
    # the kernel does not tell who holds the lock of an open file description (F_OFD_SETLKW)
    "import fcntl, struct; a, b = (open(sys.argv[1] + '/l', 'w') for _ in 'ab'); l = struct.pack('hhqqi', 1, 0, 0, 0, 0);"
    "fcntl.fcntl(a, 37, l); fcntl.fcntl(b, 38, l)": "",
    "s = socket.create_server(('127.0.0.1', 0)); s.accept()": "",
    "s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); c.recv(1)": "",
    # anybody may send to these
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); s.connect(s.getsockname()); s.recv(1)": "",
    "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); s.recv(1)": "",
    # what a limit, a list that is cut off, a number that leads elsewhere now, or a descriptor on its way could hide
    "a, b = socket.socketpair(); a.setsockopt(1, 20, (600).to_bytes(8, 'little') + bytes(8)); a.recv(1)": "",
    "p = select.poll(); [p.register(os.pipe()[0], 1) for _ in range(70)]; p.poll()": "",
    "a, b = os.pipe(); s = socket.create_server(('127.0.0.1', 0)); e = select.epoll(); n = os.dup(s.fileno());"
    "e.register(n, 1); os.dup2(a, n); e.register(os.dup(a), 1); e.poll()": "",
    "import mmap, struct; open(sys.argv[1] + '/f', 'wb').write(bytes(4096)); f = open(sys.argv[1] + '/f', 'r+b');"
    "m = mmap.mmap(f.fileno(), 4096); os.mkdir(sys.argv[1] + '/d'); os.link(sys.argv[1] + '/f', sys.argv[1] + '/d/f');"
    "os.unlink(sys.argv[1] + '/f'); f.close(); p = ctypes.addressof(ctypes.c_char.from_buffer(m));"
    "ctypes.CDLL(None).syscall(202, ctypes.c_void_p(p), 0, 0, None, None, 0)": "",
    "time.sleep(600)": "",
    "signal.pause()": "",
    "l = threading.Lock(); l.acquire(); l.acquire(timeout=600)": "",
}


@pytest.mark.parametrize(("code", "who"), WAITS.items(), ids=list(WAITS))
def test_the_processes_that_alone_could_end_a_wait_are_told(code: str, who: str, tmp_path: Path) -> None:
    with waiting("import signal; " + code, tmp_path) as process:
        pid = process.pid

        def found() -> tuple[frozenset[int], frozenset[int]]:
            children = procfs.children(pid)
            thread = next(one for one in procfs.threads(pid) if one.tid == pid)
            known = {"own": {pid}, "both": {pid, *children}, "child": set(children), "": set()}
            return wakers.wakers(pid, thread, children), frozenset(known[who])

        try:
            assert wait_until(lambda: procfs.threads(pid)[0].waits_in != "running" and len(set(found())) == 1), found()
            assert who not in ("both", "child") or len(procfs.children(pid)) == 1
        finally:
            Path(f"/dev/shm/sem.harness-{pid}").unlink(missing_ok=True)


def test_a_descriptor_on_its_way_through_a_socket_may_be_the_other_end(tmp_path: Path) -> None:
    code = (
        "a, b = socket.socketpair(); r, w = os.pipe(); socket.send_fds(a, [b'x'], [w]); os.close(w);"
        "c, d = os.pipe(); os.read(c, 1)"
    )
    with waiting(code, tmp_path) as process:
        thread = procfs.threads(process.pid)[0]
        assert wait_until(lambda: procfs.threads(process.pid)[0].waits_in == "read")
        thread = procfs.threads(process.pid)[0]
        assert descriptors.in_flight()
        assert wakers.wakers(process.pid, thread, []) == frozenset()
    assert wait_until(lambda: not descriptors.in_flight())


HIDDEN = {
    "a pipe that is read": f"a, b = os.pipe(); {SLEEPER.format(fds='[b]')}; os.close(b); os.read(a, 1)",
    "a pipe that is full": f"a, b = os.pipe(); {SLEEPER.format(fds='[a]')}; os.close(a); os.write(b, bytes(1 << 20))",
    "a pair": f"a, b = socket.socketpair(); {SLEEPER.format(fds='[b.fileno()]')}; b.close(); a.recv(1)",
}


@pytest.mark.parametrize("what", HIDDEN)
def test_who_has_the_other_end_where_we_may_not_look_is_unknown(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with waiting(HIDDEN[what], tmp_path) as process:
        pid = process.pid

        def found() -> frozenset[int]:
            return wakers.wakers(pid, procfs.threads(pid)[0], procfs.children(pid))

        assert wait_until(lambda: found() == {pid, *procfs.children(pid)} and len(procfs.children(pid)) == 1), found()
        (hidden,) = procfs.children(pid)
        numbers = procfs.numbers
        monkeypatch.setattr(procfs, "numbers", lambda path: [] if path == f"/proc/{hidden}/fd" else numbers(path))
        assert found() == frozenset()


def test_memory_that_is_not_shared_has_no_sharers(tmp_path: Path) -> None:
    with waiting("time.sleep(600)", tmp_path) as process:
        place = int((procfs.read(f"/proc/{process.pid}/maps") or "").partition("-")[0], 16)
        assert shared_memory.sharers(process.pid, place) == frozenset()
        assert shared_memory.sharers(process.pid, 1) == frozenset()


def test_what_was_looked_up_holds_until_the_thread_is_switched_to() -> None:
    from dataclasses import replace

    from harness.observe.looks import ProcessLook
    from tests.test_watchdog import FUTEX

    known = wakers.Wakers()
    look = ProcessLook(pid=7, cpu_s=1.0, children=(), threads=(FUTEX,))
    assert known.told(look)[0].wakers == {7}
    assert known.told(replace(look, threads=(replace(FUTEX, switches=8),)))[0].wakers == frozenset()
    assert known.told(replace(look, threads=(replace(FUTEX, timed=True),)))[0].wakers == frozenset()
    assert known.told(look)[0].wakers == {7}


def test_the_line_of_a_mapping_is_read_with_spaces_in_its_name() -> None:
    line = textwrap.dedent("""\
        7f0000000000-7f0000001000 rw-s 00000000 00:1a 77                         /dev/shm/sem.a b (deleted)
        """)
    found = shared_memory.MAPPING.match(line)
    assert found is not None
    assert found.groups()[2:] == ("s", "00:1a", "77", "/dev/shm/sem.a b (deleted)")


def test_a_connection_that_was_opened_before_a_fork_is_told_and_no_other(tmp_path: Path) -> None:
    code = (
        "server = socket.create_server(('127.0.0.1', 0)); before = socket.create_connection(server.getsockname());"
        "child = os.fork(); after = child and socket.create_connection(server.getsockname()); time.sleep(600)"
    )
    with waiting(code, tmp_path) as process:
        assert wait_until(lambda: len(descriptors.inherited(process.pid, procfs.children(process.pid))) == 1)
        (said,) = descriptors.inherited(process.pid, procfs.children(process.pid))
        assert said.startswith("TCP 127.0.0.1:")
        assert descriptors.inherited(process.pid, []) == []


def test_a_named_semaphore_of_a_process_that_was_killed_is_removed_and_one_in_use_is_not(tmp_path: Path) -> None:
    code = "import multiprocessing; lock = multiprocessing.get_context('spawn').Lock(); time.sleep(600)"
    with waiting(code, tmp_path) as process:
        assert wait_until(lambda: len(shared_memory.semaphores([process.pid])) == 1)
        (file,) = shared_memory.semaphores([process.pid])
        shared_memory.forget([file])
        assert file.exists(), "its process lives"
        assert shared_memory.semaphores([1]) == frozenset()
        process.kill()
        process.wait()
        shared_memory.forget([file, file.with_name("sem.mp-there-is-none")])
    assert not file.exists()


@pytest.mark.parametrize("cpu", sorted(os.sched_getaffinity(0))[:4])
def test_since_when_a_thread_has_not_run_lies_between_its_start_and_now(cpu: int, tmp_path: Path) -> None:
    """Whichever CPU it has run on, and whichever we run on: each has a clock of its own."""
    before = os.sched_getaffinity(0)
    with waiting(f"os.sched_setaffinity(0, {{{cpu}}}); time.sleep(600)", tmp_path) as process:
        assert wait_until(lambda: procfs.threads(process.pid)[0].waits_in == "sleep")
        started, ran = since.started_s(process.pid), since.last_ran_s(process.pid, process.pid)
        assert os.sched_getaffinity(0) == before
        assert started is not None
        assert ran is None or started - 2 * procfs.TICK_S <= ran <= time.monotonic()
        assert (ran is None) is (since._exec_start_s("/proc/thread-self/sched") is None)
    assert since.started_s(process.pid) is None
    assert since.last_ran_s(process.pid, process.pid) is None


def test_on_a_cpu_that_is_not_ours_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(since, "_cpu", lambda pid, tid: 2**12 - 1)
    assert since.last_ran_s(os.getpid(), os.getpid()) is None
