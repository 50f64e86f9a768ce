"""`harness why`: what is said of a worker that runs, over plain values; real ones in `integration/test_why.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.errors import Exit
from harness.judge.blocked import How
from harness.live import answer, attach, find, kept, main_loop, screen, subtasks, tasks, waits
from harness.live.answer import Report
from harness.live.attach import Seen
from harness.live.command import CODES
from harness.live.executor import State
from harness.live.find import Worker
from harness.live.green_stacks import Stand
from harness.live.kept import Kept
from harness.live.loop_calls import LoopCalls
from harness.live.tasks import Task
from harness.live.waits import Evidence, Wait
from harness.machine import containers
from harness.observe.looks import Look, ProcessLook
from harness.observe.progress import OpenStage
from harness.observe.roles import Role
from tests.test_watchdog import FUTEX

MAIN, CHILD, SECOND = 50, 60, 61
STEP_S, NOW_S = 0.25, 1000.0
LOOP = replace(FUTEX, tid=MAIN, waits_in="epoll", timed=True, private=False)
SLEEP = {"waits_in": "sleep", "timed": True, "private": False}
GREEN = Task(pid=MAIN, tid=MAIN, id="green", name="shop.price", since_s=NOW_S - 40.0)
READS = {"waits_in": "recv", "private": False}


def child(pid: int = CHILD, role: Role = Role.RUNNING, **thread: Any) -> ProcessLook:
    tracing = frozenset({pid}) if role is Role.RUNNING else frozenset()
    one = replace(FUTEX, tid=pid, **thread)
    return ProcessLook(
        pid=pid, cpu_s=1.0, children=(), threads=(one,), python_tids=frozenset({pid}), role=role, tracing=tracing
    )


def seen(*children: ProcessLook, since_s: float = 60.0, pool: str = "prefork", moves: Any = None, **more: Any) -> Seen:
    """Ten looks at a worker whose children have each run a task for so long."""
    pids = tuple(one.pid for one in children)
    main = ProcessLook(
        pid=MAIN, cpu_s=1.0, children=pids, threads=(LOOP,), python_tids=frozenset(), own_tids=frozenset({MAIN}), role=Role.MAIN
    )
    kinds = {Role.STARTING: "start", Role.ENDING: "end", Role.RUNNING: "task"}
    stages = tuple(
        OpenStage(kind=kinds[one.role], pid=one.pid, tid=one.pid, number=place, since_s=NOW_S - since_s)
        for place, one in enumerate(children)
        if one.role in kinds
    )
    looks = []
    for i in range(10):
        changed = [
            replace(one, threads=tuple(replace(t, **(moves(i) if moves else {})) for t in one.threads)) for one in children
        ]
        looks.append(
            Look(
                at_s=NOW_S - STEP_S * (9 - i), ready=True, last_progress_s=NOW_S - since_s, waiting=0, ended=0, stages=stages,
                processes=(main, *changed), furniture={MAIN: "epoll"}, executors=len(children) or 1,
                executor_kind="processes" if pool == "prefork" else "threads",
            )
        )  # fmt: skip
    known = tuple(
        Task(pid=one.pid, tid=one.pid, id=f"id-{one.pid}", name="shop.price") for one in children if one.role is Role.RUNNING
    )
    values: dict[str, Any] = {"tasks": known, "moved": False, "blind": (), **more}
    return Seen(worker=Worker(main=MAIN, pool=pool, app="shop:app"), pool=pool, looks=tuple(looks), **values)


def said(one: Seen, deep: bool = True, broker: dict[str, Any] | None = None, **more: Any) -> Report:
    places = {(stage.pid, stage.tid) for stage in one.last.stages}
    values: dict[str, Any] = {
        "waits": dict.fromkeys(places, Wait(what="a lock, in price (shop.py:7)")),
        "frames": dict.fromkeys(places, ("sem_wait (libc.so.6)", "PyThread_acquire_lock (python3)", "price (shop.py:7)")),
        "lost": {},
        **more,
    }
    return answer.report(one, Evidence(deep=deep, **values), broker or {})


def test_a_child_that_nobody_can_free_is_stuck_with_its_task_and_what_to_do() -> None:
    found = said(seen(child(), child(SECOND, Role.IDLE)))
    assert (found.state, found.cause, found.idle) == (State.STUCK, "deadlock", 1)
    assert found.reason == (
        "1 of 2 processes stands still: process 60 runs a task: shop.price[id-60] for 60 s, and waits for a lock, in price "
        "(shop.py:7)"
    )
    assert found.now.startswith("kill -9 60: that ends this child alone")
    assert "take locks in one order" in found.for_good
    assert [(one.state, one.how, one.task_id) for one in found.executors] == [(State.STUCK, How.FUTEX, "id-60")]


def test_a_task_whose_limits_could_not_be_read_may_still_be_ended_by_one() -> None:
    task = Task(pid=CHILD, tid=CHILD, id="id", since_s=NOW_S - 60.0, limited=True)

    def of(one: ProcessLook) -> Report:
        looks = [(look.at_s, look.processes) for look in seen(one).looks]
        running = {(CHILD, CHILD): task}
        return said(attach.seen_from(Worker(main=MAIN, pool="prefork"), looks, running, running, {MAIN, CHILD}))

    found = of(child())
    assert (found.state, "time limits" in found.executors[0].doubt) == (State.WAITING, True)
    assert of(child(state="T")).state is State.STUCK


@pytest.mark.parametrize(("since_s", "state"), [(30.0, State.WAITING), (70.0, State.STUCK)])
def test_a_child_that_its_pool_may_end_as_it_starts_is_not_yet_stuck(since_s: float, state: State) -> None:
    one = seen(child(role=Role.STARTING), since_s=since_s)
    looks = tuple(replace(look, stages=tuple(replace(stage, limit_s=60.0) for stage in look.stages)) for look in one.looks)
    found = said(replace(one, looks=looks))
    assert found.state is state
    assert ("No task is there" in found.now) is (state is State.STUCK)
    assert ("longer than 60 s to start" in found.executors[0].doubt) is (state is State.WAITING)


@pytest.mark.parametrize(("held", "state"), [(lambda i: True, State.WAITING), (lambda i: i % 2, State.WORKS)])
def test_what_a_debugger_holds_all_the_while_does_not_work(held: Any, state: State) -> None:
    sleeps = seen(child(waits_in="sleep", timed=True, private=False), moves=lambda i: {"state": "t" if held(i) else "S"})
    found = said(sleeps)
    assert found.state is state
    assert found.executors[0].doubt.startswith("a debugger holds process 60") or state is State.WORKS


def test_a_worker_that_was_told_to_end_starts_no_other_child() -> None:
    one = seen(child(), child(SECOND, Role.IDLE))
    found = answer.report(one, Evidence(waits={}, frames={}, lost={}, deep=False), {}, ends=True)
    assert found.now.startswith(
        "kill -9 60: that ends this child alone, and the worker, which was told to end, can do so. A task"
    )


def test_what_is_stopped_is_continued_and_not_ended() -> None:
    found = said(seen(child(state="T")))
    assert (found.state, found.cause) == (State.STUCK, "stopped")
    assert found.now.startswith("kill -CONT 60, once it is known who stopped it")


@pytest.mark.parametrize(("cores", "state"), [(0.01, State.WORKS), (0.0001, State.WAITING)])
def test_what_is_stopped_and_continued_in_turns_is_not_stuck(cores: float, state: State) -> None:
    found = said(seen(child(state="T", waits_in="blocked"), moves=lambda i: {"switches": 3 * i, "cpu_s": cores * STEP_S * i}))
    assert (found.state, found.cause) == (state, "")
    turns = "process 60 is stopped and continued in turns, as cpulimit does it"
    assert turns in (found.reason if state is State.WORKS else found.executors[0].doubt)
    assert "kill" not in found.now


def test_a_child_that_cannot_end_is_told_as_that_and_what_waits_there() -> None:
    place = {(CHILD, CHILD): ("join (threading.py:9)", "process_destructor (celery/concurrency/prefork.py:108)")}
    found = said(seen(child(role=Role.ENDING)), frames=place)
    assert (found.state, found.cause, found.executors[0].does) == (State.STUCK, "deadlock", "is ending")
    assert "process 60 is ending for 60 s, and waits for a lock" in found.reason
    assert found.now.endswith("No task is there")  # and SIGTERM ends it, too, if it waits in Python
    assert found.for_good.startswith("let each handler of worker_process_shutdown wait with a time limit")
    other = said(seen(child(role=Role.ENDING)), frames={(CHILD, CHILD): ("join (threading.py:9)",)})
    assert "worker_process_shutdown" not in other.for_good


def test_an_ending_child_of_a_real_look_is_at_its_end_since_it_last_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "last_ran_s", lambda pid, tid: NOW_S - 60.0)
    ends = replace(child(role=Role.ENDING), tracing=frozenset())
    looks = [(NOW_S + i * STEP_S, (child(MAIN, role=Role.MAIN), ends)) for i in range(10)]
    one = attach.seen_from(Worker(main=MAIN, pool="prefork", known=True), looks, {}, {}, {MAIN, CHILD})
    assert [(stage.kind, stage.pid, stage.since_s) for stage in one.last.stages] == [("end", CHILD, NOW_S - 60.0)]


def test_no_stacks_are_promised_that_nobody_keeps() -> None:
    for_a_child = {"waits_in": "wait-child", "private": False, "wakers": frozenset({SECOND})}
    found = said(seen(child(**for_a_child), child(SECOND)))
    assert found.support[0] == "the processes that it waits for stand still themselves"
    assert "lie beside" not in " ".join(found.support)


GROUP = "/sys/fs/cgroup/docker/a b"


@pytest.mark.parametrize(("name", "word"), [("cgroup.freeze", "0"), ("freezer.state", "THAWED")])
def test_what_is_frozen_is_thawed_whatever_call_it_was_in(name: str, word: str) -> None:
    one = seen(replace(child(state="D", waits_in="open", private=False), frozen=f"{GROUP}/{name}"))
    found = said(one, frames={(CHILD, CHILD): ("open (libc.so.6)", "price (shop.py:7)")})
    assert (found.state, found.cause, found.support) == (State.STUCK, "stopped", (f"its control group is frozen: {GROUP}",))
    assert found.reason.endswith("and waits for its control group to be thawed, in price (shop.py:7)")
    assert found.now.startswith(f"docker unpause, if docker has paused it; or thaw it: echo {word} > '{GROUP}/{name}'.")


def test_what_waits_beside_a_frozen_process_may_go_on_once_that_is_thawed() -> None:
    pipe = {"waits_in": "read", "private": False, "wakers": frozenset({SECOND})}
    assert said(seen(child(**pipe), replace(child(SECOND), frozen=""))).state is State.STUCK
    found = said(seen(child(**pipe), replace(child(SECOND), frozen="/sys/fs/cgroup/a/cgroup.freeze")))
    assert {one.pid: one.state for one in found.executors} == {CHILD: State.WAITING, SECOND: State.STUCK}


def test_of_what_was_looked_at_too_seldom_nobody_says_that_it_may_go_on() -> None:
    whole = seen(child())
    found = said(replace(whole, looks=whole.looks[-3:]))
    assert (found.state, [one.doubt for one in found.executors]) == (State.WAITING, ["it was not looked at for long enough"])
    assert found.now.startswith("ask again when the machine is less busy")


def test_two_of_them_are_both_named() -> None:
    found = said(seen(child(), child(SECOND)))
    assert found.reason.startswith("2 of 2 processes stand still")
    assert found.now.startswith("kill -9 60 61: that ends these children alone")


@pytest.mark.parametrize(
    ("what", "thread", "state"),
    [
        ("one long sleep", SLEEP, State.WORKS),
        ("it computes", {"waits_in": "running"}, State.WORKS),
        ("a peer", READS, State.WAITING),
        ("a lock that others share", {"private": False}, State.WAITING),
        ("a pipe of its own", {**READS, "waits_in": "read", "wakers": frozenset({CHILD})}, State.STUCK),
    ],
)
def test_what_may_still_end_is_not_stuck(what: str, thread: dict[str, Any], state: State) -> None:
    assert said(seen(child(**thread))).state is state, what


def test_what_polls_waits_and_what_sleeps_once_works() -> None:
    assert said(seen(child(**SLEEP), moves=lambda i: {"switches": i})).state is State.WAITING
    assert said(seen(child(**SLEEP))).state is State.WORKS
    assert said(seen(child(**{**SLEEP, "waits_in": "poll"}))).state is State.WAITING, "a peer, with a limit"


@pytest.mark.parametrize(("every", "state"), [(1, State.WAITING), (2, State.WORKS)])
def test_a_main_process_that_is_kept_in_the_applications_code_waits_since_nobody_knows_when(every: int, state: State) -> None:
    one = seen(child(role=Role.IDLE))
    stage = OpenStage(kind="main", pid=MAIN, tid=MAIN, number=-1, since_s=NOW_S - 2.0)
    polls = replace(LOOP, waits_in="sleep")
    looks = []
    for number, look in enumerate(one.looks):
        role = Role.HELD if number % every == 0 else Role.MAIN
        main = replace(look.processes[0], role=role, threads=(replace(polls, switches=number),))
        looks.append(replace(look, processes=(main, *look.processes[1:]), stages=(stage,)))
    assert said(replace(one, looks=tuple(looks))).state is state


@pytest.mark.parametrize(("every", "state"), [(1, State.WORKS), (4, State.WAITING)])
def test_what_is_met_once_as_it_wakes_polls_and_what_is_always_ready_works(every: int, state: State) -> None:
    """A full machine: a thread that polls stands ready until it gets a core; one that computes does so at nearly every look."""

    def moves(i: int) -> dict[str, Any]:
        return {"switches": i, "waits_in": "running"} if i % every == 0 else {"switches": i}

    assert said(seen(child(**SLEEP), moves=moves)).state is state


@pytest.mark.parametrize(("told", "shown"), [("gevent", "gevent"), ("prefork", "solo"), ("", "solo")])
def test_a_task_on_the_main_thread_is_solos_but_in_a_green_pool_whose_hub_it_blocks(told: str, shown: str) -> None:
    main = replace(child(MAIN), role=Role.HELD)
    assert attach._shown_pool(Worker(main=MAIN, pool=told), (main,)) == shown


HUB = "run (/v/lib/python3.11/site-packages/gevent/hub.py)"
POLL = "poll (/v/lib/python3.11/site-packages/kombu/utils/eventio.py)"
TIMER = "Entry.__call__ (/v/lib/python3.11/site-packages/kombu/asynchronous/timer.py)"


@pytest.mark.parametrize(("told", "shown"), [("", "gevent"), ("threads", "threads")])
def test_a_hub_on_the_main_thread_tells_the_pool_of_which_no_command_line_speaks(told: str, shown: str) -> None:
    main = replace(child(MAIN), role=Role.MAIN, tracing=frozenset(), functions={MAIN: (HUB, 1)})
    assert attach._shown_pool(Worker(main=MAIN, pool=told), (main,)) == shown
    assert main_loop.green(MAIN, (main,)) == "gevent"
    assert main_loop.green(MAIN, (main, child(role=Role.IDLE))) == ""  # gevent has patched the Python of a prefork worker
    assert attach._shown_pool(Worker(main=MAIN, pool=told), (main, child(role=Role.IDLE))) == "prefork"


@pytest.mark.parametrize(
    ("told", "keeps", "shown"),
    [
        (Worker(main=MAIN, pool="threads"), Kept(pool="threads", executors=4), ("threads", 4)),
        (Worker(main=MAIN), Kept(pool="threads", executors=4), ("threads", 4)),
        (Worker(main=MAIN, pool="threads", concurrency=2), Kept(pool="threads", executors=4), ("threads", 2)),
        (Worker(main=MAIN), Kept(pool="solo", executors=1), ("solo", 1)),
        (Worker(main=MAIN), Kept(), ("", 0)),
        (Worker(main=MAIN), Kept(pool="prefork", executors=3), ("prefork", 0)),
    ],
)
def test_the_pool_is_read_out_of_memory_if_the_command_line_is_silent(
    monkeypatch: pytest.MonkeyPatch, told: Worker, keeps: Kept, shown: tuple[str, int]
) -> None:
    monkeypatch.setattr(kept, "of", lambda main: keeps)
    found = attach._told(told, (child(MAIN, role=Role.MAIN),))
    assert (found.pool, found.concurrency) == shown
    assert attach._told(told, (child(MAIN, role=Role.MAIN), child(role=Role.IDLE))) == told


@pytest.mark.parametrize(
    ("function", "thread", "state"),
    [
        (TIMER, {}, State.STUCK),
        (HUB, {}, State.STUCK),
        (POLL, {"waits_in": "epoll"}, State.WORKS),
        (POLL, {"timed": True}, State.WORKS),
        (TIMER, {"moves": True}, State.WORKS),
        ("join (/usr/lib/python3.11/threading.py)", {}, State.WORKS),
    ],
)
def test_a_call_of_the_loop_that_leaves_no_frame_is_judged(
    monkeypatch: pytest.MonkeyPatch, function: str, thread: dict[str, Any], state: State
) -> None:
    monkeypatch.setattr(attach, "last_ran_s", lambda pid, tid: NOW_S - 60.0)
    moves = thread.pop("moves", False) if (thread := dict(thread)) else False
    main = replace(child(MAIN, role=Role.MAIN, **thread), functions={MAIN: (function, 4)})
    looks = [
        (NOW_S + i * STEP_S, (replace(main, threads=(replace(main.threads[0], switches=i if moves else 0),)),))
        for i in range(10)
    ]
    found = said(attach.seen_from(Worker(main=MAIN, pool="threads", known=True), looks, {}, {}, {MAIN}))
    assert found.state is state
    assert [one.does for one in found.executors] == ["is in a call that its own loop has made"] * (state is State.STUCK)


def test_a_sleep_that_a_timer_of_the_loop_has_begun_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "last_ran_s", lambda pid, tid: NOW_S - 60.0)
    main = replace(child(MAIN, role=Role.MAIN, **SLEEP), functions={MAIN: (TIMER, 4)})
    looks = [(NOW_S + i * STEP_S, (main,)) for i in range(10)]
    found = said(attach.seen_from(Worker(main=MAIN, pool="threads", known=True), looks, {}, {}, {MAIN}))
    assert (found.state, found.executors[0].does) == (State.WORKS, "is in a call that its own loop has made")


@pytest.mark.parametrize(("known", "state"), [(True, State.UNKNOWN), (False, State.WORKS)])
def test_of_a_worker_in_whose_stacks_nothing_of_celery_shows_nothing_is_said(known: bool, state: State) -> None:
    main = child(MAIN, role=Role.UNKNOWN, waits_in="epoll")
    looks = [(NOW_S + i * STEP_S, (main,)) for i in range(10)]
    found = said(attach.seen_from(Worker(main=MAIN, pool="prefork", known=known), looks, {}, {}, {MAIN}))
    assert found.state is state
    assert found.reason.startswith("nothing of Celery shows in its stacks") is known


def test_a_child_that_has_just_begun_hides_nothing_and_one_that_may_never_be_read_does() -> None:
    main = replace(child(MAIN, role=Role.MAIN), children=(CHILD, SECOND))
    hidden = replace(child(CHILD), python_tids=None, role=Role.UNKNOWN, tracing=frozenset())
    idle = child(SECOND, role=Role.IDLE)
    worker = Worker(main=MAIN, pool="prefork", known=True)

    def blind(*looks: tuple[ProcessLook, ...]) -> tuple[int, ...]:
        return attach.seen_from(
            worker, [(NOW_S + i, look) for i, look in enumerate(looks)], {}, {}, {MAIN, CHILD, SECOND}
        ).blind

    assert blind((main, idle, hidden), (main, idle, hidden)) == (CHILD,)
    assert blind((main, idle), (main, idle, hidden)) == ()
    assert blind((main, idle, replace(hidden, python_tids=frozenset())), (main, idle, hidden)) == ()
    started = replace(hidden, pid=SECOND + 1)  # a program that a task has started
    assert blind((main, idle, started), (main, idle, started)) == ()


@pytest.mark.parametrize(("pid", "role"), [(MAIN, Role.MAIN), (CHILD, Role.IDLE)])
def test_a_worker_that_is_stopped_between_two_tasks_is_stuck(monkeypatch: pytest.MonkeyPatch, pid: int, role: Role) -> None:
    monkeypatch.setattr(attach, "last_ran_s", lambda pid, tid: NOW_S - 60.0)
    halted = child(pid, role=role, state="T")
    looks = [(NOW_S + i * STEP_S, (child(MAIN, role=Role.MAIN), halted) if pid != MAIN else (halted,)) for i in range(10)]
    found = said(attach.seen_from(Worker(main=MAIN, pool="prefork", known=True), looks, {}, {}, {MAIN, CHILD}))
    assert (found.state, found.cause, found.executors[0].does) == (State.STUCK, "stopped", "is stopped")
    frozen = [(at_s, tuple(replace(one, threads=(FUTEX,), frozen="/g/cgroup.freeze") for one in each)) for at_s, each in looks]
    told = said(attach.seen_from(Worker(main=MAIN, pool="prefork", known=True), frozen, {}, {}, {MAIN, CHILD}))
    assert (told.state, told.cause, told.executors[0].does) == (State.STUCK, "stopped", "is frozen")
    turns = [(at_s, tuple(replace(one, threads=(replace(one.threads[0], switches=i),)) for one in each))
             for i, (at_s, each) in enumerate(looks)]  # fmt: skip
    assert (
        said(attach.seen_from(Worker(main=MAIN, pool="prefork", known=True), turns, {}, {}, {MAIN, CHILD})).state is State.WORKS
    )
    aside = [(at_s, (child(MAIN, role=Role.MAIN), replace(halted, role=Role.UNKNOWN, pid=SECOND))) for at_s, _ in looks]
    assert (
        said(attach.seen_from(Worker(main=MAIN, pool="prefork", known=True), aside, {}, {}, {MAIN, CHILD})).state is State.WORKS
    )


def test_solo_runs_one_task_whatever_its_concurrency_is_said_to_be() -> None:
    main = replace(child(MAIN), role=Role.HELD)
    worker = Worker(main=MAIN, pool="solo", concurrency=2, known=True)
    one = attach.seen_from(worker, [(NOW_S + i, (main,)) for i in range(3)], {}, {}, {MAIN})
    assert (one.pool, one.last.executors, said(one).concurrency) == ("solo", 1, 1)


def test_a_young_task_works_whatever_it_waits_in() -> None:
    found = said(seen(child(), since_s=2.0))
    assert (found.state, found.now, found.for_good) == (State.WORKS, "", "")
    assert found.reason == "1 of 1 processes at work, shop.price for 2 s"


def test_beside_the_workers_own_loop_a_deadlock_is_the_likely_cause_and_no_more() -> None:
    one = seen(child(), pool="threads")
    process = one.last.processes[1]
    loop = replace(LOOP, tid=CHILD + 1)
    together = replace(process, threads=(*process.threads, loop), own_tids=frozenset({loop.tid}))
    looks = tuple(replace(look, processes=(look.processes[0], together), furniture={}) for look in one.looks)
    aside = tuple(replace(look, furniture={MAIN: "epoll", loop.tid: "epoll"}) for look in looks)
    found = said(replace(one, looks=looks, own_loop_aside=aside))
    assert (found.state, found.cause) == (State.WAITING, "deadlock")
    assert "  cause: deadlock, most likely" in screen.text(found)
    assert f"  not proved: {answer.OWN_LOOP}" in screen.text(found)
    assert "proof:" not in screen.text(found)
    assert found.now.startswith("if you know of nothing in the application that would end it: restart")
    other = tuple(replace(look, furniture={}) for look in looks)
    assert said(replace(one, looks=looks, own_loop_aside=other)).cause == ""


def beside_the_loop(loop: LoopCalls | None, tasks: int = 2) -> Report:
    """What is said of a pool of two threads of which so many run a task that waits for a lock."""
    tids = frozenset(range(CHILD, CHILD + tasks))
    locked = tuple(replace(FUTEX, tid=tid) for tid in tids)
    main = ProcessLook(
        pid=MAIN, cpu_s=1.0, children=(), threads=(LOOP, *locked), python_tids=tids, own_tids=frozenset({MAIN}),
        role=Role.RUNNING, tracing=tids,
    )  # fmt: skip
    running = {(MAIN, tid): Task(pid=MAIN, tid=tid, id=f"id-{tid}", since_s=NOW_S - 60.0) for tid in tids}
    looks = [(NOW_S + i * STEP_S, (main,)) for i in range(10)]
    return said(
        attach.seen_from(Worker(main=MAIN, pool="threads", concurrency=2, known=True), looks, running, running, {MAIN}, loop)
    )


def test_a_deadlock_beside_the_worker_s_own_loop_is_proved_if_that_calls_nothing_of_the_application_s() -> None:
    pool = frozenset({CHILD, CHILD + 1})
    loop = LoopCalls(said=(), most=2, pool=pool)
    found = beside_the_loop(loop)
    assert (found.state, found.cause) == (State.STUCK, "deadlock")
    for changed, many, doubt in (
        (replace(loop, said=("a timer that calls free",)), 2, "a timer that calls free"),
        (replace(loop, said=("what could not be read (its timers)",)), 2, "what could not be read (its timers)"),
        (loop, 1, "the next task, in 1 thread that is idle"),
        (replace(loop, most=4), 2, "the next task, in one of 2 threads that are idle"),
        (replace(loop, pool=frozenset({CHILD})), 2, "the next task, in 1 thread that is idle"),  # the other is no thread of it
    ):
        found = beside_the_loop(changed, many)
        assert (found.state, found.cause) == (State.WAITING, "deadlock")
        assert f"  not proved: the worker's own loop runs {doubt}, which may end the wait" in screen.text(found)
        assert found.now.startswith("if you know of nothing in the application that would end it: restart")
    unread = beside_the_loop(None)
    assert (unread.state, f"  not proved: {answer.OWN_LOOP}" in screen.text(unread)) == (State.WAITING, True)


def test_two_readings_of_a_loop_say_what_either_says() -> None:
    first = LoopCalls(said=("a timer", "a reader"), most=2, pool=frozenset({1, 2}), reads=10)
    both = first.and_also(LoopCalls(said=("a reader", "a command"), most=2, pool=frozenset({2, 3}), reads=5))
    assert both == LoopCalls(said=("a timer", "a reader", "a command"), most=2, pool=frozenset({2}), reads=15)


def test_of_a_green_pool_that_stands_still_nobody_can_say_what_its_greenlets_wait_for() -> None:
    one = seen(pool="gevent")

    def green(used_s: float) -> Report:
        looks = []
        for place, look in enumerate(one.looks):
            processes = tuple(replace(process, cpu_s=place * used_s) for process in look.processes)
            looks.append(replace(look, processes=processes, executor_kind="greenlets"))
        return said(replace(one, looks=tuple(looks)))

    still = green(0.0)
    assert (still.state, "cannot be read from outside" in still.reason) == (State.UNKNOWN, True)
    assert "inspect active" in still.now
    assert green(0.1).state is State.WORKS


@pytest.mark.parametrize(
    ("tasks", "moved", "state", "words"),
    [
        ((), False, State.WORKS, "no task runs now"),
        (None, False, State.UNKNOWN, "whether its greenlets wait for something cannot be read from outside"),
        ((GREEN,), False, State.UNKNOWN, "1 of 1 greenlets at a task, shop.price for 40 s; its loop stands still, and what"),
        ((GREEN,), True, State.WORKS, "1 of 1 greenlets at work, shop.price for 40 s"),
    ],
)
def test_what_a_green_pool_runs_is_told_by_what_its_worker_keeps(
    tasks: tuple[Task, ...] | None, moved: bool, state: State, words: str
) -> None:
    one = seen(pool="gevent", greenlets=tasks, moved=moved)
    found = said(replace(one, looks=tuple(replace(look, executor_kind="greenlets") for look in one.looks)))
    assert (found.state, found.reason[: len(words)] == words or words in found.reason) == (state, True), found.reason
    assert [(each.task_id, each.state) for each in found.executors] == [(each.id, state) for each in tasks or ()]


IN_SLEEP, AT_PEER = "a sleep of 60 s to end, in sleep (gevent/hub.py)", "a socket, in recv (gevent/_socketcommon.py)"


@pytest.mark.parametrize(
    ("stands", "state", "words", "unseen"),
    [
        (
            [Stand(what=IN_SLEEP, sleep_s=60.0)],
            State.WORKS,
            "shop.price for 40 s: it sleeps for 60 s, and goes on by itself",
            False,
        ),
        ([Stand(what=IN_SLEEP, sleep_s=0.5)], State.WAITING, "1 of 1 greenlets stands still", False),
        ([Stand(what=IN_SLEEP, sleep_s=60.0), Stand(what=AT_PEER)], State.WAITING, f"and waits for {AT_PEER}", False),
        ([Stand(what=AT_PEER), None], State.WAITING, "1 of 1 greenlets stands still", True),
        ([Stand(what=IN_SLEEP, sleep_s=60.0), None], State.UNKNOWN, "2 of 2 greenlets at a task", True),
    ],
)
def test_where_the_greenlets_of_a_loop_that_stands_still_wait_is_told_and_a_long_sleep_ends(
    stands: list[Stand | None], state: State, words: str, unseen: bool
) -> None:
    tasks = tuple(replace(GREEN, id=f"green-{place}", stand=stand) for place, stand in enumerate(stands))
    one = seen(pool="gevent", greenlets=tasks)
    found = said(replace(one, looks=tuple(replace(look, executor_kind="greenlets") for look in one.looks)))
    assert (found.state, words in found.reason) == (state, True), found.reason
    assert [each.waits_for for each in found.executors] == [stand.what if stand else "" for stand in stands]
    assert any("which greenlet" in each for each in found.unseen) is unseen


AT_LOCK = "a lock, an event or a queue, in acquire (gevent/thread.py), called from stick (tasks.py)"


@pytest.mark.parametrize(
    ("what", "stood", "state"),
    [
        (AT_LOCK, True, State.WAITING),
        (AT_LOCK, False, State.WORKS),
        (AT_PEER, True, State.WORKS),
        (IN_SLEEP, True, State.WORKS),
    ],
)
def test_a_greenlet_beside_others_that_go_on_is_judged_by_its_own_stand(what: str, stood: bool, state: State) -> None:
    before = (replace(GREEN, stand=Stand(what=what if stood else "a socket")), replace(GREEN, id="goes"))
    after = (replace(GREEN, stand=Stand(what=what)), replace(GREEN, id="on"))
    one = attach.with_greenlets(seen(pool="gevent"), before, after)
    found = said(replace(one, looks=tuple(replace(look, executor_kind="greenlets") for look in one.looks)))
    assert (one.moved, one.stood) == (True, {"green"} if stood else frozenset())
    assert [each.state for each in found.executors] == [state, State.WORKS]
    assert found.executors[0].waits_for == (what if state is State.WAITING else "")


def test_a_task_that_began_while_it_was_looked_at_runs() -> None:
    begun = Task(pid=CHILD, tid=CHILD, id="new", name="shop.price", since_s=NOW_S - 1.0)
    found = said(
        seen(child(role=Role.IDLE), child(SECOND), begun=(begun,), moved=True, moves=lambda i: {"waits_in": "running"})
    )
    assert [(one.task_id, one.since_s) for one in found.executors] == [("id-61", 60.0), ("new", 1.0)]
    assert (found.state, found.idle) == (State.WORKS, 0)


def test_a_worker_whose_tasks_come_and_go_is_not_said_to_run_none() -> None:
    assert (
        said(seen(child(role=Role.IDLE), moved=True)).reason == "no task runs now; tasks came and went while it was looked at"
    )


@pytest.mark.parametrize(
    ("before", "since_s", "stays"),
    [
        ("id", None, True),
        ("other", None, False),
        ("", 10.0, False),
        (None, 10.0, True),
        (None, 0.5, False),
        (None, None, False),
    ],
)
def test_a_task_ran_all_the_while_if_it_was_there_or_had_begun(before: str | None, since_s: float | None, stays: bool) -> None:
    """`since_s`: seconds before the last look."""
    one = seen(child())
    task = Task(pid=CHILD, tid=CHILD, id="id", since_s=None if since_s is None else NOW_S - since_s)
    first = {} if before is None else {(CHILD, CHILD): replace(task, id=before)}
    looks = [(look.at_s, look.processes) for look in one.looks]
    found = attach.seen_from(one.worker, looks, first, {(CHILD, CHILD): task}, {MAIN, CHILD})
    assert (bool(found.tasks), bool(found.begun)) == (stays, not stays)
    assert found.moved is (before != "id")


def test_a_time_limit_that_is_still_to_strike_keeps_a_task_from_being_stuck() -> None:
    one = seen(child())
    limited = tuple(replace(look, stages=tuple(replace(s, limit_s=300.0) for s in look.stages)) for look in one.looks)
    assert said(replace(one, looks=limited)).state is State.WAITING


def test_an_idle_worker_works() -> None:
    found = said(seen(child(role=Role.IDLE)))
    assert (found.state, found.reason, found.executors, found.idle) == (State.WORKS, "no task runs now", (), 1)


def test_a_child_that_stands_in_its_start_is_an_executor_too() -> None:
    found = said(seen(child(role=Role.STARTING)))
    assert found.state is State.STUCK
    assert "process 60 starts up for 60 s" in found.reason


def test_processes_that_may_not_be_looked_at_are_no_workers_that_work() -> None:
    found = said(seen(blind=(MAIN,)))
    (told,) = found.unseen
    assert found.state is State.UNKNOWN
    assert told.startswith("the Python stacks of process 50 may not be read")
    assert "hides which task runs" in told
    assert told.endswith("it used 0.00 cores while it was looked at")
    assert "CAP_SYS_PTRACE" in found.now


def test_without_native_frames_a_fork_is_no_named_cause() -> None:
    forked = {CHILD: (("tf_Compute",), ())}
    engine = {(CHILD, CHILD): ("syscall (libc.so.6)", "Notification::Wait (tf.so)", "predict (shop.py:7)")}
    deep = said(seen(child()), lost=forked, frames=engine)
    shallow = said(seen(child()), deep=False, lost=forked, frames=engine)
    failed = said(seen(child()), missing=(CHILD,), lost=forked, frames=engine)
    assert "its native stacks would say" in failed.support[0]
    assert failed.unseen[0].startswith(f"the native stacks of process {CHILD}, which --deep asks for: ")
    assert deep.cause == "fork-lost-threads"
    assert (shallow.cause, "--deep" in shallow.support[0]) == ("unknown", True)
    assert (shallow.state, shallow.executors) == (deep.state, deep.executors)


WAITS = ("sem_wait (libc.so.6)", "wait (threading.py:327)", "get (queue.py:171)", "take (shop.py:7)")


@pytest.mark.parametrize(("aloof", "native", "cause"), [(False, (), "lost"), (True, (), ""), (True, ("tf_Compute",), "lost")])
def test_threads_that_nobody_asks_for_anything_are_not_what_a_child_waits_for(
    aloof: bool, native: tuple[str, ...], cause: str
) -> None:
    found = said(seen(child()), lost={CHILD: (native, ("metrics",))}, frames={(CHILD, CHILD): WAITS}, aloof=aloof)
    assert found.cause == (f"fork-{cause}-threads" if cause else "unknown")
    assert ("something of its own: 1 x metrics" in found.support[0]) is not bool(cause)


@pytest.mark.parametrize(("futures", "lost"), [(True, ("pool",)), (False, ())])
def test_an_executor_that_idles_in_the_parent_is_missed_by_what_waits_for_a_future(
    futures: bool, lost: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits.procfs, "call", lambda pid, tid: None)
    one = seen(replace(child(), lost_threads=True))
    main, idles = one.last.processes[0], replace(FUTEX, tid=51, name="pool")
    function = "_worker (/v/lib/python3.11/concurrent/futures/thread.py)"
    main = replace(main, threads=(LOOP, idles), own_tids=frozenset({MAIN, 51}), functions={51: (function, 9)})
    looks = tuple(replace(look, processes=(main, *look.processes[1:])) for look in one.looks)
    assert waits._lost(replace(one, looks=looks), CHILD, futures) == ((), lost)
    assert waits._are_aloof(replace(one, looks=looks), futures) is not futures


@pytest.mark.parametrize(("kind", "aloof"), [("sleep", True), ("futex", False), ("poll", False)])
def test_a_thread_that_sleeps_at_each_look_serves_nobody_within_its_process(
    kind: str, aloof: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits.procfs, "call", lambda pid, tid: None)
    one = seen(child())
    main = one.last.processes[0]
    main = replace(main, threads=(LOOP, replace(FUTEX, tid=51, waits_in=kind)))
    assert waits._are_aloof(replace(one, looks=tuple(replace(look, processes=(main,)) for look in one.looks)), False) is aloof


def test_a_child_whose_thread_runs_another_greenlet_runs_what_its_main_process_says(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Task(pid=CHILD, tid=CHILD, id="a", name="shop.fetch", since_s=NOW_S - 60.0, apart=True)
    runs = child(waits_in="epoll", timed=True, private=False)
    assert attach.running([runs], {CHILD: taken}) == {(CHILD, CHILD): taken}
    found = said(seen(runs, tasks=(taken,)))
    assert (found.state, found.executors[0].task_id) == (State.WAITING, "a")
    assert f"where the task of process {CHILD} stands" in found.unseen[0]


@pytest.mark.parametrize(("uses", "state"), [(0.0, State.UNKNOWN), (1.0, State.WORKS)])
def test_a_task_in_greenlets_of_its_own_in_a_pool_of_threads_is_told(uses: float, state: State) -> None:
    hub = "run (/v/lib/python3.11/site-packages/gevent/hub.py)"
    plain = seen(pool="threads")
    looks = [
        replace(look, processes=tuple(replace(one, cpu_s=uses * number) for one in look.processes))
        for number, look in enumerate(plain.looks)
    ]
    one = attach.with_greenlets(replace(plain, looks=tuple(looks)), (GREEN,), (GREEN, replace(GREEN, id="new")))
    found = said(one)
    assert (found.state, [each.task_id for each in found.executors]) == (state, ["green"])
    main = replace(plain.last.processes[0], functions={51: (hub, 1)})
    assert main_loop.hides(MAIN, (main,))
    assert not main_loop.hides(MAIN, (main, child(role=Role.IDLE)))


@pytest.mark.parametrize(("words", "yes"), [("beat", False), ("events --dump", False), ("", True)])
def test_another_program_of_celerys_is_no_worker_though_its_stack_shows_celery(
    words: str, yes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["python", "-m", "celery", "-A", "shop", *words.split()] if words else ["python", "run.py"]
    monkeypatch.setattr(find, "command", lambda pid: line)
    assert seen().is_worker is yes


def test_a_worker_that_shows_at_one_look_is_one_though_it_computes_at_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "command", lambda pid: ["python", "run.py"])
    shown = seen(pool="solo")
    hidden = [replace(look, processes=tuple(replace(one, role=Role.UNKNOWN) for one in look.processes)) for look in shown.looks]
    assert replace(shown, looks=(shown.looks[0], *hidden[1:])).is_worker
    assert not replace(shown, looks=tuple(hidden)).is_worker


def bereft(stands_s: float | None, function: str, since_s: float = 4000.0) -> Report:
    """Of a child that lost threads at the fork, has a native one that polls now and then, and stands in this function.
    `stands_s`: for so long; None if the kernel does not tell."""
    poller, one = replace(FUTEX, tid=99, name="native", waits_in="futex", timed=True), child()
    stands = replace(one, threads=(*one.threads, poller), lost_threads=True, functions={CHILD: (function, 3)})
    one_ = seen(stands, since_s=since_s)
    ran_s = None if stands_s is None else NOW_S - stands_s
    looks = (replace(look, stages=tuple(replace(stage, ran_s=ran_s) for stage in look.stages)) for look in one_.looks)
    return said(replace(one_, looks=tuple(looks)))


@pytest.mark.parametrize(
    "function",
    [
        "quick_execute (/v/lib/python3.11/site-packages/tensorflow/python/eager/execute.py)",
        "collect (/v/lib/python3.11/site-packages/polars/lazyframe/frame.py)",
        "replacement_search (/v/lib/python3.11/site-packages/faiss/class_wrappers.py)",
        "_call_tf_sessionrun (/v/lib/python3.7/site-packages/tensorflow_core/python/client/session.py)",
        "linear (/v/lib/python3.11/site-packages/torch/nn/functional.py)",
    ],
)
def test_a_child_that_lost_threads_and_polls_now_and_then_is_believed_after_a_minute_in_an_engine(function: str) -> None:
    assert bereft(90.0, function).state is State.STUCK
    for young in (bereft(30.0, function), bereft(None, function), bereft(None, function, since_s=90.0)):
        assert (young.state, "after 60 s" in young.executors[0].doubt) == (State.WAITING, True)


@pytest.mark.parametrize(
    "function",
    [
        "run_job (/srv/shop/tasks.py)",
        "wait (/v/lib/python3.11/site-packages/jobs/api.py)",
        "f (/srv/torch/x.py)",
        "",
        "_vectorize_call (/v/lib/python3.11/site-packages/numpy/lib/_function_base_impl.py)",
    ],
)
def test_a_library_of_which_nobody_knows_that_a_fork_hurts_it_may_be_woken_by_its_own_thread(function: str) -> None:
    found = bereft(4000.0, function)
    assert (found.state, "a native thread of its own" in found.executors[0].doubt) == (State.WAITING, True)


def test_the_json_is_what_was_promised() -> None:
    found = screen.as_json([said(seen(child()))])
    assert (found["schema"], found["state"]) == (1, "stuck")
    (worker,) = found["workers"]
    assert set(worker) == {
        "pid", "app", "pool", "concurrency", "state", "reason", "cause", "support", "since_s", "now", "for_good", "executors",
        "broker", "unseen",
    }  # fmt: skip
    (one,) = worker["executors"]
    assert set(one) == {"pid", "tid", "state", "task_id", "task", "since_s", "waits_for"}
    assert one["waits_for"] == [{"what": "a lock, in price (shop.py:7)", "owner": ""}]


def test_a_worker_is_as_bad_as_its_worst_executor_and_a_machine_as_its_worst_worker() -> None:
    stuck, works = said(seen(child())), said(seen(child(role=Role.IDLE)))
    waits = said(seen(child(**READS)))
    assert screen.state_of([works, waits]) is State.WAITING
    assert screen.state_of([works, waits, stuck]) is State.STUCK
    assert screen.state_of([]) is State.UNKNOWN
    assert {state.value for state in State} == set(CODES)
    assert [CODES[name] for name in ("works", "stuck", "waiting", "cannot-say")] == [0, 20, 21, 22]
    assert Exit.STUCK == 20


def test_text_from_outside_is_text_on_the_screen() -> None:
    evil = Task(pid=CHILD, tid=CHILD, id="x", name="\x1b[31mshop")
    assert "\x1b" not in screen.text(said(seen(child(), tasks=(evil,))))


@pytest.mark.parametrize(
    ("argv", "yes"),
    [
        (["/v/bin/python3.11", "-W", "ignore", "-m", "celery", "-A", "shop", "worker"], True),
        (["/v/bin/python", "-u", "/v/bin/celery", "--app=shop", "worker", "-P", "solo"], True),
        (["[celeryd: celery@host:MainProcess] -active- (worker -A shop -P threads)"], True),
        (["[celeryd: celery@host:ForkPoolWorker-1]"], True),
        (["/v/bin/python", "keeper.py", "--", "/v/bin/python", "/v/bin/celery", "worker"], False),
        (["/bin/sh", "-c", "celery worker"], False),
        (["/v/bin/python", "-m", "celery", "-A", "shop", "flower"], False),
        (["/v/bin/python", "worker.py"], False),
        ([], False),
        ([""], False),
    ],
)
def test_a_worker_is_known_by_its_command_line(argv: list[str], yes: bool) -> None:
    assert find.is_worker(argv) is yes


def test_what_a_command_line_says_is_read_in_any_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        1: "python -m celery -A shop:app worker -Pprocesses -c4 -n web@%h -b redis://b",
        2: "[celeryd: web@host:MainProcess] -active- (worker --app=shop --pool=gevent --concurrency=100)",
        3: "[celeryd: web@host:MainProcess] -active- (-A shop worker -P gevent -c 100)",  # Celery 5
        4: "python -P -b -m celery -A worker worker -P gevent",  # Python has options of these letters, too
        5: "python -b run.py -P gevent -c 5",
    }
    monkeypatch.setattr(find, "command", lambda pid: [lines[pid]] if pid in (2, 3) else lines[pid].split())
    monkeypatch.setattr(find, "_url", lambda pid, names: "")
    monkeypatch.setattr(containers, "is_first", lambda pid: False)
    one, two = find.described(1), find.described(2)
    assert one == Worker(
        main=1, known=True, pool="prefork", concurrency=4, hostname="web@%h", app="shop:app", broker="redis://b"
    )
    assert two == Worker(main=2, known=True, pool="gevent", concurrency=100, hostname="web@host", app="shop", broker="")
    assert find.described(3) == replace(two, main=3)
    assert find.described(4) == Worker(main=4, known=True, pool="gevent", app="worker")
    assert find.described(5) == Worker(main=5, pool="gevent", concurrency=5)


@pytest.mark.parametrize(
    ("request_", "limit_s"),
    [
        ('{"task": "a.b", "timelimit": [300, 200.5]}', 300.0),
        ('{"task": "a.b", "timelimit": [None, None]}', 0.0),
        ('{"task": "a.b", "timelimit": (None, 12)}', 12.0),
        ('{"task": "a.b", ...}', 0.0),
        ("<Context at 0x7f>", 0.0),
    ],
)
def test_limits_and_the_name_are_read_from_what_py_spy_shows(request_: str, limit_s: float) -> None:
    found = tasks.read(7, 8, {"request": request_, "uuid": '"u"', "time_start": "1.5"})
    assert (found.limit_s, found.id, found.since_s) == (limit_s, "u", 1.5)
    assert found.name == ("a.b" if "a.b" in request_ else "")


def test_locals_that_are_no_text_tell_nothing() -> None:
    assert tasks.read(7, 8, {"uuid": "<x at 0x1>", "time_start": "None", "task": "17"}) == Task(pid=7, tid=8, limited=True)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("-A worker beat", False), ("-A worker inspect active", False), ("--app=worker flower", False),
        ("-A beat worker", True),
        ("worker -A beat", True), ("-A shop -l info worker -Q list", True), ("--workdir worker -A shop events", False),
        ("", False),
    ],
)  # fmt: skip
def test_a_worker_is_told_by_celery_s_command_and_not_by_a_name(line: str, found: bool) -> None:
    assert find.is_worker(["/v/bin/python3", "/v/bin/celery", *line.split()]) is found


@pytest.mark.parametrize(
    ("thread", "closed"), [(None, True), ({}, True), ({"waits_in": "sleep"}, False), ({"timed": True}, False)]
)
def test_beside_a_wait_for_a_subtask_another_thread_may_raise_in_it(thread: dict[str, Any] | None, closed: bool) -> None:
    polling, one = {"waits_in": "poll", "private": False, "timed": True}, child()
    waits = replace(one.threads[0], **polling)  # type: ignore[arg-type]
    beside = () if thread is None else (replace(FUTEX, tid=99, **thread),)
    at = seen(replace(one, threads=(waits, *beside), python_tids=frozenset({CHILD, 99})))
    assert (subtasks.others_doubt(at, CHILD, {CHILD}) == "") is closed
    assert subtasks.others_doubt(at, 4711, {4711}) != ""


def test_a_timer_of_the_applications_in_the_main_process_is_named() -> None:
    found = said(seen(child()), timers=("a timer that calls Watchdog.look",))
    assert (found.state, "a timer that calls Watchdog.look" in found.unseen[-1]) == (State.STUCK, True)
