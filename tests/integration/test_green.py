"""What greenlets wait in, as a process of gevent or eventlet itself tells it: real greenlets, each in a wait of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import environments
from harness.observe import greenlets
from tests.forking import Forking

ROOT = Path(__file__).resolve().parent.parent.parent
#: Runs each wait in a greenlet of its own, lets it come to its wait, and prints what is told of it, by its function's name.
GEVENT = """
import sys; sys.path.insert(0, sys.argv[1])
from gevent import monkey; monkey.patch_all()
import functools, json, os, queue, select, socket, subprocess, threading, time
import gevent, gevent.event, gevent.lock, gevent.queue
from harness.worker import green

hub, event = gevent.get_hub(), threading.Event()
timers = [hub.loop.timer(300), hub.loop.timer(300)]
import gevent.pool, greenlet
POOL, HELD, CHECK, RAW = gevent.pool.Pool(2), [], hub.loop.check(), greenlet.greenlet(event.set)
def served():
    from gevent.server import StreamServer
    StreamServer(("127.0.0.1", 0), lambda socket, address: event.set()).start()

started = {
    "by a server": served,
    "by a spawn": lambda: timers[0].start(gevent.spawn, event.set),
    "by a pool": lambda: timers[0].start(POOL.spawn, event.set),
    "by a signal": lambda: HELD.append(gevent.signal_handler(1, event.set)),
    "by a check": lambda: CHECK.start(event.set),
    "by a raw greenlet": lambda: timers[0].start(RAW.switch),
    "by a timer": lambda: timers[0].start(event.set),
    "by a partial": lambda: timers[1].start(functools.partial(event.set)),
    "by a greenlet for later": lambda: gevent.spawn_later(300, event.set),
    "nothing": lambda: None,
}
"""
EVENTLET = """
import sys; sys.path.insert(0, sys.argv[1])
import eventlet; eventlet.monkey_patch()
import functools, json, os, queue, select, socket, subprocess, threading, time
import eventlet.event, eventlet.hubs, eventlet.queue
from harness.worker import green

hub, event = eventlet.hubs.get_hub(), eventlet.event.Event()
import eventlet.greenpool
POOL = eventlet.greenpool.GreenPool(2)
started = {
    "by a spawn": lambda: hub.schedule_call_global(300, eventlet.spawn_n, event.send),
    "by a pool": lambda: hub.schedule_call_global(300, POOL.spawn_n, event.send),
    "by a timer": lambda: hub.schedule_call_global(300, event.send),
    "by a partial": lambda: hub.schedule_call_global(300, functools.partial(event.send)),
    "by a greenlet for later": lambda: eventlet.spawn_after(300, event.send),
    "nothing": lambda: None,
}
"""
TELL = """
def waits():
    CODE

SPAWN(waits)
SLEEP(0.2)
started[sys.argv[2]]()
told = green.everything(sys._getframe())[1:]
print(json.dumps(told), flush=True)
os._exit(0)
"""
#: code -> whether it waits for a lock, an event or a process that only somebody else in here can release, set or end
BOTH = {
    "l = threading.Lock(); l.acquire(); l.acquire()": True,
    "threading.Event().wait()": True,
    "queue.Queue().get()": True,
    "threading.Semaphore(0).acquire()": True,
    "threading.Event().wait(300)": False,
    "queue.Queue().get(timeout=300)": False,
    "time.sleep(300)": False,
    "a, b = socket.socketpair(); a.recv(1)": False,
    "a, b = socket.socketpair(); select.select([a], [], [])": False,
}
OF_GEVENT = {
    "gevent.event.Event().wait()": True,
    "gevent.event.AsyncResult().get()": True,
    "gevent.queue.Queue().get()": True,
    "gevent.lock.Semaphore(0).acquire()": True,
    "subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait()": True,
    "gevent.event.Event().wait(timeout=300)": False,
    "gevent.event.AsyncResult().get(timeout=300)": False,
    "gevent.queue.Queue().get(timeout=300)": False,
    "gevent.Timeout(300).start(); gevent.event.Event().wait()": False,
    "import selectors; a, b = socket.socketpair(); s = selectors.DefaultSelector(); s.register(a, 1); s.select()": False,
    "gevent.spawn(gevent.sleep, 300).join()": False,
    "me = gevent.getcurrent(); timers[0].start(me.throw, KeyError); gevent.event.Event().wait()": False,
    "me = gevent.getcurrent(); timers[0].start(me.kill); gevent.event.Event().wait()": False,
    "class Soon(gevent.Timeout): pass\n    Soon(300).start(); gevent.event.Event().wait()": False,
}
OF_EVENTLET = {
    "eventlet.event.Event().wait()": True,
    "eventlet.queue.Queue().get()": True,
    "eventlet.Timeout(300); eventlet.event.Event().wait()": False,
    "class Soon(eventlet.Timeout): pass\n    Soon(300); eventlet.event.Event().wait()": False,
    "eventlet.greenthread.exc_after(300, KeyError); eventlet.event.Event().wait()": False,
}
CASES = [
    *[("gevent", code, held) for code, held in {**BOTH, **OF_GEVENT}.items()],
    *[("eventlet", code, held) for code, held in {**BOTH, **OF_EVENTLET}.items()],
]
SETUP = {
    "gevent": GEVENT + TELL.replace("SPAWN", "gevent.spawn").replace("SLEEP", "gevent.sleep"),
    "eventlet": EVENTLET + TELL.replace("SPAWN", "eventlet.spawn").replace("SLEEP", "eventlet.sleep"),
}
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


#: imported once; nothing is patched before a program does it, and no event loop is made
IMPORTS = {
    "gevent": "import gevent.event, gevent.lock, gevent.monkey, gevent.pool, gevent.queue, gevent.server, gevent.subprocess",
    "eventlet": "import eventlet.event, eventlet.greenpool, eventlet.hubs, eventlet.queue",
}
Told = Callable[..., list[list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def told(celery_environment: environments.Environment) -> Iterator[Told]:
    """The greenlets of a process in which one waits in this code."""
    python = celery_environment.python
    with Forking(python, IMPORTS["gevent"]) as gevent, Forking(python, IMPORTS["eventlet"]) as eventlet:
        by_library = {"gevent": gevent, "eventlet": eventlet}

        def call(library: str, code: str, started: str = "nothing") -> list[list[dict[str, Any]]]:
            line = by_library[library].first_line(SETUP[library].replace("CODE", code), str(ROOT), started)
            assert line
            found: list[list[dict[str, Any]]] = json.loads(line)
            return found

        yield call


@pytest.mark.parametrize(("library", "code", "held"), CASES, ids=[f"{library} {code}" for library, code, _ in CASES])
def test_a_wait_for_a_lock_is_told_from_one_that_ends_by_itself(told: Told, library: str, code: str, held: bool) -> None:
    found = told(library, code)
    (own,) = [frames for frames in found if any(frame["function"] == "waits" for frame in frames)]
    assert greenlets.read(own).on_lock is held, own
    rest = [greenlets.read(frames) for frames in found if frames is not own]
    if "spawn" not in code:
        assert not any(one.foreign and not one.on_lock for one in rest), found


COMMON = ("by a timer", "by a partial", "by a greenlet for later", "by a spawn", "by a pool")
BY = [("gevent", by) for by in (*COMMON, "by a server", "by a signal", "by a check", "by a raw greenlet")]


@pytest.mark.parametrize(("library", "by"), [*BY, *[("eventlet", by) for by in COMMON]])
def test_what_the_event_loop_will_call_by_itself_may_end_a_wait(told: Told, library: str, by: str) -> None:
    found = told(library, "event.wait()", by)
    rest = [greenlets.read(frames) for frames in found if not any(frame["function"] == "waits" for frame in frames)]
    assert any(one.foreign and not one.on_lock for one in rest), found


def test_a_sleep_of_gevents_that_somebody_spawned_may_end_a_wait(told: Told) -> None:
    found = told("gevent", "gevent.spawn(gevent.sleep, 300).link(lambda _: event.set()); event.wait()")
    rest = [greenlets.read(frames) for frames in found if not any(frame["function"] == "waits" for frame in frames)]
    assert any(one.foreign and not one.on_lock for one in rest), found
