"""Waits for somebody else that never end: for another process, or a time. `waiting` is true of them; some can be proved."""

from __future__ import annotations

from typing import Any

from harness.proof.selftest.entry import GREEN, SOON_OVER, Entry, ends, stands
from harness.records.outcomes import Outcome


def _waits(name: str, fault: str, **more: Any) -> Entry:
    """Somebody could still end it, as far as anybody can see: `hung` would be more than can be known."""
    return ends(name, fault, Outcome.WAITING, outside=True, seconds=25.0, settings=SOON_OVER, **more)


ELSEWHERE: tuple[Entry, ...] = (
    _waits("silent-peer", "peer:0"),
    _waits("fifo", "fifo"),
    _waits("sleep-without-end", "sleep:86400", slow=True),
    stands("file-lock-for-ever", "file-lock:0", provable=False, outside=True),
    stands("endless-child", "endless-child", provable=False, outside=True),
    # nobody else is asked: these are hangs, of which the proof lies in more than one process
    stands("deadlocked-child", "deadlocked-child", cause="deadlock"),
    stands("own-worker", "own-worker", provable=False),
    stands("orphaned-shared-lock", "shared-lock:0", cause="deadlock", cause_in=dict.fromkeys(GREEN, "hub-blocked")),
)
