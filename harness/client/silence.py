"""Requests that are never answered on purpose: what the worker's events say of them, read while answers are awaited.

Only somebody's own application has such requests. A revoked one may have an answer as well, which comes first: a number is
given out at the look after the one that found it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from harness.worker import contract

LOOK_EVERY_S = 0.1
REASON = "Ignored: the task answers nothing, on purpose"
ANSWER = json.dumps({"status": "IGNORED", "result": REASON}).encode()  # what stands in the log instead of an answer


class Silence:
    """Reads what was appended to the events since it last looked."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.directory, self.clock = directory, clock
        self._offsets: dict[Path, int] = {}
        self._found: list[int] = []
        self._looked_s = clock()

    def numbers(self) -> list[int]:
        """The requests that the look before this one found; none between two looks."""
        now = self.clock()
        if now - self._looked_s < LOOK_EVERY_S:
            return []
        self._looked_s = now
        ripe, self._found = self._found, self._look()
        return ripe

    def _look(self) -> list[int]:
        return [number for path in sorted(self.directory.glob("*.events")) for number in self._appended(path)]

    def _appended(self, path: Path) -> list[int]:
        with open(path, "rb") as file:
            file.seek(self._offsets.get(path, 0))
            data = file.read()
        events = contract.unpack(data, 0)
        self._offsets[path] = self._offsets.get(path, 0) + len(events) * contract.EVENT_SIZE
        return [event.number for event in events if event.kind == contract.IGNORED]
