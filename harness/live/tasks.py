"""Which tasks a process runs, from the locals of Celery's own frames: the id, the name, since when, its limits. py-spy reads
them without stopping the process. No other local is kept, and none of the application's is looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.live import limits
from harness.live.green_stacks import Stand
from harness.observe import stacks
from harness.observe.roles import TRACER

NAME = re.compile(r'"task": "((?:[^"\\]|\\.)*)"')
LIMITS = re.compile(r'"timelimit": [\[(]([^\])]*)[\])]')  # (hard, soft), in seconds
WORDS = ("uuid", "task", "request", "time_start")
CALLS = "__protected_call__"  # the frame that has the task itself, as `self`


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task that a thread runs: '' and None for what is not known. `since_s`: CLOCK_MONOTONIC; `hard_s` and
    `soft_s`: its time limits in seconds, 0 for none; `limited`: whether it may have limits
    beside these, which could not be read; `stand`: of a greenlet, where it waits."""

    pid: int
    tid: int
    id: str = ""
    name: str = ""
    since_s: float | None = None
    hard_s: float = 0.0
    soft_s: float = 0.0
    limited: bool = False
    stand: Stand | None = None

    @property
    def limit_s(self) -> float:
        """The longer one of its limits; 0 if it has none."""
        return max(self.hard_s, self.soft_s)


def running(pid: int) -> tuple[Task, ...] | None:
    """The tasks of a process; None if it may not be looked at."""
    threads = stacks.dumped(pid, "--nonblocking", "--locals", "--locals")
    return None if threads is None else tuple(_tasks(pid, threads))


def _tasks(pid: int, threads: Iterable[Mapping[str, Any]]) -> Iterable[Task]:
    for thread in threads:
        frames = [frame for frame in thread["frames"] if TRACER.search(frame["filename"])]
        known = {one["name"]: str(one.get("repr") or "") for frame in frames for one in frame.get("locals") or ()
                 if one["name"] in WORDS and one.get("repr")}  # fmt: skip
        known["self"] = next(
            (str(one.get("repr") or "") for frame in reversed(frames) if frame["name"].endswith(CALLS)
             for one in frame.get("locals") or () if one["name"] == "self"), ""
        )  # fmt: skip
        tid = thread.get("os_thread_id")
        if frames and tid:
            yield read(pid, tid, known)


def read(pid: int, tid: int, known: Mapping[str, str]) -> Task:
    """From the locals of Celery's tracer (celery/app/trace.py), as py-spy writes them.

    >>> known = {"uuid": '"8cae"', "time_start": "59145.25", "request": '{"task": "shop.price", "timelimit": [None, 300]}'}
    >>> found = read(7, 7, known)
    >>> found.id, found.name, found.since_s, found.hard_s, found.soft_s
    ('8cae', 'shop.price', 59145.25, 0.0, 300.0)
    """
    request, since = known.get("request", ""), known.get("time_start", "")
    named = NAME.search(request)
    name = named[1] if named else _text(known.get("task", ""))
    hard, soft = limits.first(_limits(request), limits.of_task(pid, known.get("self", "")))
    return Task(
        pid=pid, tid=tid, id=_text(known.get("uuid", "")), name=name,
        since_s=float(since) if re.fullmatch(r"\d+(\.\d+)?", since) else None, hard_s=hard, soft_s=soft,
    )  # fmt: skip


def _limits(request: str) -> tuple[float, float]:
    """Those that its message names: hard and soft."""
    found = LIMITS.search(request)
    parts = [part.strip() for part in found[1].split(",")] if found else []
    hard, soft, *_ = [*(float(part) if re.fullmatch(r"\d+(\.\d+)?", part) else 0.0 for part in parts), 0.0, 0.0]
    return hard, soft


def _text(shown: str) -> str:
    """What a string's repr says; '' for anything else."""
    try:
        found = json.loads(shown)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""
