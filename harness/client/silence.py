"""Requests that are never answered on purpose: what the worker's events say of them, read while answers are awaited.

Only somebody's own application has such requests. A revoked one may have an answer as well, which comes first: a number is
given out at the look after the one that found it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from harness.records.tail import Tail
from harness.worker import contract

LOOK_EVERY_S = 0.1
REASON = "Ignored: the task answers nothing, on purpose (revoked, or Ignore raised); if that is meant, nothing is wrong"
ANSWER = json.dumps({"status": "IGNORED", "result": REASON}).encode()  # what stands in the log instead of an answer


class Silence:
    """Looks at the events now and then."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._tail = Tail(directory)
        self._found: list[int] = []
        self._looked_s = clock()

    def numbers(self) -> list[int]:
        """The requests that the look before this one found; none between two looks."""
        now = self.clock()
        if now - self._looked_s < LOOK_EVERY_S:
            return []
        self._looked_s = now
        new = [event.number for event in self._tail.new() if event.kind == contract.IGNORED]
        ripe, self._found = self._found, new
        return ripe
