"""Waiting for something that will come, with a limit that only a failing test reaches."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST_S, LONGEST_S = 0.02, 1.0  # of a rest


def wait_until(condition: Callable[[], object], limit_s: float = 60.0) -> bool:
    """Whether the condition came true in time. Between two questions it rests for as long as one took: a command that is asked
    leaves a core to what is waited for."""
    until = time.monotonic() + limit_s
    while (asked := time.monotonic()) < until:
        if condition():
            return True
        time.sleep(min(max(time.monotonic() - asked, SHORTEST_S), LONGEST_S))
    return False
