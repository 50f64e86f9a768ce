"""The time limits that a task's message does not name."""

from __future__ import annotations

import os

import pytest

from harness.live import attach, find, limits
from harness.live.tasks import Task
from harness.machine import python_attributes

NAMES = ("time_limit", "soft_time_limit")


class Many:
    """More attributes than a dictionary that shares its keys may have, as Celery's WorkController has."""

    soft_time_limit = 7
    name = "time_limit"

    def __init__(self, **values: object) -> None:
        self.__dict__ |= {f"other_{number}": number for number in range(40)} | values


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"time_limit": 500, "soft_time_limit": 450.5}, {"time_limit": 500.0, "soft_time_limit": 450.5}),
        ({"time_limit": None, "soft_time_limit": "60"}, {}),
        ({"time_limit": 2**40, "soft_time_limit": -5}, {"time_limit": 2.0**40}),
        ({"time_limit": 2**100, "soft_time_limit": True}, {"soft_time_limit": 1.0}),
        ({"time_limits": 5}, {}),
    ],
)
def test_numbers_among_the_attributes_are_read_from_memory(values: dict[str, object], found: dict[str, float]) -> None:
    one = Many(**values)
    assert python_attributes.of_object(os.getpid(), id(one), NAMES) == found
    assert python_attributes.of_class(os.getpid(), id(one), NAMES) == {"soft_time_limit": 7.0}


def test_what_is_no_object_has_no_attributes() -> None:
    for place in (0, 17, 1 << 46, (1 << 64) - 8):
        assert python_attributes.of_object(os.getpid(), place, NAMES) is None
        assert python_attributes.of_class(os.getpid(), place, NAMES) == {}


def test_the_worker_is_found_in_the_stack_of_its_main_process() -> None:
    def frame(name: str, filename: str, shown: str) -> dict[str, object]:
        return {"name": name, "filename": filename, "locals": [{"name": "self", "repr": shown}]}

    step = frame("Blueprint.start", "/v/celery/bootsteps.py", "<Blueprint at 0x7f01>")
    worker = frame("WorkController.start", "/v/celery/worker/worker.py", "<Worker at 0x7f02>")
    old = frame("start", "/v/celery/worker/worker.py", "<Worker at 0x7f03>")
    assert limits.worker_in([{"frames": [step]}, {"frames": [step, worker]}]) == 0x7F02
    assert limits.worker_in([{"frames": [step, old]}]) == 0x7F03
    assert (
        limits.worker_in([{"frames": [step]}, {"frames": [{"name": "start", "filename": "/v/celery/worker/worker.py"}]}]) == 0
    )


def test_a_worker_names_its_limits_in_its_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "celery -A shop worker --time-limit=300 --soft-time-limit 250.5".split()
    monkeypatch.setattr(find, "words_of", lambda pid: line)
    monkeypatch.setattr(limits.stacks, "dumped", lambda pid, *options: None)
    assert limits.of_worker(7) == (300.0, 250.5)


def test_the_worker_s_own_limits_hold_for_what_has_none_of_that_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "of_worker", lambda main: (300.0, 200.0))
    found = attach.limited({(7, 7): Task(pid=7, tid=7), (8, 8): Task(pid=8, tid=8, hard_s=20.0)}, 1)
    assert [(one.hard_s, one.soft_s, one.limit_s) for one in found.values()] == [(300.0, 200.0, 300.0), (20.0, 200.0, 200.0)]


def test_limits_that_could_not_be_read_are_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "words_of", lambda pid: ["celery", "worker"])
    monkeypatch.setattr(limits.stacks, "dumped", lambda pid, *options: None)
    monkeypatch.setattr(limits, "AGAIN_S", 0.0)
    assert limits.of_worker(7) is None
    found = attach.limited({(7, 7): Task(pid=7, tid=7), (8, 8): Task(pid=8, tid=8, hard_s=20.0)}, 1)
    assert [(one.limited, one.limit_s) for one in found.values()] == [(True, 0.0), (False, 20.0)]


def test_a_child_may_take_to_start_what_its_pool_allows_or_the_usual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Many(_proc_alive_timeout=60.0, _waiting_to_start={"a child"})
    worker = Many(pool=Many(_pool=pool))
    shown = {"name": "self", "repr": f"<Worker at {id(worker):#x}>"}
    stack = [{"frames": [{"name": "start", "filename": "/v/celery/worker/worker.py", "locals": [shown]}]}]
    monkeypatch.setattr(limits.stacks, "dumped", lambda pid, *options: stack)
    assert limits.of_start(os.getpid()) == 60.0
    pool._waiting_to_start.clear()
    assert limits.of_start(os.getpid()) == 0.0, "those that a pool begins with are waited for without a limit"
    monkeypatch.setattr(limits.stacks, "dumped", lambda pid, *options: None)
    assert limits.of_start(os.getpid()) == limits.ALIVE_S
