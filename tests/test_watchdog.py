"""The judge, tried on histories: what was seen of threads, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.procfs import Thread
from harness.progress import OpenStage
from harness.watchdog import Look, ProcessLook, State, judge

CHILD, TASK, HELPER = 100, 100, 101
FUTEX = Thread(
    tid=TASK, name="python", state="S", cpu_s=1.0, switches=7, waits_in="futex", timed=False, private=True, wait_channel="futex"
)
STAGE = OpenStage(kind="request", pid=CHILD, tid=TASK, number=5, since_s=0.0)
Change = Callable[[int], dict[str, object]]


def PYTHON_HELPER(i: int) -> dict[str, object]:  # noqa: N802
    return {"python_tids": frozenset({TASK, HELPER})}


def history(
    task: Change = lambda i: {},
    helper: Change | None = None,
    process: Change = lambda i: {},
    look: Change = lambda i: {},
    seconds: float = 8.0,
) -> list[Look]:
    """Looks every 0.5 s at one child whose last progress was at 0 s; each Change alters the i-th look's part."""
    looks = []
    for i in range(1, int(seconds / 0.5) + 1):
        threads = [replace(FUTEX, **task(i))]
        if helper is not None:
            threads.append(replace(FUTEX, tid=HELPER, name="helper", **helper(i)))
        child = ProcessLook(pid=CHILD, cpu_s=1.0, children=(), threads=tuple(threads), python_tids=frozenset({TASK}))
        one = Look(
            at_s=0.5 * i,
            ready=True,
            last_progress_s=0.0,
            waiting=3,
            ended=4,
            stages=(STAGE,),
            processes=(replace(child, **process(i)),),
        )
        looks.append(replace(one, **look(i)))
    return looks


def test_a_task_thread_in_an_untimed_private_futex_with_nobody_to_wake_it_is_hung() -> None:
    verdict = judge(history())
    assert verdict.state is State.HUNG
    assert verdict.pids == (CHILD,)
    assert "1 of 1 processes" in verdict.reason


def test_a_hang_is_not_declared_before_its_silence_is_long_enough() -> None:
    assert judge(history(seconds=3.0)).state is State.WORKING


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("the task thread computes", {"process": lambda i: {"cpu_s": 1.0 + 0.4 * i}}),
        ("the task thread sleeps", {"task": lambda i: {"waits_in": "sleep", "timed": True, "private": False}}),
        ("the task thread waits with a time limit", {"task": lambda i: {"timed": True}}),
        ("another process may end the wait", {"task": lambda i: {"private": False}}),
        ("the task thread is woken now and then", {"task": lambda i: {"switches": i}}),
        ("the task thread waits for a child", {"task": lambda i: {"waits_in": "wait-child", "private": False}}),
        ("the task thread waits for a file lock", {"task": lambda i: {"waits_in": "flock", "private": False}}),
        ("what it waits in may not be read", {"task": lambda i: {"waits_in": "unknown", "private": False}}),
        ("a compiler runs below it", {"process": lambda i: {"children": (200,)}}),
        ("a Python helper sleeps: it may hold the lock", {"helper": lambda i: {"waits_in": "sleep"}, "process": PYTHON_HELPER}),
        ("a Python helper waits with a time limit", {"helper": lambda i: {"timed": True}, "process": PYTHON_HELPER}),
        ("a helper reads a socket", {"helper": lambda i: {"waits_in": "recv", "private": False}}),
        ("a helper computes", {"helper": lambda i: {"cpu_s": 0.02 * i, "waits_in": "running"}}),
        ("a helper runs just now", {"helper": lambda i: {"waits_in": "running"}}),
        (
            "a helper has just come",
            {"process": lambda i: {"threads": (FUTEX,) if i < 15 else (FUTEX, replace(FUTEX, tid=HELPER))}},
        ),
        (
            "a helper has just gone",
            {"process": lambda i: {"threads": (FUTEX,) if i > 15 else (FUTEX, replace(FUTEX, tid=HELPER))}},
        ),
        ("the process was not there all the time", {"look": lambda i: {} if i > 15 else {"processes": ()}}),
    ],
)
def test_whatever_may_still_end_is_not_a_hang(what: str, changes: dict[str, Change]) -> None:
    verdict = judge(history(**changes))  # type: ignore[arg-type]
    assert verdict.state is State.UNDECIDED, what
    assert verdict.reason


def test_a_python_thread_that_polls_keeps_the_question_open_and_a_native_one_does_not() -> None:
    def polling(i: int) -> dict[str, object]:
        return {"waits_in": "sleep", "timed": True, "switches": 10 * i}

    assert judge(history(helper=polling)).state is State.HUNG
    foreign = {"python_tids": frozenset({TASK, HELPER})}
    assert judge(history(helper=polling, process=lambda i: foreign)).state is State.UNDECIDED
    unknown = {"python_tids": None}
    assert judge(history(helper=polling, process=lambda i: unknown)).state is State.UNDECIDED


def test_an_event_loop_that_waited_so_from_the_start_does_not_hide_a_hang() -> None:
    def loop(i: int) -> dict[str, object]:
        return {"waits_in": "epoll", "private": False, "timed": True}

    assert judge(history(helper=loop, process=PYTHON_HELPER)).state is State.UNDECIDED
    assert (
        judge(history(helper=loop, process=PYTHON_HELPER, look=lambda i: {"furniture": {HELPER: "epoll"}})).state is State.HUNG
    )


def test_waiting_requests_before_idle_executors_are_stalled_only_after_a_while() -> None:
    def idle(i: int) -> dict[str, object]:
        return {"stages": ()}

    assert judge(history(look=idle, seconds=5.0)).state is State.WORKING
    assert judge(history(look=idle)).state is State.STALLED


def test_waiting_requests_while_the_worker_computes_are_not_stalled() -> None:
    busy = judge(history(look=lambda i: {"stages": ()}, process=lambda i: {"cpu_s": 0.4 * i}))
    assert busy.state is State.UNDECIDED


def test_silence_with_nothing_to_do_is_no_verdict() -> None:
    assert judge(history(look=lambda i: {"stages": (), "waiting": 0})).state is State.WORKING


def test_children_that_die_before_any_answer_are_respawning() -> None:
    dying = judge(history(look=lambda i: {"dead_children": 3, "ended": 0}))
    assert dying.state is State.RESPAWNING
    assert judge(history(look=lambda i: {"dead_children": 3, "ended": 1})).state is not State.RESPAWNING


def test_a_native_timer_is_housekeeping_only_after_a_longer_silence() -> None:
    def slow_timer(i: int) -> dict[str, object]:
        return {"waits_in": "sleep", "timed": True}

    assert judge(history(helper=slow_timer, seconds=6.0)).state is State.UNDECIDED
    assert judge(history(helper=slow_timer, seconds=8.0)).state is State.HUNG
