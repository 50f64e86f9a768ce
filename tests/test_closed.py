"""A wait that crosses processes: hung if none of those that could end it can go on, tried on histories of two and three."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.judge.blocked import How
from harness.judge.watchdog import State, Verdict, judge
from harness.observe.looks import ProcessLook
from harness.observe.roles import Role
from tests.test_watchdog import CHILD, FUTEX, TASK, history

OTHER, THIRD = 300, 400
CHILDREN = {"children": (OTHER,)}
FOR_A_CHILD = {"waits_in": "wait-child", "private": False, "wakers": frozenset({OTHER})}
SHARED = {"private": False, "wakers": frozenset({CHILD, OTHER})}
PIPE = {"waits_in": "read", "private": False, "wakers": frozenset({CHILD, OTHER})}
FILE = {**PIPE, "waits_in": "flock"}


def stuck(pid: int = OTHER, thread: dict[str, Any] | None = None, **process: Any) -> ProcessLook:
    """A process whose one thread waits in a private futex, or as told."""
    one = replace(FUTEX, tid=pid, **(thread or {}))
    return replace(ProcessLook(pid=pid, cpu_s=1.0, children=(), threads=(one,)), **process)


def seen(task: dict[str, Any], *others: ProcessLook, process: dict[str, Any] | None = None, **more: Any) -> Verdict:
    """What is said of a child whose request waits so, beside these processes."""

    def look(i: int) -> dict[str, object]:
        own = replace(ProcessLook(pid=CHILD, cpu_s=1.0, children=(), threads=(replace(FUTEX, **task),)), **(process or {}))
        moved = [replace(one, threads=tuple(replace(t, **at(i, t.tid)) for t in one.threads)) for one in others]
        return {"processes": (own, *moved)}

    def at(i: int, tid: int) -> dict[str, Any]:
        return {name: value(i) for name, value in more.items()} if tid == OTHER else {}

    return judge(history(look=look))


@pytest.mark.parametrize(
    ("task", "process", "how"),
    [
        (FOR_A_CHILD, CHILDREN, How.PROCESSES),
        (PIPE, {}, How.PROCESSES),
        (SHARED, {}, How.SHARED),
        (FILE, {}, How.FILE),
        ({}, CHILDREN, How.FUTEX),
    ],
    ids=["a child", "a pipe", "a lock in shared memory", "a lock on a file", "a lock, beside a child"],
)
def test_a_wait_for_a_process_that_is_locked_out_itself_is_a_hang(
    task: dict[str, Any], process: dict[str, Any], how: How
) -> None:
    verdict = seen(task, stuck(), process=process)
    assert (verdict.state, verdict.how, verdict.pids) == (State.HUNG, how, (CHILD, OTHER))
    assert f"(process {OTHER}, which waits for a lock)" in verdict.reason


def test_a_child_that_writes_into_a_full_pipe_is_told_with_who_should_read_it() -> None:
    full = {"waits_in": "write", "private": False, "wakers": frozenset({CHILD, OTHER})}
    verdict = seen(FOR_A_CHILD, stuck(thread=full), process=CHILDREN)
    assert (verdict.state, verdict.how) == (State.HUNG, How.PROCESSES)
    assert f"(process {OTHER}, which writes to a full pipe or socket of process {CHILD})" in verdict.reason


#: what the other process does -> it may still end the wait
GOES_ON: dict[str, dict[str, Any]] = {
    "it sleeps": {"thread": {"waits_in": "sleep", "timed": True, "private": False}},
    "it waits with a time limit": {"thread": {"timed": True}},
    "it waits for a signal": {"thread": {"waits_in": "pause", "private": False}},
    "it waits for a peer": {"thread": {"waits_in": "recv", "private": False}},
    "it runs": {"thread": {"waits_in": "running"}},
    "it handles an alarm": {"caught": frozenset({14})},
    "it is idle, and will take a task": {"role": Role.IDLE},
    "it has a child that sleeps": {"children": (THIRD,)},
    "it waits for a process that is not the worker's": {
        "thread": {"waits_in": "read", "private": False, "wakers": frozenset({OTHER, 999})}
    },
}


@pytest.mark.parametrize("task", [FOR_A_CHILD, PIPE, SHARED, FILE], ids=["child", "pipe", "shared", "file"])
@pytest.mark.parametrize("other", GOES_ON.values(), ids=GOES_ON)
def test_it_is_none_while_that_process_may_go_on(task: dict[str, Any], other: dict[str, Any]) -> None:
    sleeper = stuck(THIRD, {"waits_in": "sleep", "timed": True, "private": False})
    verdict = seen(task, stuck(**other), sleeper, process=CHILDREN)
    assert verdict.state is State.UNDECIDED
    assert verdict.doubt


ENDED = {"waits_in": "blocked", "state": "Z", "private": False}


def test_a_child_that_has_ended_does_nothing_any_more_but_for_who_waits_for_its_end() -> None:
    assert seen({}, stuck(thread=ENDED), process=CHILDREN).how is How.FUTEX
    assert seen({**SHARED, "wakers": frozenset({CHILD})}, stuck(thread=ENDED), process=CHILDREN).how is How.SHARED
    assert seen(FOR_A_CHILD, stuck(thread=ENDED), process=CHILDREN).state is State.UNDECIDED


def test_the_event_loop_of_a_green_pool_may_yet_hear_of_a_child_that_has_ended() -> None:
    from tests.test_watchdog import green, in_hub

    def look(ended: bool) -> Verdict:
        def at(i: int) -> dict[str, object]:
            thread = replace(FUTEX, **in_hub(i))  # type: ignore[arg-type]
            own = ProcessLook(pid=CHILD, cpu_s=1.0, children=(OTHER,), threads=(thread,), python_tids=frozenset({TASK}))
            own = replace(own, **green(i))  # type: ignore[arg-type]
            return {"processes": (own, stuck(thread=ENDED if ended else None)), "executor_kind": "greenlets"}

        return judge(history(look=at))

    assert look(ended=False).how is How.GREENLET
    assert look(ended=True).state is State.UNDECIDED


def test_a_process_that_is_woken_now_and_then_may_go_on() -> None:
    assert seen(FOR_A_CHILD, stuck(), process=CHILDREN).state is State.HUNG
    assert seen(FOR_A_CHILD, stuck(), process=CHILDREN, switches=lambda i: i).state is State.UNDECIDED
    assert seen(FOR_A_CHILD, stuck(), process=CHILDREN, cpu_s=lambda i: 0.1 * i).state is State.UNDECIDED


def test_the_set_is_followed_to_its_end() -> None:
    waits = {"waits_in": "read", "private": False, "wakers": frozenset({OTHER, THIRD})}
    closed = seen(FOR_A_CHILD, stuck(thread=waits), stuck(THIRD), process=CHILDREN)
    assert (closed.state, closed.pids) == (State.HUNG, (CHILD, OTHER, THIRD))
    sleeper = stuck(THIRD, {"waits_in": "sleep", "timed": True, "private": False})
    assert seen(FOR_A_CHILD, stuck(thread=waits), sleeper, process=CHILDREN).state is State.UNDECIDED
    assert seen(FOR_A_CHILD, stuck(thread=waits), process=CHILDREN).state is State.UNDECIDED, "nobody sees the third"


def test_the_worker_itself_turns_and_may_release_a_lock_that_it_shares_with_its_children() -> None:
    """Its loop runs timers, receivers of signals and commands of the application's."""
    loop = {"waits_in": "epoll", "private": False, "timed": True}

    def look(i: int) -> dict[str, object]:
        own = ProcessLook(pid=CHILD, cpu_s=1.0, children=(), threads=(replace(FUTEX, **SHARED),))  # type: ignore[arg-type]
        main = stuck(thread={**loop, "switches": i}, own_tids=frozenset({OTHER}), role=Role.MAIN)
        return {"processes": (own, main), "furniture": {OTHER: "epoll"}}

    verdict = judge(history(look=look))
    assert verdict.state is State.UNDECIDED
    assert "main process" in verdict.doubt


def test_what_the_workers_own_loop_calls_of_the_application_may_end_a_wait_in_its_process() -> None:
    loop = {"tid": OTHER, "waits_in": "epoll", "private": False, "timed": True}

    def look(i: int, hooks: tuple[str, ...]) -> dict[str, object]:
        threads = (FUTEX, replace(FUTEX, **{**loop, "switches": i}))  # type: ignore[arg-type]
        own = ProcessLook(pid=CHILD, cpu_s=1.0, children=(), threads=threads, own_tids=frozenset({OTHER}), hooks=hooks)
        return {"processes": (own,), "furniture": {OTHER: "epoll"}, "executor_kind": "threads"}

    assert judge(history(look=lambda i: look(i, ()))).how is How.FUTEX
    verdict = judge(history(look=lambda i: look(i, ("a timer that calls Event.set",))))
    assert (verdict.state, "a timer that calls Event.set" in verdict.doubt) == (State.UNDECIDED, True)


@pytest.mark.parametrize("letter", ["T", "t"])
def test_a_stopped_process_may_be_continued_by_whoever_stopped_it(letter: str) -> None:
    assert seen(FOR_A_CHILD, stuck(thread={"state": letter}), process=CHILDREN).state is State.UNDECIDED


def test_a_process_that_a_debugger_holds_is_not_stopped_for_good() -> None:
    assert judge(history(task=lambda i: {"state": "T"})).how is How.STOPPED
    assert judge(history(task=lambda i: {"state": "t"})).state is State.UNDECIDED


def test_a_signal_that_is_handled_only_since_the_worker_was_ready_is_the_applications() -> None:
    assert judge(history(process=lambda i: {"caught": frozenset({1})})).state is State.HUNG
    assert judge(history(process=lambda i: {"caught": frozenset({1}), "new_signals": frozenset({1})})).state is State.UNDECIDED


def test_others_of_the_same_process_that_go_on_may_end_what_crosses_processes() -> None:
    """Two threads: one waits for a child, the other has begun a request just now."""
    from harness.observe.progress import OpenStage

    young = OpenStage(kind="request", pid=CHILD, tid=TASK + 50, number=9, since_s=7.9)

    def look(i: int) -> dict[str, object]:
        threads = (replace(FUTEX, **FOR_A_CHILD), replace(FUTEX, tid=TASK + 50))  # type: ignore[arg-type]
        own = ProcessLook(pid=CHILD, cpu_s=1.0, children=(OTHER,), threads=threads)
        old = OpenStage(kind="request", pid=CHILD, tid=TASK, number=5, since_s=0.0)
        return {"processes": (own, stuck()), "stages": (old, young), "executor_kind": "threads", "executors": 2}

    assert judge(history(look=look)).state is not State.HUNG


def test_a_timer_of_its_own_may_end_a_wait_by_the_signal_that_it_sends() -> None:
    found = judge(history(process=lambda i: {"timer_signals": frozenset({1})}))
    assert (found.state, "a timer that sends SIGHUP" in found.reason) == (State.UNDECIDED, True)
