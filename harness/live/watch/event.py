"""What `watch` tells: that a worker is there, changes its state, is restarted or gone, and that the watch itself was late."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from harness.live.wording import duration
from harness.texts import visible

SCHEMA = 1


class Kind(StrEnum):
    NEW = "new"
    STATE = "state"
    RESTARTED = "restarted"
    GONE = "gone"
    LATE = "late"
    END = "end"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One change. `at`: seconds since the epoch; `before`, `after`: states, '' if there is none; `since_s`: how long the worst
    executor has been at it; `worker`: what `why --json` says of the worker; `still_since`: by process, when it last ran, at the
    latest, in seconds since the epoch; of those that are at something alone."""

    at: float
    kind: Kind
    pid: int = 0
    name: str = ""
    before: str = ""
    after: str = ""
    reason: str = ""
    since_s: float | None = None
    worker: dict[str, Any] = field(default_factory=dict)
    still_since: dict[int, float] = field(default_factory=dict)


def line(event: Event) -> str:
    """'2026-01-31T12:00:00Z worker 7 (shop): works -> stuck, for 12 s: 1 of 4 processes stands still …'."""
    if event.kind in (Kind.LATE, Kind.END):
        return f"{moment(event.at)} watch: {visible(event.reason)}"
    who = f"worker {event.pid}{f' ({event.name})' if event.name else ''}"
    states = f"{event.before} -> {event.after}"
    since = f", for {duration(event.since_s)}" if event.since_s is not None else ""
    return visible(f"{moment(event.at)} {who}: {states}{since}: {event.reason}")


def as_json(event: Event) -> str:
    """One line, as the contract has it (schema 1)."""
    return json.dumps({
        "schema": SCHEMA, "at": moment(event.at), "event": event.kind.value, "pid": event.pid, "name": event.name,
        "from": event.before, "to": event.after, "reason": event.reason,
        "since_s": None if event.since_s is None else round(event.since_s, 1), "worker": event.worker,
        "still_since": {str(pid): moment(at) for pid, at in event.still_since.items()},
    })  # fmt: skip


def moment(at: float) -> str:
    """In UTC, to the second.

    >>> moment(0.4)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
