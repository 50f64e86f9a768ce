"""Where greenlets stand, read out of memory: of the Pythons of 3.7 to 3.15, as it was kept, and of the one that runs."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from harness.live import green_stacks
from harness.live.green_stacks import Stand
from harness.machine import python_frames, python_layouts
from harness.machine.python_frames import Frame
from harness.machine.python_layouts import LAYOUTS
from harness.machine.python_memory import Memory, Unreadable
from harness.machine.python_objects import Objects
from tests import stored_memory
from tests.python_reading import stack

CELERY = "/v/lib/python3.11/site-packages/celery"
GEVENT, EVENTLET = "/v/lib/python3.11/site-packages/gevent", "/v/lib/python3.11/site-packages/eventlet"
#: its frames are those of 3.8
KEPT = [minor for minor in LAYOUTS if minor != 9]


@pytest.mark.parametrize("minor", KEPT)
def test_a_stack_and_its_locals_are_read_in_each_version(minor: int) -> None:
    objects, places = stored_memory.load(minor)
    frames, doubled, none = stack(objects, places["waiting"])
    assert frames == ["asks (python_things.py)", "calls (python_things.py)"]
    assert (doubled, none) == (5.0, 0)


def greenlet(*parts: Any) -> Any:
    """An object as greenlet has them, whose C++ part is a tuple of these; behind that lies the part of another one."""
    made = type(python_frames.GREENLET, (), {"__slots__": ("a", "b", "part")})()
    made.part = (*parts, *[0] * python_frames.PART_WORDS, sys._getframe())
    return made


@pytest.fixture
def objects() -> Any:
    layout = python_layouts.of_process(os.getpid())
    assert layout is not None
    with Memory(os.getpid()) as memory:
        yield Objects(memory, layout)


def test_the_one_frame_that_a_greenlets_own_part_leads_to_is_its_innermost(objects: Objects) -> None:
    waits = greenlet("a", 7, sys._getframe())
    request = SimpleNamespace(worker_pid=id(waits))
    assert (
        python_frames.of_greenlet(objects, id(waits))[0].name
        == "test_the_one_frame_that_a_greenlets_own_part_leads_to_is_its_innermost"
    )
    found = green_stacks.of(objects, id(request))
    assert found is not None
    assert found.what.startswith("an event of its loop, in test_the_one_frame")


def test_a_greenlet_that_runs_and_what_is_none_show_nothing(objects: Objects) -> None:
    for thing in (greenlet("a", 7), SimpleNamespace(part=sys._getframe())):
        with pytest.raises(Unreadable):
            python_frames.of_greenlet(objects, id(thing))
        assert green_stacks.of(objects, id(SimpleNamespace(worker_pid=id(thing)))) is None
    assert green_stacks.of(objects, id(SimpleNamespace(worker_pid=os.getpid()))) is None


def frame(name: str, file: str) -> Frame:
    return Frame(name=name, file=file, code=0, locals=0)


@pytest.mark.parametrize(
    ("frames", "seconds", "expected"),
    [
        ([("sleep", f"{GEVENT}/hub.py"), ("run", "/srv/tasks.py")], 60.0,
         Stand(what="a sleep of 60 s to end, in sleep (gevent/hub.py), called from run (tasks.py)", sleep_s=60.0)),
        ([("switch", f"{EVENTLET}/hubs/hub.py"), ("sleep", f"{EVENTLET}/greenthread.py"), ("run", "/srv/tasks.py")], 0.5,
         Stand(what="a sleep of 0.5 s to end, in switch (eventlet/hubs/hub.py), called from run (tasks.py)", sleep_s=0.5)),
        ([("sleep", f"{GEVENT}/hub.py"), ("run", "/srv/tasks.py")], None,
         Stand(what="an event of its loop, in sleep (gevent/hub.py), called from run (tasks.py)")),
        ([("recv", f"{GEVENT}/_socketcommon.py"), ("ask", "/srv/tasks.py")], None,
         Stand(what="a socket, in recv (gevent/_socketcommon.py), called from ask (tasks.py)")),
        ([("acquire", f"{GEVENT}/thread.py"), ("book", "/srv/shop.py"), ("run", "/srv/tasks.py")], None,
         Stand(what="a lock, an event or a queue, in acquire (gevent/thread.py), called from book (shop.py)")),
        ([("wait_for", f"{CELERY}/backends/asynchronous.py"), ("get", f"{CELERY}/result.py"), ("sell", "/srv/shop.py"),
          ("trace_task", f"{CELERY}/app/trace.py")], None,
         Stand(what="the result of another task, in wait_for (celery/backends/asynchronous.py), called from sell (shop.py)")),
        ([("trampoline", f"{EVENTLET}/hubs/__init__.py"), ("ask", "/srv/tasks.py")], None,
         Stand(what="a socket, in trampoline (eventlet/hubs/__init__.py), called from ask (tasks.py)")),
        ([("wait", "/usr/lib/python3.11/threading.py"), ("ask", "/srv/tasks.py")], None,
         Stand(what="a lock, an event or a queue, in wait (threading.py), called from ask (tasks.py)")),
        ([("sleep", "/srv/gevent/hub.py")], 60.0, Stand(what="an event of its loop, in sleep (hub.py)")),
    ],
)  # fmt: skip
def test_what_a_greenlet_waits_for_is_told_by_its_innermost_frames(
    monkeypatch: pytest.MonkeyPatch, objects: Objects, frames: list[tuple[str, str]], seconds: float | None, expected: Stand
) -> None:
    monkeypatch.setattr(green_stacks, "_seconds", lambda objects, frame: seconds)
    assert green_stacks.stand(objects, [frame(*one) for one in frames]) == expected
