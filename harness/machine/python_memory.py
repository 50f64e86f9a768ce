"""The memory of a process at one moment, some pages at once, each but once: nothing is asked of it, and nothing stopped."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from harness.machine.python_layouts import WORD

PAGE = 4096  # bytes
AT_ONCE = 8  # pages
MOST_READS = 2000  # of one reading: 64 MB at most
LOWEST, HIGHEST = 1 << 16, 1 << 47  # where a process's memory may lie


class Unreadable(Exception):
    """What is there is not what was expected, or may not be read: nobody knows."""


class Memory:
    """What is read stays as it was first seen: it is for one reading. `reads`: how often it was read. Raises Unreadable."""

    def __init__(self, pid: int) -> None:
        self.reads = 0
        self._pages: dict[int, bytes] = {}
        try:
            self._file = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unreadable(f"the memory of process {pid} may not be read: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._file)

    def read(self, place: int, size: int) -> bytes:
        """So many, from this address."""
        if not LOWEST <= place < HIGHEST - size or size < 0:
            raise Unreadable("an address leads out of the memory")
        first, begin = divmod(place, PAGE)
        if begin + size <= PAGE:
            return self._page(first)[begin : begin + size]
        last = (place + size - 1) // PAGE
        return b"".join(self._page(number) for number in range(first, last + 1))[begin : begin + size]

    def word(self, place: int) -> int:
        """The 8 bytes at this address, as a number or another address."""
        return int(WORD.unpack(self.read(place, WORD.size))[0])

    def words(self, place: int, count: int) -> list[int]:
        """So many, one after another."""
        found = self.read(place, count * WORD.size)
        return [one[0] for one in WORD.iter_unpack(found)]

    def _page(self, number: int) -> bytes:
        """This page; its neighbours come with it, for what belongs together often lies together."""
        if number not in self._pages:
            if self.reads >= MOST_READS:
                raise Unreadable("more would have to be read than is worth it")
            self.reads += 1
            first = number - number % AT_ONCE
            found = self._there(first, AT_ONCE) or self._there(number, 1)
            if not found:
                raise Unreadable("no memory is at an address")
            begin = first if len(found) > PAGE else number
            for at in range(0, len(found), PAGE):
                self._pages.setdefault(begin + at // PAGE, found[at : at + PAGE])
        return self._pages[number]

    def _there(self, first: int, count: int) -> bytes:
        """So many pages; b'' if not all of them are there."""
        try:
            found = os.pread(self._file, count * PAGE, first * PAGE)
        except OSError:
            return b""
        return found if len(found) == count * PAGE else b""
