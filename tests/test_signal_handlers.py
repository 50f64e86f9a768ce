"""Whose handlers of signals a running Python has is read out of its memory, and what cannot be read is nobody's."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from harness.live.signal_handlers import AT_THE_END, ENTRIES, SignalHandlers, tables_in

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
    "another signal": ("signal.signal(signal.SIGUSR2, theirs)", set()),
}  # fmt: skip
PROGRAM = """
import asyncio, functools, signal, sys
def theirs(number, frame): pass
class Theirs:
    def called(self, number, frame): pass
{deed}
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("what", HANDLERS)
def test_the_applications_own_handlers_are_read(what: str) -> None:
    deed, expected = HANDLERS[what]
    argv = [sys.executable, "-c", PROGRAM.format(deed=deed)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        known = SignalHandlers()
        first = known.own(process.pid)
        assert {one.name for one in map(signal.Signals, first)} == expected
        assert known.own(process.pid) == first
        assert known._tables, "it was found"
        process.communicate(b"")


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
