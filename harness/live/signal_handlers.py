"""Whose handlers of signals a running Python process has, read out of its memory: one of the application's may end a wait.

The kernel shows that a signal has a handler, not whose. Python keeps them in one table of 65 entries, a flag and the address of
what `signal.signal` was given (Modules/signalmodule.c: `Handlers`; since 3.12 `_PyRuntime.signals.handlers`). No symbol leads
there in a stripped program; but what a process never handles shows where it is: the 31 real-time signals, which end the table,
have one and the same default in each entry.

If the table cannot be read (an unknown version of Python), each handler may be the application's. Of a program that is no
Python, those count that do not stand for its end: it may go on at SIGHUP or SIGUSR1.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from enum import Enum

from harness.live.foreign import Foreign
from harness.machine import python_layouts
from harness.machine.python_layouts import WORD
from harness.machine.python_memory import Memory, Unreadable
from harness.machine.python_objects import Objects
from harness.worker.own_handlers import TOLD, is_known

ENTRIES, AT_THE_END = 65, 31  # Py_NSIG; SIGRTMIN (34, the first that glibc leaves) to SIGRTMAX (64)
ENTRY = 2 * WORD.size
MOST_BYTES = 1 << 24  # of a program's writable data that are looked through
MOST_TRIES = 3  # a process that has only begun has no table yet
PROGRAMS = frozenset({signal.SIGHUP, signal.SIGUSR1})
NUMBERS = tuple(number for number in range(1, ENTRIES) if number not in (32, 33))  # those two are glibc's
#: that a library in C may have a handler for which ends a wait; `judge.closed` knows those of the others, or none at all
IN_C = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1})


class Whose(Enum):
    """Of a handler in Python's table."""

    NOBODYS = "none of Python's"
    KNOWN = "Celery's, Python's or a green library's"
    THEIRS = "the application's"


class SignalHandlers:
    """Of the processes of one worker, which have the table at the same place if they were forked."""

    def __init__(self) -> None:
        self._tables: list[int] = []  # where one was found
        self._without: dict[int, int] = {}  # processes in which none was found, and how often
        self._whose: dict[tuple[int, int, int], Whose] = {}  # by process, signal and handler
        self._nobodys: dict[int, frozenset[int]] = {}  # the signals for which a process has no handler in Python
        self._known: dict[int, frozenset[int]] = {}  # those for which it has one of Celery's or the like

    def own(self, pid: int) -> frozenset[int]:
        """The signals for which the application has handlers of its own in Python. Empty if that cannot be read."""
        if self._without.get(pid, 0) >= MOST_TRIES:
            return frozenset()
        try:
            with Memory(pid) as memory:
                table = self._table(pid, memory)
                whose = {number: self._whose_is(pid, number, memory, table) for number in NUMBERS}
        except Unreadable:
            self._without[pid] = self._without.get(pid, 0) + 1
            return frozenset()
        self._without.pop(pid, None)
        self._known[pid] = frozenset(number for number, one in whose.items() if one is Whose.KNOWN)
        self._nobodys[pid] = frozenset(number for number, one in whose.items() if one is Whose.NOBODYS)
        return frozenset(number for number, one in whose.items() if one is Whose.THEIRS)

    def known(self, pid: int) -> frozenset[int]:
        """The signals whose handlers end no wait, but the process: with a broker that its loop does not read itself, billiard
        gives each child one for all that end a process (billiard/common.py, `reset_signals`). Empty if `own` could not read
        them."""
        return frozenset() if pid in self._without else self._known.get(pid, frozenset())

    def untold(self, pid: int, caught: frozenset[int]) -> frozenset[int]:
        """Of the signals that a process handles, those of which `own` could not read whose handler that is. One that Python
        does not know of was set by a library in C: faulthandler's end the process, and libev's is for a child that ends."""
        if pid not in self._without:
            return caught & self._nobodys.get(pid, frozenset()) & IN_C
        return caught & (frozenset(TOLD) if python_layouts.is_python(pid) else PROGRAMS)

    def _table(self, pid: int, memory: Memory) -> int:
        for table in self._tables:
            if _is_table(memory, table):
                return table
        for table in _found(pid, memory):
            if _is_table(memory, table):
                self._tables.append(table)
                return table
        raise Unreadable("the table of handlers is not found")

    def _whose_is(self, pid: int, number: int, memory: Memory, table: int) -> Whose:
        place = memory.word(_entry(table, number))
        if (pid, number, place) not in self._whose:
            layout = python_layouts.of_process(pid)
            if layout is None:
                raise Unreadable("its Python is not known")
            objects = Objects(memory, layout)
            if objects.is_none(place) or objects.kind(place).builtin == "int":  # none of Python's; SIG_DFL and SIG_IGN
                whose = Whose.NOBODYS
            elif objects.of_c(place) is not None:  # Celery's and billiard's are Python functions; this one is that of Ctrl-C
                whose = Whose.KNOWN if number == signal.SIGINT else Whose.THEIRS
            else:
                known = is_known(number, _module(objects, place))  # type: ignore[no-untyped-call]
                whose = Whose.KNOWN if known or not Foreign(objects).of(place) else Whose.THEIRS
            self._whose[pid, number, place] = whose
        return self._whose[pid, number, place]


def _module(objects: Objects, place: int) -> str:
    """The module in which a handler was written; '' if that is not known."""
    if partial := objects.partial(place):
        return _module(objects, partial[0])
    if bound := objects.bound(place):
        return _module(objects, bound[0])
    function = objects.function(place)
    return function.module if function else ""


def _entry(table: int, number: int) -> int:
    """Where the address of a signal's handler stands."""
    return table + number * ENTRY + WORD.size


def _is_table(memory: Memory, table: int) -> bool:
    try:
        last = memory.words(_entry(table, ENTRIES - AT_THE_END) - WORD.size, 2 * AT_THE_END)
    except Unreadable:
        return False
    return bool(last[1]) and set(last[1::2]) == {last[1]} and not any(last[::2])


def _found(pid: int, memory: Memory) -> Iterator[int]:
    """Where the table may begin: in the writable data of the program, or of Python's library."""
    for begin, end in python_layouts.data(pid):
        yield from (begin + at for at in tables_in(memory.read(begin, min(end - begin, MOST_BYTES))))


def tables_in(data: bytes) -> list[int]:
    """Where tables begin, in bytes: each ends with one and the same address in so many entries, and with no flag in them."""
    words = memoryview(data[: len(data) // WORD.size * WORD.size]).cast("Q")
    many, found = len(words), list[int]()
    for at in range(2, many - 1, AT_THE_END - 1):  # at least two of these lie in what is looked for
        for place in (at, at + 1):
            if not words[place] or words[place] != words[place - 2] or words[place - 1]:
                continue
            first = last = place
            while first >= 3 and words[first - 2] == words[place] and not words[first - 1] and not words[first - 3]:
                first -= 2
            while last + 2 < many and words[last + 2] == words[place] and not words[last + 1]:
                last += 2
            if (last - first) // 2 + 1 >= AT_THE_END:
                found.append((last + 1) * WORD.size - ENTRIES * ENTRY)
    return list(dict.fromkeys(found))
