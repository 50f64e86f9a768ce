"""What a worker keeps of the tasks that it has begun, read out of the memory of a process: this one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import pytest
from celery.worker import state
from celery.worker.request import Request

from harness.live import active, taken
from harness.machine import python_layouts
from harness.machine.python_layouts import Layout
from harness.machine.python_memory import Memory, Unreadable
from harness.machine.python_objects import Objects


class Hub:
    """An object whose class is made in a module that knows `sys`, as gevent's and eventlet's hubs are."""

    def run(self) -> str:
        return sys.version


class Begun(Request):  # type: ignore[misc]
    def __init__(self, task_id: str, name: str, began: float | None) -> None:
        self.id, self.name, self.time_start = task_id, name, began


@pytest.fixture
def layout() -> Layout:
    found = python_layouts.of_process(os.getpid())
    assert found is not None
    return found


@pytest.fixture
def begun() -> Iterator[list[Begun]]:
    now = time.time()
    found = [Begun("two", "shop.price", now - 5.0), Begun("one", "shop.\u00e9", now - 50.0)]
    for one in found:
        state.active_requests.add(one)
    yield found
    for one in found:
        state.active_requests.discard(one)


def read(layout: Layout, *things: object) -> tuple[active.Task, ...]:
    with Memory(os.getpid()) as memory:
        return active.read(Objects(memory, layout), 7, [id(one) for one in things])


def test_the_tasks_that_a_worker_has_begun_are_read_the_oldest_first(layout: Layout, begun: list[Begun]) -> None:
    hub = Hub()
    found = read(layout, hub)
    assert [(one.id, one.name, one.pid, one.tid) for one in found] == [
        ("one", "shop.\u00e9", 7, 7),
        ("two", "shop.price", 7, 7),
    ]
    assert (found[1].since_s or 0.0) - (found[0].since_s or 0.0) == pytest.approx(45.0, abs=1e-3)
    assert (found[1].since_s or 0.0) < time.monotonic()
    state.active_requests.discard(begun[0])
    assert [one.id for one in read(layout, hub)] == ["one"]
    state.active_requests.discard(begun[1])
    assert read(layout, hub) == ()


def test_which_child_has_taken_a_task_is_read_from_its_request(layout: Layout, begun: list[Begun]) -> None:
    begun[0].worker_pid = 31
    with Memory(os.getpid()) as memory:
        found = taken.read(Objects(memory, layout), 7, [id(hub := Hub())])
    assert hub
    assert [(pid, one.id, one.name) for pid, one in found.items()] == [(31, "two", "shop.price")]


def test_where_nothing_leads_to_a_worker_nothing_is_said(layout: Layout) -> None:
    with pytest.raises(Unreadable, match="nothing in its stack"):
        read(layout, 5, "text")


def test_the_objects_whose_methods_run_are_named_by_py_spy() -> None:
    frames = [
        {"locals": [{"name": "self", "repr": "<Hub at 0x7f10>"}, {"name": "other", "repr": "<Hub at 0x7f20>"}]},
        {"locals": [{"name": "self", "repr": "None"}]}, {"locals": None},
    ]  # fmt: skip
    assert list(active.in_stacks([{"frames": frames}])) == [0x7F10]
