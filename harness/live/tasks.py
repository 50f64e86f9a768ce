"""Which tasks a process runs, from the locals of Celery's own frames: the id, the name, since when, its limits. py-spy reads
them without stopping the process. No other local is kept, and none of the application's is looked at.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.live import limits
from harness.live.green_stacks import Stand
from harness.machine import since
from harness.observe import stacks
from harness.observe.roles import TRACER

NAME = re.compile(r'"task": "((?:[^"\\]|\\.)*)"')
NUMBER = re.compile(r"\d+(\.\d+)?")
LIMITS = re.compile(r'"timelimit": [\[(]([^\])]*)[\])]')  # (hard, soft), in seconds
WORDS = ("uuid", "task", "request", "time_start")
CALLS = "__protected_call__"  # the frame that has the task itself, as `self`


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task that a thread runs: '' and None for what is not known. `since_s`: CLOCK_MONOTONIC; `hard_s` and
    `soft_s`: its time limits in seconds, 0 for none; `limited`: whether it may have limits
    beside these, which could not be read; `stand`: of a greenlet, where it waits; `apart`: its thread runs another greenlet."""

    pid: int
    tid: int
    id: str = ""
    name: str = ""
    since_s: float | None = None
    hard_s: float = 0.0
    soft_s: float = 0.0
    limited: bool = False
    stand: Stand | None = None
    apart: bool = False

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
            found = read(pid, tid, known)
            yield replace(found, since_s=_here(pid, found.since_s))


def read(pid: int, tid: int, known: Mapping[str, str]) -> Task:
    """From the locals of Celery's tracer (celery/app/trace.py), as py-spy writes them.

    >>> known = {"uuid": '"8cae"', "time_start": "59145.25", "request": '{"task": "shop.price", "timelimit": [None, 300]}'}
    >>> found = read(7, 7, known)
    >>> found.id, found.name, found.since_s, found.hard_s, found.soft_s
    ('8cae', 'shop.price', 59145.25, 0.0, 300.0)
    """
    request, began = known.get("request", ""), known.get("time_start", "")
    named = NAME.search(request)
    name = named[1] if named else _text(known.get("task", ""))
    told, of_class = _limits(request), limits.of_task(pid, known.get("self", ""))
    hard, soft = limits.first(told or (0.0, 0.0), of_class or (0.0, 0.0))
    return Task(
        pid=pid, tid=tid, id=_text(known.get("uuid", "")), name=name,
        since_s=float(began) if NUMBER.fullmatch(began) else None, hard_s=hard, soft_s=soft,
        limited=told is None or (of_class is None and not all(told)),
    )  # fmt: skip


def _limits(request: str) -> limits.Limits | None:
    """Those that its message names, hard and soft; None if it is cut off before them: py-spy shows the beginning of a local."""
    found = LIMITS.search(request)
    parts = [part.strip() for part in found[1].split(",")] if found else []
    told = [0.0 if part == "None" else float(part) for part in parts if part == "None" or NUMBER.fullmatch(part)]
    return (told[0], told[1]) if len(told) == len(parts) == 2 else None


def _here(pid: int, since_s: float | None) -> float | None:
    """By our own clock, if the process has another one; None of a moment that is still to come: that clock is not known."""
    found = since.here_s(pid, since_s) if since_s is not None else None
    return found if found is not None and found <= time.monotonic() else None


def _text(shown: str) -> str:
    """What a string's repr says; '' for anything else."""
    try:
        found = json.loads(shown)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""
