"""Ask a worker in a green pool what its greenlets wait in, and read the answer (see `harness.worker.green`)."""

from __future__ import annotations

import json
import math
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.observe import waits
from harness.observe.looks import Greenlet
from harness.observe.roles import BOOTSTRAP, CELERYS, COMPANIONS, INSTALLED, STANDARD

# Innermost frames of a greenlet that waits for a lock, an event or a queue: (file, function) of gevent and eventlet.
LOCKS = (
    ("gevent/thread.py", "acquire"), ("gevent/lock.py", "acquire"), ("gevent/event.py", "wait"), ("gevent/event.py", "get"),
    ("gevent/queue.py", "get"), ("eventlet/semaphore.py", "acquire"), ("eventlet/event.py", "wait"),
    ("eventlet/green/thread.py", "acquire"), ("eventlet/queue.py", "get"), ("threading.py", "acquire"),
    ("threading.py", "wait"), ("gevent/subprocess.py", "wait"), ("gevent/subprocess.py", "_gevent_result_wait"),
)  # fmt: skip
GREEN = re.compile(f"{INSTALLED}(gevent|eventlet|greenlet)/")
STANDARDS = re.compile(f"{STANDARD}(socket|heapq|select)\\.py$")
#: where Celery's own greenlets begin; not in its receivers of events, which the application starts
ROOTS = re.compile(f"{INSTALLED}celery/(?!events/)|/bin/celery$|^<frozen runpy>$|{STANDARD}runpy\\.py$")
#: where a greenlet begins that runs all others, or keeps gevent's native threads (file:function). Whatever else runs green code
#: alone, a sleep or a read of a socket, was spawned by somebody, and may end a wait
RUNS_ALL = re.compile(f"{INSTALLED}(gevent/hub\\.py:run|gevent/threadpool\\.py:.*|eventlet/hubs/[a-z_]+\\.py:run)$")
INNERMOST = 6
PEACE_TIMES, LOST_S = 3.0, 10.0


def ask(pid: int) -> None:
    """Make a worker that can tell its greenlets do so; nothing happens in one that cannot, or that is blocked in C."""
    try:
        os.kill(pid, signal.SIGURG)
    except OSError:
        return


@dataclass
class Turns:
    """When a process may be asked again. Telling takes long on a busy machine, and a process is judged by what it does while it
    is left in peace: for PEACE_TIMES as long as its last answer took. Seconds of one clock.
    """

    told: object = None  # what its last answer is known by
    asked_s: float = -math.inf
    answered_s: float = -math.inf
    took_s: float = 0.0
    pending: bool = False

    def due(self, now: float, told: object) -> bool:
        """Whether to ask now. `told`: what its last answer is known by now, see `answer_id`."""
        if self.pending and told != self.told:
            self.told, self.pending, self.answered_s, self.took_s = told, False, now, now - self.asked_s
        waits_s, since_s = (LOST_S, self.asked_s) if self.pending else (PEACE_TIMES * self.took_s, self.answered_s)
        if now - since_s < waits_s:
            return False
        self.told, self.pending, self.asked_s = told, True, now
        return True


def answer_id(events: Path, pid: int) -> object:
    """Another one for each answer; None while there is none."""
    try:
        found = os.stat(events / f"greenlets-{pid}.json")
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def answer(events: Path, pid: int) -> tuple[Greenlet, ...] | None:
    """The last answer; None where there is none: not a green pool, or its hub is blocked."""
    told = _told(events, pid)
    return None if told is None else tuple(read(frames) for frames in told if frames)


def is_told(events: Path, pid: int) -> bool:
    return (events / f"greenlets-{pid}.json").exists()


def _told(events: Path, pid: int) -> list[list[dict[str, Any]]] | None:
    """The frames of each greenlet, as `harness.worker.green` told them last."""
    try:
        found: list[list[dict[str, Any]]] = json.loads((events / f"greenlets-{pid}.json").read_text())["greenlets"]
    except (OSError, ValueError):
        return None
    return found


def place(events: Path, pid: int, number: int) -> str:
    """Where the greenlet of a request stands, as `waits.place` says it; '' if it told nothing."""
    for frames in _told(events, pid) or ():
        if any(frame["request"] == number for frame in frames):
            return waits.place([f"{frame['function']} ({_short(frame['file'])}:{frame['line']})" for frame in frames])
    return ""


def _short(file: str) -> str:
    """As py-spy shortens it: an installed package from its top, any other file by its name.

    >>> _short("/x/lib/python3.11/site-packages/redis/client.py"), _short("/srv/app/tasks.py")
    ('redis/client.py', 'tasks.py')
    """
    _, installed, rest = file.rpartition("-packages/")
    return rest if installed else file.rpartition("/")[2]


def read(frames: Sequence[dict[str, Any]]) -> Greenlet:
    """One greenlet from its frames, innermost first."""
    inner = frames[:INNERMOST]
    waits = [frame for frame in inner if any(frame["file"].endswith(f) and frame["function"] == n for f, n in LOCKS)]
    struck = any(frame.get("timer") for frame in frames)  # by a Timeout of the loop
    timed = struck or any((frame["timeout"] if frame["timeout"] is not None else -1) >= 0 for frame in waits)
    # gevent's own select and its like wait for an event, too, that a socket sets: where they call it, it is no lock
    linked = inner and inner[0].get("linked") and not GREEN.search(inner[0]["file"])
    on_lock = bool(waits or linked)
    requests = [frame["request"] for frame in frames if frame["request"] is not None]
    return Greenlet(
        request=requests[0] if requests else None, on_lock=on_lock and not timed,
        foreign=_foreign(frames),
    )  # fmt: skip


def _foreign(frames: Sequence[dict[str, Any]]) -> bool:
    """Whether a greenlet runs other code than Celery's own and the green library's, by the files of its frames.

    Innermost first. As with threads (`observe.roles`), its root decides: a listener of Redis or a consumer of kombu's that the
    application started may bring what a task waits for, and somebody's timer shows frames of the standard library alone.
    """
    files = [frame["file"] for frame in frames]
    if all(GREEN.search(file) for file in files):
        return not RUNS_ALL.search(f"{files[-1]}:{frames[-1]['function']}")
    root = next((file for file in reversed(files) if not GREEN.search(file) and not BOOTSTRAP.search(file)), "")
    known = (CELERYS, COMPANIONS, GREEN, STANDARDS)
    return not (ROOTS.search(root) and all(any(one.search(file) for one in known) for file in files))
