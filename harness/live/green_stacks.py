"""Where the greenlets of a green pool stand: what each waits in, and for how long, if it sleeps.

A request of a green pool keeps the address of its greenlet, as the "process" that runs it (celery/concurrency/gevent.py and
eventlet.py, `getpid`; celery/worker/request.py, `worker_pid`); with gevent before Celery 5.3 it has a weak reference to that
alone (`_apply_result`). Its stack is read out of memory (`machine.python_frames`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.machine import python_frames
from harness.machine.python_frames import Frame
from harness.machine.python_memory import Unreadable
from harness.machine.python_objects import Objects
from harness.observe import waits
from harness.observe.roles import INSTALLED, STANDARD, TRACER
from harness.texts import visible

SLEEPS = re.compile(f"{INSTALLED}(gevent/hub|eventlet/greenthread)\\.py$")
SLEEP, SECONDS = "sleep", "seconds"  # the function, and its argument
SOCKET = re.compile(
    f"{INSTALLED}(gevent/(_?socket|_ssl|ssl|_socketcommon|select)[^/]*|eventlet/(hubs/__init__|greenio/[^/]*|green/(ssl|select)))\\.py$"
)
LOCK = re.compile(
    f"{INSTALLED}(gevent/(thread|threading|lock|event|queue)|eventlet/(semaphore|event|queue))\\.py$|{STANDARD}(threading|queue)\\.py$"
)
LOCKED, RESULTS = "a lock, an event or a queue", "the result of another task"
THEIRS = (re.compile(f"{INSTALLED}(?P<file>.*)$"), re.compile(f"{STANDARD}(?P<file>.*)$"))
#: the calls that wait for the result of another task (celery/result.py)
RESULT = re.compile(r"\b(get|join|join_native|iterate|iter_native|collect|get_leaf) \(\S*celery/result\.py")
#: what a greenlet waits for that only somebody else of its process, or another task, can bring
FOR_OTHERS = (LOCKED, RESULTS)
INNERMOST = 3  # frames of the green library above what waits


@dataclass(frozen=True, kw_only=True)
class Stand:
    """Of one greenlet that waits: in words; `sleep_s`: how long the sleep is in which it stands, None if it is in none."""

    what: str
    sleep_s: float | None = None


def of(objects: Objects, request: int) -> Stand | None:
    """Of the greenlet of a request at this address; None if it runs, or cannot be read."""
    for greenlet in (_by_number, _by_reference):
        try:
            return stand(objects, python_frames.of_greenlet(objects, greenlet(objects, request)))
        except Unreadable:
            continue
    return None


def _by_number(objects: Objects, request: int) -> int:
    return int(objects.number(objects.attribute(request, "worker_pid")))


def _by_reference(objects: Objects, request: int) -> int:
    return objects.referent(objects.attribute(request, "_apply_result")) or 0


def stand(objects: Objects, frames: Sequence[Frame]) -> Stand:
    """By its stack, innermost first."""
    at = waits.place(_told(frames))
    sleep = next((one for one in frames[:INNERMOST] if one.name == SLEEP and SLEEPS.search(one.file)), None)
    seconds = _seconds(objects, sleep) if sleep else None
    if seconds is not None:
        return Stand(what=f"a sleep of {seconds:g} s to end, {at}", sleep_s=seconds)
    told = RESULTS if _is_result(frames) else kind([one.file for one in frames[:INNERMOST]])
    return Stand(what=", ".join(part for part in (told, at) if part))


def _is_result(frames: Sequence[Frame]) -> bool:
    """Whether its task waits for the result of another one."""
    task = itertools.takewhile(lambda one: not TRACER.search(one.file), frames)
    return any(RESULT.search(f"{one.name} ({one.file}") for one in task)


def _told(frames: Sequence[Frame]) -> list[str]:
    """As py-spy would write them, down to the innermost one of the application's own."""
    own = next((at for at, one in enumerate(frames) if not any(where.search(one.file) for where in THEIRS)), len(frames))
    return [f"{visible(one.name)} ({visible(shown(one.file))})" for one in frames[: own + 1]]


def kind(files: Sequence[str]) -> str:
    """What a greenlet waits for, by the files of its innermost frames.

    >>> kind(["/v/site-packages/gevent/_socket3.py"]), kind(["/v/lib/python3.11/threading.py"]), kind(["/srv/shop.py"])
    ('a socket', 'a lock, an event or a queue', 'an event of its loop')
    """
    if any(map(SOCKET.search, files)):
        return "a socket"
    return LOCKED if any(map(LOCK.search, files)) else "an event of its loop"


def shown(file: str) -> str:
    """A file as py-spy would show it: packages by their own names, the rest by the last part.

    >>> [shown(f"/v/{one}") for one in ("lib/python3.11/site-packages/gevent/hub.py", "lib/python3.11/queue.py", "a/tasks.py")]
    ['gevent/hub.py', 'queue.py', 'tasks.py']
    """
    found = THEIRS[0].search(file) or THEIRS[1].search(file)
    return found["file"] if found else file.rpartition("/")[2]


def _seconds(objects: Objects, frame: Frame) -> float | None:
    """How long a sleep was asked for; None if that cannot be read."""
    try:
        place = python_frames.local(objects, frame, SECONDS)
        return objects.number(place) if place else None
    except Unreadable:
        return None
