"""What a worker's own loop calls of the application's, read out of the memory of a real `WorkController` that nobody serves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from harness import environments
from harness.live import loop_calls
from harness.live.loop_calls import LoopCalls
from harness.machine import procfs
from tests.forking import Forking
from tests.waiting import wait_until

pytestmark = pytest.mark.integration
SCRIPT = """
import collections, functools, os, select, sys, threading, types
from celery import Celery, bootsteps, signals
from celery.worker import control, heartbeat
from celery.worker.request import Request
from kombu import Consumer, Queue

app = Celery("shop", broker="{url}")
event, lock = threading.Event(), threading.Lock()
reads, writes = os.pipe()

class Freeing:
    def free(self, *args, **named): event.set()
freeing = Freeing()

@app.task
def price(): pass

{before}
worker = app.Worker(pool_cls="threads", concurrency=2)
consumer, hub, timer = worker.consumer, worker.hub, worker.timer
connection = consumer.connection = app.connection_for_read()
connection.transport
{after}
consumer.update_strategies()
print(os.getpid(), id(worker), flush=True)
select.select([sys.stdin], [], [])
"""
IMPORTS = """
import celery.apps.worker, celery.concurrency.thread, celery.worker.consumer, celery.worker.control
import kombu.transport.memory, kombu.transport.pyamqp, kombu.transport.redis
"""
Read = Callable[[str, str, str], LoopCalls]
REDIS, AMQP = "redis://127.0.0.1:1", "pyamqp://127.0.0.1:1"
SERVED = "transport = connection.transport; hub.add_reader(reads, transport.on_readable, reads)\n"
CALLS = f"{SERVED}transport._callbacks['q']"
CHANNELS = """
from amqp import Channel, Connection
served = Connection("127.0.0.1")
served._transport = types.SimpleNamespace(having_timeout=None)
channel = Channel(served, 1)
hub.add_reader(reads, connection.transport.on_readable, served, hub)
"""
#: code before the worker is made, code after it, what is said
FOUND = {
    "nothing": ("", "", []),
    "own-timer": ("", "timer.call_repeatedly(2.0, heartbeat.Heart.stop)", []),
    "own-method": ("", "timer.call_after(9.0, consumer.reset_rate_limits)", []),
    "timer": ("", "timer.call_repeatedly(2.0, event.set)", ["a timer that calls Event.set"]),
    "timer-canceled": ("", "timer.call_repeatedly(2.0, event.set).cancel()", []),
    "timer-in-c": ("", "timer.call_after(2.0, lock.release)", ["a timer that calls _thread.lock.release"]),
    "timer-of-a-partial": ("", "timer.call_after(2.0, functools.partial(event.set))", ["a timer that calls Event.set"]),
    "timer-with-an-argument": (
        "", "timer.call_after(2.0, consumer.call_soon, (freeing.free,))", ["a timer that calls Freeing.free"],
    ),
    "later": ("", "timer.call_at(1e9, consumer.apply_eta_task, (object(),))", []),
    "reader": ("", "hub.add_reader(reads, freeing.free)", ["a reader that calls Freeing.free"]),
    "writer": ("", "hub.add_writer(writes, freeing.free)", ["a reader that calls Freeing.free"]),
    "soon": ("", "hub.call_soon(freeing.free)", ["a callback that calls Freeing.free"]),
    "tick": ("", "hub.on_tick.add(event.set)", ["a callback that calls Event.set"]),
    "heartbeat": ("signals.heartbeat_sent.connect(freeing.free)", "", ["a receiver of heartbeat_sent"]),
    "received": ("signals.task_received.connect(lambda **_: 0, weak=False)", "", ["a receiver of task_received"]),
    "receiver-is-gone": ("signals.heartbeat_sent.connect(Freeing().free)", "", []),
    "other-signal": ("signals.task_prerun.connect(freeing.free)", "", []),
    "command": ("@control.control_command()\ndef let_go(state): event.set()", "", ["the command let_go"]),
    "gossip": ("", "consumer.gossip.on.node_lost.add(freeing.free)", ["a handler of events that calls Freeing.free"]),
    "messages": ("", "consumer.on_task_message.add(freeing.free)", ["a handler of events that calls Freeing.free"]),
    "own-worker": ("class Own(app.Worker): pass\napp.Worker = Own", "", ["an own Own"]),
    "request": (
        "class Own(Request): pass\nclass Kind(app.Task): Request = Own\n@app.task(base=Kind)\ndef kind(): pass", "",
        ["Own, when a task shop.kind is received"],
    ),
    "own-loop": ("", "consumer.loop = freeing.free", ["an own Freeing.free"]),
    "served": ("", SERVED, []),
    "consumer": (
        "", f"{CALLS} = functools.partial(Consumer(None, callbacks=[freeing.free])._receive_callback)",
        ["a consumer of messages that calls Freeing.free"],
    ),
    "own-consumer": (
        "", f"{CALLS} = Consumer(None, on_message=consumer.create_task_handler())._receive_callback", [],
    ),
}  # fmt: skip
OVER_AMQP = {
    "nothing": ("", CHANNELS, []),
    "consumer": (
        "", f"{CHANNELS}channel.callbacks['1'] = Consumer(None, callbacks=[freeing.free])._receive_callback",
        ["a consumer of messages that calls Freeing.free"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def read(celery_environment: environments.Environment) -> Iterator[Read]:
    """What is read of a worker: the broker's URL, code before it is made, code after it."""
    with Forking(celery_environment.python, IMPORTS) as forking:

        def call(url: str, before: str, after: str) -> LoopCalls:
            told = forking.first_line(SCRIPT.format(url=url, before=before, after=after))
            assert told
            pid, worker = map(int, told.split())
            try:
                assert wait_until(lambda: (call := procfs.call(pid, pid)) is not None and call.kind == "select")
                return loop_calls.read(pid, worker)
            finally:
                os.kill(pid, signal.SIGKILL)

        yield call


@pytest.mark.parametrize("name", FOUND)
def test_what_of_the_applications_the_loop_will_call_is_read(read: Read, name: str) -> None:
    before, after, said = FOUND[name]
    found = read(REDIS, before, after)
    assert (list(found.said[: len(said) or None]), found.most, found.pool) == (said, 2, frozenset())
    assert 0 < found.reads < 600


@pytest.mark.parametrize("name", OVER_AMQP)
def test_consumers_are_read_over_amqp_too(read: Read, name: str) -> None:
    before, after, said = OVER_AMQP[name]
    assert list(read(AMQP, before, after).said) == said


@pytest.mark.parametrize(("url", "after"), [("memory://", ""), (REDIS, "consumer.connection = None")])
def test_what_other_brokers_will_bring_is_not_read(read: Read, url: str, after: str) -> None:
    (said,) = read(url, "", after).said
    assert said.startswith("what could not be read (")


def test_what_is_no_worker_is_not_read_and_says_so(read: Read) -> None:
    found = read(REDIS, "", "worker = consumer")
    assert found.said[0].startswith("what could not be read (")
    assert found.beside([]) == found.said
