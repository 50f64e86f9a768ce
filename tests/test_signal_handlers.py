"""Whose handlers of signals a running Python has is read out of its memory, and what cannot be read is nobody's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.live.signal_handlers import AT_THE_END, ENTRIES, SignalHandlers, tables_in
from harness.machine import procfs, python_layouts
from tests.waiting import wait_until

HANDLERS = {
    "none": ("pass", set()),
    "a function": ("signal.signal(signal.SIGUSR1, theirs)", {"SIGUSR1"}),
    "a method": ("signal.signal(signal.SIGHUP, Theirs().called)", {"SIGHUP"}),
    "one in C": ("signal.signal(signal.SIGUSR1, signal.default_int_handler)", {"SIGUSR1"}),
    "ignored": ("signal.signal(signal.SIGUSR1, signal.SIG_IGN)", set()),
    "one of Celery's signals": ("signal.signal(signal.SIGTERM, theirs)", {"SIGTERM"}),
    "asyncio's, of Ctrl-C": ("asyncio.run(asyncio.sleep(0))", set()),
    "asyncio's, for good": (
        "runner = asyncio.Runner(); runner.run(asyncio.sleep(0)); signal.signal(signal.SIGINT, functools.partial("
        "runner._on_sigint, main_task=None))", set()
    ),
    "Python's own, of Ctrl-C": ("signal.signal(signal.SIGINT, signal.default_int_handler)", set()),
    "another signal": ("signal.signal(signal.SIGUSR2, theirs)", {"SIGUSR2"}),
    "a loop's": (
        "loop = asyncio.new_event_loop(); [loop.add_signal_handler(one, print) for one in (signal.SIGHUP, signal.SIGINT)]",
        {"SIGHUP", "SIGINT"},
    ),
    "what ends a process": ("signal.signal(signal.SIGABRT, theirs)", {"SIGABRT"}),
}  # fmt: skip
PROGRAM = """
import asyncio, functools, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever has started this may have had it ignored
def theirs(number, frame): pass
class Theirs:
    def called(self, number, frame): pass
{deed}
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def running(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that has said a line, and then reads one."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate(b"")


@pytest.mark.parametrize("what", HANDLERS)
def test_the_applications_own_handlers_are_read(what: str) -> None:
    deed, expected = HANDLERS[what]
    with running([sys.executable, "-c", PROGRAM.format(deed=deed)]) as process:
        known = SignalHandlers()
        first = known.own(process.pid)
        assert {one.name for one in map(signal.Signals, first)} == expected
        assert known.own(process.pid) == first
        assert known._tables, "it was found"


def test_a_handler_that_python_does_not_know_of_may_be_a_library_s() -> None:
    deed = (
        "import ctypes, faulthandler; faulthandler.enable(); libc = ctypes.CDLL(None); keep = ctypes.CFUNCTYPE(None, "
        "ctypes.c_int)(print); [libc.signal(one, keep) for one in (signal.SIGHUP, signal.SIGCHLD)]"
    )
    with running([sys.executable, "-c", PROGRAM.format(deed=deed)]) as process:
        known, caught = SignalHandlers(), procfs.caught_signals(process.pid)
        assert {signal.SIGHUP, signal.SIGCHLD, signal.SIGSEGV, signal.SIGINT} <= caught
        assert known.own(process.pid) == frozenset()
        assert known.untold(process.pid, caught) == {signal.SIGHUP}


TIMERS = """ID: 0
signal: 1/0000000000000000
notify: signal/pid.29860
ClockID: 1
ID: 1
signal: 10/00007f0000000000
notify: none/pid.29860
ClockID: 0
"""


def test_the_signals_of_posix_timers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "read", {"/proc/7/timers": TIMERS, "/proc/9/timers": ""}.get)
    assert [procfs.timer_signals(pid) for pid in (7, 8, 9)] == [{signal.SIGHUP}, set(), set()]


def test_what_cannot_be_read_has_none() -> None:
    assert SignalHandlers().own(2**22 - 1) == frozenset()


def words(*each: int) -> bytes:
    return b"".join(one.to_bytes(8, "little") for one in each)


TABLE = words(*[0, 7, 1, 9] * 17, *[0, 5] * AT_THE_END)


@pytest.mark.parametrize("before", [b"", words(0), words(0, 0, 0), words(5, 5, 5, 5)])
@pytest.mark.parametrize("after", [b"", b"\0", words(0, 0, 0), words(1, 5), words(5)])
def test_a_table_is_found_by_its_end(before: bytes, after: bytes) -> None:
    assert len(TABLE) == (ENTRIES * 2) * 8
    assert tables_in(before + TABLE + after) == [len(before)]


NONE = [b"", words(*[0] * 300), words(*[5] * 300), words(*[0, 5] * (AT_THE_END - 1)), words(*[0, 5, 0, 6] * 60)]


@pytest.mark.parametrize("data", NONE)
def test_what_is_no_table_is_none(data: bytes) -> None:
    assert tables_in(data) == []


PYTHON = [sys.executable, "-c", PROGRAM.format(deed="signal.signal(signal.SIGUSR1, theirs)")]
SHELL = ["/bin/sh", "-c", "trap : USR1 TERM; echo; read line"]


def test_whose_handlers_an_unknown_python_has_is_not_told_and_a_known_one_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running(PYTHON) as process:
        known, caught = SignalHandlers(), frozenset({signal.SIGUSR1, signal.SIGINT, signal.SIGUSR2})
        assert known.own(process.pid) == {signal.SIGUSR1}
        assert known.untold(process.pid, caught) == frozenset()
        monkeypatch.setattr("harness.machine.python_layouts.of_process", lambda pid: None)
        unknown = SignalHandlers()
        assert unknown.own(process.pid) == frozenset()
        assert unknown.untold(process.pid, caught) == {signal.SIGUSR1, signal.SIGINT}


def test_of_a_program_that_is_no_python_a_handler_that_is_no_end_of_it_counts() -> None:
    with running(SHELL) as process:
        known = SignalHandlers()
        assert known.own(process.pid) == frozenset()
        assert known.untold(process.pid, procfs.caught_signals(process.pid)) == {signal.SIGUSR1}


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        ("7f00-7f10 r-xp 0 08:01 7 /usr/lib/libpython3.8.so.1.0", True),
        ("7f00-7f10 r-xp 0 08:01 7 /opt/bin/pypy3.10", True),
        ("7f00-7f10 r-xp 0 08:01 7 /usr/bin/bash\n7f20-7f30 r--p 0 08:01 8 /v/lib/python3.11/site-packages/x.so", False),
    ],
)
def test_a_python_is_known_by_its_program_and_libraries(monkeypatch: pytest.MonkeyPatch, maps: str, expected: bool) -> None:
    monkeypatch.setattr("harness.machine.procfs.read", lambda path: maps)
    monkeypatch.setattr("harness.machine.procfs.link", lambda path: "/usr/bin/uwsgi")
    assert python_layouts.is_python(7) is expected


ASKS = """
import ctypes, sys, threading
threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
print(flush=True)
ctypes.PyDLL(None).pause()
"""


def test_the_gil_lies_among_the_data_of_python() -> None:
    with subprocess.Popen([sys.executable, "-c", ASKS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        def in_data() -> bool:
            places = [one.place for one in procfs.threads(process.pid) if one.tid != process.pid and one.place]
            return any(begin <= place < end for place in places for begin, end in python_layouts.data(process.pid))

        assert wait_until(in_data)
        process.kill()


def test_what_billiard_gives_a_child_for_all_that_ends_it_ends_no_wait() -> None:
    deed = (
        "import types; module = types.ModuleType('billiard.common'); exec('def ends(number, frame): pass', module.__dict__); "
        "[signal.signal(one, module.ends) for one in (signal.SIGALRM, signal.SIGUSR2)]; signal.signal(signal.SIGPROF, theirs)"
    )
    with running([sys.executable, "-c", PROGRAM.format(deed=deed)]) as process:
        handlers = SignalHandlers()
        assert handlers.known(process.pid) == frozenset(), "nobody has read them yet"
        assert handlers.own(process.pid) == {signal.SIGPROF}
        assert handlers.known(process.pid) >= {signal.SIGALRM, signal.SIGUSR2}
        assert signal.SIGPROF not in handlers.known(process.pid)
