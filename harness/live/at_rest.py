"""A reading of a process's memory that is of one moment: its main thread waited meanwhile, or two in a row say the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from harness.machine import procfs, python_layouts
from harness.machine.python_memory import Memory, Unreadable
from harness.machine.python_objects import Objects

TRIES, AGAIN_S = 8, 0.1
T = TypeVar("T")


def read(pid: int, look: Callable[[Objects], T], same: Callable[[T], object] = lambda found: found) -> T | None:
    """What `look` finds; None if that cannot be read: it raises Unreadable. `same`: by what two readings are compared."""
    layout = python_layouts.of_process(pid)
    if layout is None:
        return None
    known: list[object] = []
    for attempt in range(TRIES):
        time.sleep(AGAIN_S if attempt else 0.0)
        before = _switches(pid)
        try:
            with Memory(pid) as memory:
                found = look(Objects(memory, layout))
        except Unreadable:
            known.clear()
            continue
        known.append(same(found))
        if (before and before == _switches(pid)) or known[-2:-1] == known[-1:]:
            return found
    return None


def _switches(pid: int) -> int:
    """How often its main thread was switched to, if it waits; 0 if it does not."""
    thread = next((one for one in procfs.threads(pid) if one.tid == pid), None)
    return thread.switches if thread is not None and thread.waits_in != "running" else 0
