"""The cheap look: what is a suspect by the kernel's word alone, and what the probe makes of it. Real workers: `integration`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness.errors import Exit, NothingMatches
from harness.live import command, find, probe, quick
from harness.live.answer import Report
from harness.live.executor import State
from harness.live.find import Worker
from harness.live.probe import Verdict
from harness.live.quick import LOOKS, First, stands_still
from harness.machine import procfs
from harness.machine.procfs import Thread
from harness.observe import stacks
from harness.observe.eyes import Eyes
from harness.observe.looks import ProcessLook
from tests.test_live import CHILD, MAIN, READS, SECOND, SLEEP, child, said, seen
from tests.test_watchdog import FUTEX
from tests.waiting import wait_until

HERE = os.getpid()


def history(moves: int = 0, **thread: Any) -> list[Thread]:
    return [replace(FUTEX, switches=moves * i, **thread) for i in range(LOOKS)]


@pytest.mark.parametrize(
    ("what", "threads", "yes"),
    [
        ("a lock", history(), True),
        ("a lock that others share", history(private=False), True),
        ("a pipe", history(waits_in="read", private=False), True),
        ("stopped", history(state="T", waits_in="blocked", private=False), True),
        ("stopped, and continued in between", history(moves=1, state="T", waits_in="blocked", private=False), False),
        ("a lock, woken in between", history(moves=1), False),
        ("a lock with a time limit", history(timed=True), False),
        ("a sleep", history(**SLEEP), False),
        ("it computes", history(waits_in="running", private=False), False),
        ("nobody knows", history(waits_in="unknown", private=False), False),
    ],
)
def test_only_a_thread_that_the_judge_could_prove_anything_of_is_worth_a_glance(
    what: str, threads: list[Thread], yes: bool
) -> None:
    assert stands_still(threads) is yes, what


def first(still: dict[int, frozenset[int]], outside: frozenset[int] = frozenset(), hidden: tuple[int, ...] = ()) -> First:
    eyes = Eyes(main=MAIN, tree=list, pool=frozenset, events=None)
    processes = tuple(child(pid) for pid in still)
    return First(worker=Worker(main=MAIN, app="shop"), eyes=eyes, looks=((0.0, processes),), still=still, outside=outside,
                 hidden=hidden)  # fmt: skip


def asked(monkeypatch: pytest.MonkeyPatch, look: First | None, reports: dict[int, Report]) -> tuple[Verdict | None, list[int]]:
    """The probe's verdict of a worker that looks so, and which suspects it glanced at; by process, what the judge says."""
    glanced: list[int] = []

    def judged(_: First, pids: list[int], *, told: bool) -> Report:
        glanced.extend(pids)
        return min((reports[pid] for pid in pids), key=lambda one: list(State).index(one.state))

    monkeypatch.setattr(quick, "first", lambda worker: look)
    monkeypatch.setattr(quick, "judged", judged)
    return probe.of_worker(Worker(main=MAIN, app="shop")), glanced


STUCK, WAITS = said(seen(child())), said(seen(child(**READS)))


def still(*pids: int) -> dict[int, frozenset[int]]:
    return {pid: frozenset({pid}) for pid in pids}


def test_a_worker_in_which_nothing_stands_still_works_and_nobody_glances(monkeypatch: pytest.MonkeyPatch) -> None:
    found, glanced = asked(monkeypatch, first({}), {})
    assert found == Verdict(state=State.WORKS, line="worker 50 (shop): nothing in it is stuck for good")
    assert glanced == []


def test_what_is_proved_is_said_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = asked(monkeypatch, first(still(CHILD)), {CHILD: STUCK})
    assert found is not None
    assert found.state is State.STUCK
    assert found.line == f"worker 50 (shop): {STUCK.reason}"


def test_two_are_glanced_at_at_once_and_no_more_once_one_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    pids = [2**22 + number for number in range(6)]  # no process has such a number
    found, glanced = asked(monkeypatch, first(still(*pids)), dict.fromkeys(pids, STUCK))
    assert found is not None
    assert (found.state, len(glanced)) == (State.STUCK, quick.AT_ONCE)
    found, glanced = asked(monkeypatch, first(still(*pids)), dict.fromkeys(pids, WAITS))
    assert found is not None
    assert (found.state, sorted(glanced)) == (State.WAITING, pids)


def test_what_waits_for_a_peer_is_no_reason_to_look_closer(monkeypatch: pytest.MonkeyPatch) -> None:
    found, glanced = asked(monkeypatch, first(still(CHILD, SECOND), outside=frozenset({CHILD, SECOND})), {})
    assert found == Verdict(
        state=State.WAITING, line="worker 50 (shop): 2 processes stand still at a peer, which may yet answer"
    )
    assert glanced == []


def test_what_may_not_be_looked_at_is_not_said_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = asked(monkeypatch, first({}, hidden=(MAIN,)), {})
    assert found is not None
    assert (found.state, "may not be read" in found.line) == (State.UNKNOWN, True)


def test_a_stopped_worker_that_may_not_be_looked_at_is_judged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found, glanced = asked(monkeypatch, first(still(MAIN), hidden=(MAIN,)), {MAIN: STUCK})
    assert found is not None
    assert (found.state, glanced) == (State.STUCK, [MAIN])


def test_all_workers_are_as_bad_as_the_worst_and_none_is_no_alarm() -> None:
    states = {1: State.WORKS, 2: State.STUCK, 3: None}

    def of(worker: Worker) -> Verdict | None:
        state = states[worker.main]
        return Verdict(state=state, line=f"worker {worker.main}") if state else None

    both = probe.verdict([Worker(main=1), Worker(main=2)], of)
    assert both == Verdict(state=State.STUCK, line="stuck: worker 2 (2 workers were looked at)")
    assert probe.verdict([Worker(main=1), Worker(main=3)], of).line == "works: worker 1"
    assert probe.verdict([Worker(main=3)], of).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("state", "code"), [(State.STUCK, 1), (State.WORKS, 0), (State.WAITING, 0), (State.UNKNOWN, 0)], ids=lambda one: str(one)
)
def test_only_what_is_proved_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: State, code: int
) -> None:
    monkeypatch.setattr(probe, "chosen", lambda pids: [])
    monkeypatch.setattr(probe, "verdict", lambda workers: Verdict(state=state, line=f"{state}: [bold]\x1b"))
    assert command.probed([], more=False) == code


def test_a_process_that_is_no_worker_is_a_wrong_option() -> None:
    with pytest.raises(NothingMatches) as raised:
        probe.chosen([HERE])
    assert raised.value.exit_code not in (Exit.DONE, Exit.CHECK_FAILED)


@pytest.mark.parametrize(("filename", "found"), [("/v/celery/worker/worker.py", True), ("/v/celery/app/base.py", False)])
def test_a_worker_that_a_script_has_started_is_known_by_its_stack(
    monkeypatch: pytest.MonkeyPatch, filename: str, found: bool
) -> None:
    frames = [{"name": "start", "filename": filename}, {"name": "<module>", "filename": "/srv/run.py"}]
    monkeypatch.setattr(find, "main_of", lambda pid: 0)
    monkeypatch.setattr(os, "getpid", lambda: 2**22 - 1)
    monkeypatch.setattr(stacks, "dumped", lambda pid, *options: [{"frames": frames}] if pid == HERE else None)
    if found:
        assert [one.main for one in probe.chosen([HERE])] == [HERE]
    else:
        with pytest.raises(NothingMatches):
            probe.chosen([HERE])


PROGRAM = """
import socket, sys, threading
way = sys.argv[1]
if way == "pipe":
    print(flush=True); sys.stdin.read()
if way == "peer":
    peer = socket.create_connection(("127.0.0.1", int(sys.argv[2]))); print(flush=True); peer.recv(1)
if way == "lock":
    lock = threading.Lock(); lock.acquire(); print(flush=True); lock.acquire()
"""


@pytest.fixture
def waiter(request: pytest.FixtureRequest) -> Iterator[int]:
    """A child of this process that waits in a way of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = [sys.executable, "-I", "-c", PROGRAM, request.param, str(server.getsockname()[1])]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                yield process.pid
            finally:
                process.kill()


def waits(pid: int, *kinds: str) -> bool:
    call = procfs.call(pid, pid)
    return call is not None and call.kind in kinds


@pytest.mark.parametrize("waiter", ["pipe"], indirect=True)
def test_a_child_that_reads_from_a_pipe_of_its_parent_waits_for_it(waiter: int) -> None:
    assert wait_until(lambda: waits(waiter, "read"))
    assert quick.waiting_for(HERE, {waiter, HERE}) == {waiter}


@pytest.mark.parametrize("waiter", ["lock", "peer"], indirect=True)
def test_a_child_at_anything_else_does_not(waiter: int) -> None:
    assert wait_until(lambda: waits(waiter, "futex", "recv"))
    assert quick.waiting_for(HERE, {waiter}) == frozenset()


@pytest.mark.parametrize("waiter", ["lock"], indirect=True)
def test_a_process_that_stands_still_at_a_lock_is_a_suspect_and_its_parent_is_none(waiter: int) -> None:
    assert wait_until(lambda: waits(waiter, "futex"))
    done, worker = threading.Event(), Worker(main=HERE)

    def turn() -> None:  # this process moves, as a worker's loop does
        while not done.wait(0.05):
            pass

    assert wait_until(lambda: waits(waiter, "futex"))
    thread = threading.Thread(target=turn)
    thread.start()
    try:
        found = quick.first(worker)
    finally:
        done.set()
        thread.join()
    assert found is not None
    assert found.still[waiter] == {waiter}
    assert waiter not in found.outside
    assert found.hidden == ()
    assert {one.pid for one in found.looks[-1][1]} >= {HERE, waiter}


def test_a_worker_that_has_ended_is_none() -> None:
    assert quick.first(Worker(main=2**22 - 1)) is None


def test_wakers_hold_for_a_thread_only_as_long_as_it_was_not_switched_to() -> None:
    before = ProcessLook(pid=7, cpu_s=0.0, children=(), threads=(replace(FUTEX, tid=7, switches=3, waits_in="read"),))
    later = replace(FUTEX, tid=7, switches=3, waits_in="read", wakers=frozenset({9}))
    assert quick._told(before, {(7, 7): later}).threads[0].wakers == {9}
    assert quick._told(before, {(7, 7): replace(later, switches=4)}).threads[0].wakers == frozenset()


def test_of_those_at_a_peer_two_stand_for_all_and_none_if_another_says_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    peers = [2**22 + number for number in range(6)]
    monkeypatch.setattr(quick, "judged", lambda seen, few, *, told: WAITS)
    found = quick.worst(first(still(*peers), outside=frozenset(peers)), peers)
    assert found is not None
    assert (found.report, len(found.glanced), found.busy) == (WAITS, quick.AT_ONCE, {CHILD})
    found = quick.worst(first(still(CHILD, *peers), outside=frozenset(peers)), [CHILD, *peers])
    assert found is not None
    assert found.glanced == {CHILD}


def test_a_worker_that_ends_while_it_is_glanced_at_has_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "judged", lambda seen, few, *, told: None)
    assert quick.worst(first(still(CHILD)), [CHILD]) is None
