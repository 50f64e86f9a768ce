"""What `harness why` says of a pool's machinery, over plain facts; real workers in `integration`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.live import backlog, causes, consumer, machinery
from harness.live.executor import State
from harness.live.facts import BrokerLook, Facts, Moment
from harness.live.finding import Finding
from harness.live.tasks import Task
from harness.machine.procfs import Thread
from harness.observe.looks import Look, ProcessLook
from harness.observe.roles import Role
from tests import doc_pages
from tests.test_consumer import CELERY, LOOP, STOP, wire
from tests.test_watchdog import FUTEX

MAIN, CHILD, SECOND = 50, 60, 61
READ = replace(FUTEX, waits_in="read", private=False)
POLLS = replace(FUTEX, tid=MAIN, waits_in="epoll", timed=True, private=False)
RECV = (
    ("recv", "socket.py"),
    ("read_response", "/v/site-packages/redis/connection.py"),
    ("asynloop", f"{CELERY}/worker/loops.py"),
)


def process(pid: int, role: Role, thread: Thread, cpu_s: float = 1.0) -> ProcessLook:
    return ProcessLook(pid=pid, cpu_s=cpu_s, children=(), threads=(replace(thread, tid=pid),), role=role)


def look(number: int, *processes: ProcessLook) -> Look:
    return Look(at_s=100.0 + 0.25 * number, ready=True, last_progress_s=0.0, waiting=0, ended=0, stages=(), processes=processes)


def facts(
    *processes: ProcessLook, alive: dict[int, str] | None = None, moments: int = 9, at: int | None = None, **more: Any
) -> Facts:
    """The same looks at these processes, and then the same moments."""
    states = {one.pid: "S" for one in processes if one.pid != MAIN} if alive is None else alive
    values: dict[str, Any] = {
        "pool": "prefork", "role": Role.MAIN, "concurrency": 2, "age_s": 600.0, "frames": (LOOP, LOOP), "idle": 2,
        "looks": tuple(look(number, *processes) for number in range(10)),
        "moments": tuple(Moment(at_s=103.0 + 0.5 * number, children=states, main_at=at, wires=(wire(),))
                         for number in range(moments)),
        **more,
    }  # fmt: skip
    return Facts(main=MAIN, **values)


def found(given: Facts) -> dict[str, Finding]:
    return {one.cause: one for one in causes.found(given)}


HEALTHY = (process(MAIN, Role.MAIN, POLLS), process(CHILD, Role.IDLE, READ), process(SECOND, Role.IDLE, READ))


def test_a_healthy_pool_has_no_cause() -> None:
    assert found(facts(*HEALTHY)) == {}


def ring(*wakers: frozenset[int]) -> Facts:
    pids = (MAIN, CHILD, SECOND)
    threads = [replace(READ, wakers=one) for one in wakers]
    roles = (Role.MAIN, Role.IDLE, Role.RUNNING)
    return facts(*(process(pid, role, thread) for pid, role, thread in zip(pids, roles, threads, strict=True)))


def test_a_main_process_and_children_that_wait_for_each_other_at_pipes_are_stuck() -> None:
    one = found(ring(frozenset({CHILD}), frozenset({MAIN, SECOND}), frozenset({MAIN})))["ipc-stuck"]
    assert (one.state, "process 60, process 61" in one.reason) == (State.STUCK, True)
    assert one.now.startswith("kill -9 60 61")


@pytest.mark.parametrize(
    "wakers",
    [
        (frozenset({CHILD}), frozenset(), frozenset({MAIN})),  # the child waits for anybody
        (frozenset({CHILD}), frozenset({MAIN, 99}), frozenset({MAIN})),  # for a process that nobody looked at
    ],
)
def test_a_ring_that_somebody_else_may_open_waits(wakers: tuple[frozenset[int], ...]) -> None:
    one = found(ring(*wakers))["ipc-stuck"]
    assert (one.state, one.support[-1].startswith("not proved: ")) == (State.WAITING, True)


def test_a_main_process_that_turns_is_in_no_ring() -> None:
    assert "ipc-stuck" not in found(ring(frozenset(), frozenset({MAIN}), frozenset({MAIN})))


def test_a_main_process_at_a_connection_outside_of_its_loop_is_blocked() -> None:
    still = (process(MAIN, Role.MAIN, replace(READ, waits_in="recv")), *HEALTHY[1:])
    one = found(facts(*still, at=1, frames=(RECV, RECV)))["main-blocked"]
    assert (one.state, "TCP 10.0.0.5:6379 (established)" in one.reason) == (State.WAITING, True)
    assert "read_response" in one.support[0]
    assert "main-blocked" not in found(facts(*HEALTHY, at=1, frames=(RECV, LOOP)))
    assert "main-blocked" not in found(facts(*still, at=7, frames=(RECV, RECV)))


def test_a_main_process_that_computes_while_no_child_does_spins() -> None:
    def at(number: int, child_s: float) -> Look:
        return look(number, process(MAIN, Role.MAIN, POLLS, 0.24 * number), process(CHILD, Role.IDLE, READ, child_s * number))

    spins, works = (tuple(at(number, used) for number in range(10)) for used in (0.0, 0.05))
    assert found(facts(*HEALTHY, looks=spins))["main-spins"].state is State.WAITING
    assert "main-spins" not in found(facts(*HEALTHY, looks=works))
    assert "main-spins" not in found(facts(*HEALTHY, looks=spins, busy=1))


STARTS = (HEALTHY[0], process(CHILD, Role.STARTING, READ), process(SECOND, Role.STARTING, READ))


@pytest.mark.parametrize(
    ("alive", "serves", "state"),
    [({70: "S", 71: "S"}, False, State.WAITING), ({SECOND: "S", 70: "S"}, True, State.WORKS)],
)
def test_children_that_end_before_they_serve_are_a_respawn_loop(alive: dict[int, str], serves: bool, state: State) -> None:
    given = facts(*STARTS[:2], HEALTHY[2] if serves else STARTS[2], alive=alive)
    assert found(given)["respawn-loop"].state is state


def test_children_that_die_at_once_are_a_respawn_loop() -> None:
    given = facts(HEALTHY[0], alive={90: "S"}, concurrency=0)
    moments = tuple(
        replace(one, children={70 + number: "R"}, broker=BrokerLook(answers=True)) for number, one in enumerate(given.moments)
    )
    one = found(replace(given, moments=moments))["respawn-loop"]
    assert (one.state, one.reason.startswith("8 of its children ended")) == (State.WAITING, True)
    assert "respawn-loop" not in found(replace(facts(*HEALTHY[:2], concurrency=0), moments=moments))
    does = tuple(
        replace(one, broker=BrokerLook(answers=True, queues={"celery": 40 - number})) for number, one in enumerate(moments)
    )
    assert "respawn-loop" not in found(replace(given, moments=does))  # each does its tasks, and ends
    blind = tuple(replace(one, broker=None) for one in moments)
    assert "respawn-loop" not in found(replace(given, moments=blind))


def test_children_that_take_their_time_are_no_respawn_loop_but_are_looked_at_for_longer() -> None:
    assert "respawn-loop" not in found(facts(*STARTS))
    assert causes.doubtful(facts(*STARTS, moments=1))
    assert "respawn-loop" not in found(facts(*STARTS, alive={70: "S", 71: "S"}, age_s=3.0))
    assert "respawn-loop" not in found(facts(*HEALTHY, alive={70: "S", 71: "S"}))


@pytest.mark.parametrize(("begun", "told"), [(0, True), (None, True), (3, False)])
def test_children_that_end_once_they_have_done_their_tasks_are_no_respawn_loop(begun: int | None, told: bool) -> None:
    given = facts(*STARTS, alive={70: "S", 71: "S"}, begun=begun)  # worker_max_tasks_per_child=1, and a model to load
    assert ("respawn-loop" in found(given)) is told


SOFT = (
    ("sleep", "x.py"),
    ("WorkController.wait_for_soft_shutdown", f"{CELERY}/worker/worker.py"),
    ("on_cold_shutdown", f"{CELERY}/apps/worker.py"),
    *LOOP,
)


@pytest.mark.parametrize(("pool", "ends"), [("prefork", True), ("threads", False), ("solo", False)])
def test_a_cold_shutdown_is_advised_where_it_ends_the_worker(pool: str, ends: bool) -> None:
    one = found(facts(*HEALTHY, frames=(STOP, STOP), busy=1, pool=pool))["shutting-down"]
    assert ("kill -QUIT" in one.now) is ends


@pytest.mark.parametrize(("hard_s", "at_once"), [(0.0, False), (20.0, True)])
def test_a_task_that_may_clean_up_after_its_soft_limit_is_not_to_be_killed_at_once(hard_s: float, at_once: bool) -> None:
    late = Task(pid=CHILD, tid=CHILD, id="a", name="shop.price", since_s=10.0, hard_s=hard_s, soft_s=5.0)
    assert found(facts(*HEALTHY, tasks=(late,)))["limit-not-enforced"].now.startswith("kill -9") is at_once


def test_a_worker_that_gives_its_tasks_some_time_before_it_ends_is_shutting_down() -> None:
    assert set(found(facts(*HEALTHY, frames=(SOFT, SOFT), alive={CHILD: "S"}))) == {"shutting-down"}
    assert set(found(facts(*HEALTHY, frames=(SOFT[2:], SOFT[1:])))) == {"shutting-down"}


@pytest.mark.parametrize(
    ("alive", "state"),
    [({CHILD: "S", SECOND: "Z"}, State.WORKS), ({CHILD: "Z", SECOND: "Z"}, State.WAITING), ({}, State.WAITING)],
)
def test_a_pool_with_fewer_children_than_it_should_have_is_short(alive: dict[int, str], state: State) -> None:
    one = found(facts(*HEALTHY, alive=alive))["pool-short"]
    assert (one.state, one.reason.startswith(f"{'S' in alive.values():d} of the 2 children live")) == (state, True)


def test_a_pool_whose_children_come_and_go_is_not_short() -> None:
    given = facts(*HEALTHY, alive={CHILD: "S"})
    moments = tuple(replace(one, children={70 + number: "S"}) for number, one in enumerate(given.moments))
    assert "pool-short" not in found(replace(given, moments=moments))


@pytest.mark.parametrize(
    "changes",
    [{"concurrency": 0}, {"age_s": 3.0}, {"pool": "threads"}, {"frames": (STOP, STOP)}, {"alive": {CHILD: "S", 9: "R"}}],
)
def test_a_pool_that_need_not_have_them_is_not_short(changes: dict[str, Any]) -> None:
    assert "pool-short" not in found(facts(*HEALTHY, **{"alive": {CHILD: "S"}, **changes}))


@pytest.mark.parametrize(
    ("pool", "since_s", "said"),
    [
        ("threads", 10.0, "pool threads ignores time limits"),
        ("prefork", 10.0, "the main process strikes with a hard limit"),
        ("prefork", 98.0, ""),
    ],
)
def test_a_limit_that_has_passed_is_told_with_what_the_pool_makes_of_it(pool: str, since_s: float, said: str) -> None:
    task = Task(pid=CHILD, tid=CHILD, id="a", name="shop.price", since_s=since_s, hard_s=5.0)
    told = found(facts(*HEALTHY, pool=pool, tasks=(task,))).get("limit-not-enforced")
    assert ((told.state, said in told.support[0]) == (State.WORKS, True)) if told is not None else not said


def test_a_worker_that_was_told_to_end_says_what_it_waits_for() -> None:
    one = found(facts(*HEALTHY, frames=(STOP, STOP), busy=1))["shutting-down"]
    assert (one.state, one.reason) == (State.WAITING, "it was told to end, and waits for 1 task, 2 children")
    assert "lost, unless it has acks_late" in one.now


def test_a_stack_that_may_not_be_read_says_nothing() -> None:
    assert found(facts(*HEALTHY, frames=((), ()))) == {}


def test_the_pages_name_every_cause_that_the_modules_name() -> None:
    listed = [
        name for module in (consumer, backlog, machinery) for name in re.findall(r"^([a-z-]+)  ", module.__doc__ or "", re.M)
    ]
    assert sorted(doc_pages.first_cells(doc_pages.DOCS / "reference/causes.md", "named by `why`")) == sorted(listed)
    sources = "".join(Path(module.__file__ or "").read_text() for module in (consumer, backlog, machinery))
    named = set(re.findall(r'cause="([a-z-]+)"', sources)) | {"broker-lost", "broker-refusing"}
    assert named == set(listed)
