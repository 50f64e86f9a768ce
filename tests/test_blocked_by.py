"""What blocks an executor, if one look tells: the causes over plain values, and what they rest on, in this very process."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from harness.judge.blocked import How
from harness.live import blocked_by
from harness.live.answer import Report
from harness.live.blocked_by import Blocks, Held, Output, Subtask
from harness.live.executor import State
from harness.machine import pipes, python_locks
from harness.observe.roles import Role
from tests.test_live import CHILD, READS, SECOND, child, said, seen
from tests.waiting import wait_until

FIRST, OTHER = (CHILD, CHILD), (SECOND, SECOND)
GET = "AsyncResult.get (celery/result.py:253)"
TRACER = "trace_task (celery/app/trace.py:477)"
WRITES = {"waits_in": "write", "private": False}
LOST = {CHILD: ((), ("Thread-1",))}


def output(idle: bool) -> Blocks:
    told = Output(name="standard error", leads="a pipe to process 7 supervisord", readers=("process 7 supervisord",), idle=idle)
    return Blocks(outputs={FIRST: told})


@pytest.mark.parametrize(("idle", "words"), [(True, "does not wait to read it"), (False, "more slowly than is written")])
def test_a_task_whose_output_nobody_takes_is_blocked_by_it_and_its_reader_is_named(idle: bool, words: str) -> None:
    found = said(seen(child(**WRITES)), blocks=output(idle))
    assert (found.state, found.cause) == (State.WAITING, "output-blocked")
    assert found.support[0].startswith("it writes to its standard error, a pipe to process 7 supervisord")
    assert "process 7 supervisord has the other end" in found.support[1]
    assert words in found.support[1]
    assert f"cat /proc/{CHILD}/fd/2" in found.now
    assert "--logfile" in found.for_good


def waits_for_results(*places: tuple[int, int], limit: str = "") -> Blocks:
    return Blocks(subtasks=dict.fromkeys(places, Subtask(frame=GET, limit=limit)))


def test_a_worker_whose_every_executor_waits_for_a_subtask_says_that_none_is_left() -> None:
    both = seen(child(**READS), child(SECOND, **READS))
    found = said(both, blocks=waits_for_results(FIRST, OTHER))
    assert (found.state, found.cause) == (State.WAITING, "waits-for-subtask")
    assert "with no time limit: AsyncResult.get (celery/result.py:253)" in found.support[0]
    assert found.support[1].startswith("all 2 executors of this worker wait so")
    assert "kill" not in found.now, "what they wait for may run at another worker"
    assert "a chain or a chord" in found.for_good


@pytest.mark.parametrize(
    ("broker", "starts"),
    [
        ({"queues": {"celery": 2, "mail": 0}, "unacked": 0, "others": False}, "celery worker -Q celery"),
        ({"queues": {"celery": 0}, "unacked": 2, "others": False}, ""),
        ({"queues": {"celery": 2}, "unacked": 0, "others": True}, ""),  # another worker takes it
        ({"queues": {}, "unacked": 0, "others": False}, ""),  # nothing waits: it runs somewhere
        ({"queues": None, "unacked": None, "others": False}, ""),
    ],
)
def test_what_waits_in_a_queue_needs_a_worker_and_costs_no_child(broker: dict[str, Any], starts: str) -> None:
    both = seen(child(**READS), child(SECOND, **READS))
    told = {"url": "redis://b/0", "answers": True, "asks": True, **broker}
    now = said(both, broker=told, blocks=waits_for_results(FIRST, OTHER)).now
    assert "kill" not in now
    assert (starts in now) if starts else now.startswith("look at who runs what it waits for")


def test_where_an_executor_is_free_nobody_is_told_to_kill_one() -> None:
    found = said(seen(child(**READS), child(SECOND, Role.IDLE)), blocks=waits_for_results(FIRST, limit="30"))
    assert found.cause == "waits-for-subtask"
    assert "for 30 s at most" in found.support[0]
    assert found.support[1].startswith("1 of 2 executors wait so")
    assert "kill" not in found.now


GIVEN = Subtask(frame=GET, closed=True)


@pytest.mark.parametrize(
    ("broker", "state"),
    [
        ({"queues": {}, "unacked": 2, "others": False}, State.STUCK),
        ({"queues": {}, "unacked": 2, "others": True}, State.WAITING),  # it may be handed out to them in an hour
        ({"queues": {}, "unacked": 2, "others": None}, State.WAITING),
        ({}, State.WAITING),
    ],
)
def test_executors_that_wait_for_what_their_worker_was_given_are_stuck_if_it_is_alone(
    broker: dict[str, Any], state: State
) -> None:
    polls = {**READS, "waits_in": "poll", "timed": True}
    blocks = Blocks(subtasks={FIRST: GIVEN, OTHER: GIVEN})
    found = said(seen(child(**polls), child(SECOND, **polls), moves=lambda i: {"switches": i}), broker=broker, blocks=blocks)
    assert (found.state, found.cause) == (state, "waits-for-subtask")
    assert "what they wait for was given to this worker itself" in found.support[2]
    assert {one.how for one in found.executors} == ({How.SUBTASK} if state is State.STUCK else {None})
    assert found.now.startswith(f"kill -9 {CHILD}: that ends this child alone, its task is lost")


def test_threads_that_wait_for_what_their_worker_was_given_are_freed_by_a_restart() -> None:
    one = seen(child(**READS), pool="threads")
    told = {"queues": {}, "unacked": 2, "others": False}
    found = said(one, broker=told, blocks=Blocks(subtasks={FIRST: GIVEN}))
    assert (found.state, found.now.startswith("restart the worker with kill -9")) == (State.STUCK, True)
    alone = said(one, broker={**told, "queues": {"celery": 1}}, blocks=waits_for_results(FIRST))
    assert (alone.state, alone.now.startswith("start a worker for what waits in celery")) == (State.WAITING, True)


def held(lock: Held, frames: tuple[str, ...] = ("add (batcher.py:7)",), lost: bool = True) -> Report:
    """What is said, without native stacks, of a child that waits for this lock."""
    return said(
        seen(child()), deep=False, blocks=Blocks(locks={FIRST: lock}), frames={FIRST: frames}, lost=LOST if lost else {}
    )


def test_a_lock_whose_owner_is_a_thread_of_the_parent_was_held_at_the_fork() -> None:
    owner = "thread 40 (flusher) of its parent, process 50"
    found = held(Held(kind="threading.RLock", holder=owner, by_parent=True, inherited=True), lost=False)
    assert (found.state, found.cause) == (State.STUCK, "fork-held-lock")
    assert found.support == (f"it is a threading.RLock, held by {owner}, at the fork", "the stack ends in add (batcher.py:7)")


def test_a_lock_whose_holder_has_gone_is_blamed_on_the_fork_only_if_the_parents_copy_says_so() -> None:
    gone = Held(kind="threading.RLock", holder="a thread that this process does not have", gone=True)
    found = [held(replace(gone, inherited=True)), held(replace(gone, inherited=True), lost=False), held(gone)]
    assert [one.cause for one in found] == ["unknown", "deadlock", "deadlock"]
    assert "held by a thread of its own that has ended, or one of its parent's at the fork" in found[0].support[0]


def test_a_lock_without_an_owner_was_held_at_the_fork_if_the_parent_has_it_and_has_threads_more() -> None:
    found = held(Held(kind="threading.Lock", inherited=True, held_elsewhere=True))
    assert (found.state, found.cause) == (State.STUCK, "fork-held-lock")
    assert "lacks threads of it that may have held it at the fork: 1 x Thread-1" in found.support[0]
    free = held(Held(kind="threading.Lock", inherited=True))
    assert (free.state, free.cause) == (State.STUCK, "unknown")
    assert "the task itself may have taken it twice" in free.support[1]
    assert held(Held(kind="threading.Lock", inherited=True), lost=False).cause == "deadlock"


def test_a_lock_that_the_parent_does_not_have_is_a_deadlock_of_the_child_alone() -> None:
    found = held(Held(kind="threading.Lock", inherited=False))
    assert (found.state, found.cause) == (State.STUCK, "deadlock")
    assert "its parent does not have" in found.support[0]


@pytest.mark.parametrize("frame", ["wait (threading.py:320)", "_ModuleLock.acquire (<frozen importlib._bootstrap>:2)"])
def test_what_another_thread_is_to_do_or_to_import_is_no_lock_that_was_held(frame: str) -> None:
    assert "its parent has, too" not in " ".join(held(Held(kind="threading.Lock", inherited=True), (frame,)).support)


def test_a_lock_in_a_worker_that_does_not_fork_keeps_the_judges_cause() -> None:
    blocks = Blocks(locks={FIRST: Held(kind="threading.Lock", inherited=True)})
    one = seen(child(), pool="solo")
    assert blocked_by.named(one, blocks, FIRST, how=How.FUTEX, frames=(), lost=("Thread-1",), broker={}) is None


@pytest.mark.parametrize(
    ("frames", "frame"),
    [
        (("poll (redis/x.py:1)", GET, "report (app.py:20)", TRACER), GET),
        (("ResultSet.join_native (celery/result.py:780)", TRACER), "ResultSet.join_native (celery/result.py:780)"),
        (("RedisBackend.get (celery/backends/redis.py:3)", TRACER), ""),
        (("get (requests/api.py:3)", TRACER), ""),
        ((TRACER, GET, "main (script.py:3)"), ""),
        ((GET, "main (script.py:3)"), ""),
    ],
)
def test_a_result_is_waited_for_inside_a_task_or_it_is_no_subtask(frames: tuple[str, ...], frame: str) -> None:
    assert blocked_by._result_frame(frames) == frame


@contextmanager
def waiting_for(lock: threading.Lock | threading.RLock) -> Iterator[int]:
    """The native id of a thread that waits for a lock which another one holds."""
    take, give = threading.Event(), threading.Event()
    told: list[int] = []

    def hold() -> None:
        with lock:
            take.set()
            give.wait()

    def want() -> None:
        told.append(threading.get_native_id())
        with lock:
            pass

    threads = [threading.Thread(target=hold), threading.Thread(target=want)]
    threads[0].start()
    take.wait()
    threads[1].start()
    try:
        assert wait_until(lambda: told and python_locks.waited_for(os.getpid(), told[0]))  # it may wait for the GIL before
        yield told[0]
    finally:
        give.set()
        for thread in threads:
            thread.join()


def test_pythons_locks_are_found_in_memory_and_an_rlock_names_its_owner() -> None:
    with waiting_for(threading.RLock()) as tid:
        found = python_locks.waited_for(os.getpid(), tid)
        assert found is not None
        assert found.kind == "threading.RLock"
        assert found.owner in {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        assert python_locks.copy_in(os.getpid(), found) == found
    with waiting_for(lock := threading.Lock()) as tid:
        found = python_locks.waited_for(os.getpid(), tid)
        assert found is not None
        assert found.place == id(lock)
        assert (found.kind, found.owner) == ("threading.Lock", 0)
        assert not python_locks.is_free(os.getpid(), found)
        assert not python_locks.copy_in(os.getppid(), found)
    assert python_locks.is_free(os.getpid(), found)


@pytest.mark.parametrize(
    ("made", "kind"), [(threading.Lock, "threading.Lock"), (threading.RLock, "threading.RLock"), (object, "")]
)
def test_what_a_thread_of_python_3_14_is_parked_for_stands_before_its_futex(made: Callable[[], Any], kind: str) -> None:
    lock = made()  # of any version: what is read of it stands at the same places
    entry = (ctypes.c_uint64 * 3)(0, id(lock) + 16, 0)  # as in Python/parking_lot.c: argument, address, and the semaphore
    found = python_locks.parked(os.getpid(), ctypes.addressof(entry) + 16)
    assert (found.kind if found else "", found.place if found else id(lock)) == (kind, id(lock))


def test_only_memory_that_a_process_has_used_is_read() -> None:
    with mmap.mmap(-1, 4 << 20) as memory:
        place = ctypes.addressof(first := ctypes.c_char.from_buffer(memory))
        del first
        area = os.getpid(), place, place + len(memory)
        assert list(python_locks._touched(*area)) == []
        memory[mmap.PAGESIZE : mmap.PAGESIZE + 4] = b"used"
        [(at, found)] = python_locks._touched(*area)
        assert (at, found) == (place + mmap.PAGESIZE, b"used".ljust(mmap.PAGESIZE, b"\0"))


def test_a_thread_that_waits_for_no_lock_has_none() -> None:
    assert python_locks.waited_for(os.getpid(), threading.get_native_id()) is None


def test_who_should_read_a_pipe_is_known_and_whether_anybody_does() -> None:
    read_end, write_end = os.pipe()
    try:
        assert [(one.pid, one.waits) for one in pipes.readers(os.getpid(), write_end)] == [(os.getpid(), False)]
        reader = threading.Thread(target=os.read, args=(read_end, 1))
        reader.start()
        assert wait_until(lambda: pipes.readers(os.getpid(), write_end)[0].waits)
        os.write(write_end, b"x")
        reader.join()
        assert pipes.is_output(os.getpid(), write_end) == ""
        copied = os.dup(1)
        assert pipes.is_output(os.getpid(), copied) in ("standard output", "standard error")  # both may lead to one place
        os.close(copied)
    finally:
        for end in (read_end, write_end):
            with suppress(OSError):
                os.close(end)
    assert pipes.readers(os.getpid(), write_end) == ()
