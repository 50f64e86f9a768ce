"""The memory of a process, as far as somebody has read it: kept, and read again."""

from __future__ import annotations

import gzip
import json
from bisect import bisect_right
from pathlib import Path

from harness.machine.python_layouts import LAYOUTS
from harness.machine.python_memory import Memory, Unreadable
from harness.machine.python_objects import Objects

FOLDER = Path(__file__).parent / "memory"


class Recorded(Memory):
    """A process's own; what was read of it is noted."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.noted: dict[int, bytes] = {}

    def read(self, place: int, size: int) -> bytes:
        found = super().read(place, size)
        if len(found) > len(self.noted.get(place, b"")):
            self.noted[place] = found
        return found

    def pieces(self) -> list[tuple[int, bytes]]:
        """What was noted, put together where it touches."""
        found: list[tuple[int, bytes]] = []
        for place, part in sorted(self.noted.items()):
            begin, before = found[-1] if found else (0, b"")
            if found and place <= begin + len(before):
                found[-1] = (begin, before[: place - begin] + part + before[place - begin + len(part) :])
            else:
                found.append((place, part))
        return found


class Stored(Memory):
    """What was kept."""

    def __init__(self, pieces: list[tuple[int, bytes]]) -> None:
        self.reads, self._places, self._parts = 0, [place for place, _ in pieces], [part for _, part in pieces]

    def read(self, place: int, size: int) -> bytes:
        at = bisect_right(self._places, place) - 1
        begin = place - self._places[at] if at >= 0 else -1
        found = self._parts[at][begin : begin + size] if begin >= 0 else b""
        if len(found) != size:
            raise Unreadable("that was not kept")
        return found

    def with_byte(self, place: int, value: int) -> Stored:
        """The same with one byte changed."""
        at = bisect_right(self._places, place) - 1
        parts = [bytearray(part) for part in self._parts]
        parts[at][place - self._places[at]] = value
        return Stored([(begin, bytes(part)) for begin, part in zip(self._places, parts, strict=True)])


def save(minor: int, places: dict[str, int], memory: Recorded) -> None:
    told = {"places": places, "memory": [[place, part.hex()] for place, part in memory.pieces()]}
    with gzip.GzipFile(FOLDER / f"python3.{minor}.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(told).encode())


def load(minor: int) -> tuple[Objects, dict[str, int]]:
    """The objects of `tests/python_things.py` as they lay in a process of this version, and where."""
    told = json.loads(gzip.decompress((FOLDER / f"python3.{minor}.json.gz").read_bytes()))
    return Objects(Stored([(place, bytes.fromhex(part)) for place, part in told["memory"]]), LAYOUTS[minor]), told["places"]
