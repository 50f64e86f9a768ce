"""The time limits that a task's message does not name."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import pytest

from harness.judge.blocked import blocked
from harness.live import at_rest, attach, find, limits, tasks
from harness.live.tasks import Task
from harness.machine import python_attributes, since
from tests.test_live import child, seen

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
        assert python_attributes.of_class(os.getpid(), place, NAMES) is None


class Made(Many):
    """Its base has the limit; a class in between may take it away."""


class Freed(Made):
    soft_time_limit = None  # type: ignore[assignment]


class Odd(Made):
    soft_time_limit = "60"  # type: ignore[assignment]


@pytest.mark.parametrize(("kind", "found"), [(Made, {"soft_time_limit": 7.0}), (Freed, {}), (Odd, None)])
def test_the_attributes_of_a_class_are_those_of_its_bases_too(kind: type[Many], found: dict[str, float] | None) -> None:
    assert python_attributes.of_class(os.getpid(), id(one := kind()), NAMES) == found, one


@pytest.mark.parametrize(
    ("shown", "limited"),
    [
        ('{"task": "a.b", "timelimit": [None, None]}', True),  # its class is not known
        ('{"task": "a.b", "timelimit": [300, 200]}', False),
        ('{"task": "a.b", "timelimit": [300, "x"]}', True),
        ('{"task": "a.b", "id": "12...', True),
        ('{"task": "a.b", "timelimit": [No...', True),
    ],
)
def test_a_message_that_is_cut_off_before_its_limits_may_have_any(shown: str, limited: bool) -> None:
    assert tasks.read(7, 7, {"request": shown}).limited is limited


class Job:
    def __init__(self, task: object, hard: object, soft: object, pid: int | None = None) -> None:
        self.correlation_id, self._timeout, self._soft_timeout, self._worker_pid = task, hard, soft, pid


def shown_worker(monkeypatch: pytest.MonkeyPatch, worker: object) -> None:
    """A main process's stack with this object in it, in our own memory."""
    shown = {"name": "self", "repr": f"<Worker at {id(worker):#x}>"}
    stack = [{"frames": [{"name": "start", "filename": "/v/celery/worker/worker.py", "locals": [shown]}]}]
    monkeypatch.setattr(limits.stacks, "dumped", lambda pid, *options: stack)


def test_the_limits_of_a_task_are_those_that_its_pool_enforces(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpid()
    cache = {0: Job("a", None, 45, own), 1: Job("b", 300.5, None), 2: Job("c", "60", None), 3: Job(None, 9, 8, 7)}
    worker = Many(pool=Many(_pool=Many(_cache=cache)))
    shown_worker(monkeypatch, worker)
    known = limits.of_jobs(own)
    assert known is not None
    assert [known.of(1, one) for one in "abc"] == [(0.0, 45.0), (300.5, 0.0), None]
    assert (known.of(own, "no job's"), known.of(1, "")) == ((0.0, 45.0), None)
    found = attach.limited({(1, 7): Task(pid=1, tid=7, id="a", hard_s=20.0, limited=True)}, own)
    assert [(one.hard_s, one.soft_s, one.limited) for one in found.values()] == [(0.0, 45.0, False)]


def test_a_child_of_whose_pool_nothing_can_be_read_may_have_any_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    shown_worker(monkeypatch, worker := Many(pool=None))
    monkeypatch.setattr(limits, "AGAIN_S", 0.0)
    monkeypatch.setattr(at_rest, "AGAIN_S", 0.0)
    assert limits.of_jobs(os.getpid()) is None, worker


def test_a_limit_that_may_be_there_is_still_to_strike() -> None:
    one = seen(child())
    looks = tuple(replace(look, stages=tuple(replace(stage, limit_s=math.inf) for stage in look.stages)) for look in one.looks)
    found = blocked(looks, looks[-1].stages[0])
    assert (found.how, "could not be read" in found.doubt) == (None, True)


@pytest.mark.parametrize(
    ("spaces", "offsets", "found"),
    [
        (("time:[1]", "time:[1]", "time:[1]", "time:[1]"), {}, 50.0),
        (("", "", "", ""), {}, 50.0),  # before Linux 5.6
        (("time:[1]", "time:[1]", "time:[2]", "time:[2]"), {"self": 0, "7": 100}, -50.0),
        (("time:[1]", "time:[1]", "time:[2]", "time:[2]"), {"self": -5, "7": -1000}, 1045.0),
        (("time:[1]", "time:[1]", "time:[2]", "time:[3]"), {"self": 0, "7": 100}, None),
        (("time:[1]", "time:[1]", "time:[2]", "time:[2]"), {"self": 0}, None),
        (("time:[1]", "time:[1]", "", ""), {"self": 0, "7": 100}, None),
    ],
)
def test_a_moment_of_another_time_namespace_is_told_by_our_own_clock(
    monkeypatch: pytest.MonkeyPatch, spaces: tuple[str, ...], offsets: dict[str, int], found: float | None
) -> None:
    """`spaces`: ours, that of our children; theirs, that of their children."""
    names = [f"/proc/{who}/ns/{what}" for who in ("self", 7) for what in ("time", "time_for_children")]
    monkeypatch.setattr(since.procfs, "link", dict(zip(names, spaces, strict=True)).__getitem__)
    files = {f"/proc/{who}/timens_offsets": f"monotonic  {at}  0\nboottime  9  0\n" for who, at in offsets.items()}
    monkeypatch.setattr(since.procfs, "read", files.get)
    assert since.here_s(7, 50.0) == found


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
    shown_worker(monkeypatch, worker)
    assert limits.of_start(os.getpid()) == 60.0
    pool._waiting_to_start.clear()
    assert limits.of_start(os.getpid()) == 0.0, "those that a pool begins with are waited for without a limit"
    monkeypatch.setattr(limits.stacks, "dumped", lambda pid, *options: None)
    assert limits.of_start(os.getpid()) == limits.ALIVE_S
