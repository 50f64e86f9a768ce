"""Which packages' libraries are linked to a library, from the files' own lists (ELF, DT_NEEDED). 64 bits, little endian."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

HEADER, SEGMENT, ENTRY = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ"), struct.Struct("<QQ")
LOAD, DYNAMIC = 1, 2
NEEDED, STRINGS, STRINGS_SIZE = 1, 5, 10
MAGIC = b"\x7fELF\x02\x01"


def packages(library: str, mapped: Sequence[str]) -> set[str]:
    """The packages below site-packages of which a mapped file needs the library, also through others; and its own."""
    names, found = {Path(library).name}, {library}
    while True:
        more = {file for file in mapped if file not in found and _needs(file, names)}
        if not more:
            return {root for file in found if (root := package(file))}
        found |= more
        names = {Path(file).name for file in found}


def _needs(file: str, names: Iterable[str]) -> bool:
    """Whether it needs one of these files: 'libgomp.so.1' means 'libgomp.so.1.0.0', too."""
    return any(name.startswith(wanted) for wanted in needed(file) for name in names)


def package(file: str) -> str:
    """
    >>> package("/v/lib/python3.11/site-packages/faiss/_swigfaiss.so"), package("/v/site-packages/faiss_cpu.libs/libgomp.so.1")
    ('faiss', '')
    """
    _, mark, rest = file.rpartition("/site-packages/")
    first = rest.split("/")[0] if mark else ""
    return "" if first.endswith(".libs") else first.partition(".")[0]


@cache
def needed(file: str) -> tuple[str, ...]:
    """The names of the libraries that a file needs; none if it cannot be read."""
    try:
        with open(file, "rb") as opened:
            data = opened.read(HEADER.size)
            if not data.startswith(MAGIC):
                return ()
            fields = HEADER.unpack(data)
            opened.seek(fields[5])
            segments = [SEGMENT.unpack(opened.read(SEGMENT.size)) for _ in range(fields[10])]
            dynamic = next((one for one in segments if one[0] == DYNAMIC), None)
            if dynamic is None:
                return ()
            opened.seek(dynamic[2])
            entries = list(_entries(opened.read(dynamic[5])))
            told = dict(entries)
            place, size = told[STRINGS], told[STRINGS_SIZE]
            offset = next(one[2] + place - one[3] for one in segments if one[0] == LOAD and one[3] <= place < one[3] + one[6])
            opened.seek(offset)
            strings = opened.read(size)
    except (OSError, struct.error, KeyError, StopIteration):
        return ()
    return tuple(strings[value:].partition(b"\0")[0].decode("utf-8", "replace") for tag, value in entries if tag == NEEDED)


def _entries(data: bytes) -> Iterator[tuple[int, int]]:
    for tag, value in ENTRY.iter_unpack(data[: len(data) - len(data) % ENTRY.size]):
        if tag == 0:
            return
        yield tag, value
