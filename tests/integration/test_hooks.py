"""What a worker tells of its own loop: timers, receivers, commands and readers of the application's, and none of Celery's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import environments
from tests.forking import Forking

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.integration
IMPORTS = """
import celery.worker.consumer.gossip, celery.worker.control, celery.worker.heartbeat, kombu.asynchronous.timer
"""
SCRIPT = """
import sys; sys.path.insert(0, sys.argv[1])
import functools, json, os, threading, types
from celery import Celery, signals
from celery.bootsteps import ConsumerStep
from celery.worker import control, heartbeat
from celery.worker.consumer.gossip import Gossip
from kombu.asynchronous import Hub
from kombu.asynchronous.timer import Timer
from harness.worker import hooks

hub, timer, event = Hub(timer=Timer()), Timer(), threading.Event()
consumer = types.SimpleNamespace(hub=hub, timer=timer)
reads, writes = os.pipe()
{code}
print(json.dumps(hooks.found(consumer)), flush=True)
"""
FOUND = {
    "pass": [],
    "timer.call_repeatedly(2.0, heartbeat.Heart.stop)": [],
    "timer.call_repeatedly(2.0, event.set)": ["a timer that calls Event.set"],
    "hub.timer.call_after(2.0, functools.partial(event.set))": ["a timer that calls Event.set"],
    "hub.add_reader(reads, event.set)": ["a reader that calls Event.set"],
    "hub.add_reader(reads, heartbeat.Heart.stop)": [],
    "signals.heartbeat_sent.connect(lambda **_: event.set(), weak=False)": ["a receiver of heartbeat_sent"],
    "signals.task_received.connect(lambda **_: event.set(), weak=False)": ["a receiver of task_received"],
    "signals.task_revoked.connect(lambda **_: event.set(), weak=False)": ["a receiver of task_revoked"],
    "signals.task_prerun.connect(lambda **_: event.set(), weak=False)": [],  # a task's own, in its own executor
    "hub.on_tick.add(event.set)": ["a callback that calls Event.set"],
    "hub.call_soon(event.set)": ["a callback that calls Event.set"],
    "class Own(ConsumerStep): pass\nconsumer.steps = [Own(consumer), object.__new__(Gossip)]": [
        "a consumer of messages, __main__.Own"
    ],
    "consumer.gossip = types.SimpleNamespace(on=None, event_handlers={'x': event.set})": [
        "a handler of events that calls Event.set"
    ],
    "app = consumer.app = Celery()\n@app.task(name='a', Strategy='shop.strategy:default')\ndef one(): pass": [
        "shop.strategy:default, when a task is received"
    ],
    "app = consumer.app = Celery()\n@app.task(name='a')\ndef one(): pass": [],
    "@control.control_command()\ndef free(state): event.set()": ["the command free"],
}


@pytest.fixture(scope="module")
def forking(celery_environment: environments.Environment) -> Iterator[Forking]:
    with Forking(celery_environment.python, IMPORTS) as one:
        yield one


@pytest.mark.parametrize(("code", "said"), FOUND.items(), ids=list(FOUND))
def test_what_of_the_applications_the_loop_will_call_is_told(forking: Forking, code: str, said: list[str]) -> None:
    line = forking.first_line(SCRIPT.format(code=code), str(ROOT))
    assert line
    assert json.loads(line) == said
