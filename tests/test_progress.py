"""Signs of life, written by one process and read by another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.observe.progress import PUT_OFF, Progress
from harness.worker import contract, heartbeat, other_tasks

SECOND = 1_000_000_000


def put(folder: Path, pid: int, *events: tuple[int, int, float]) -> None:
    """Append (kind, number, at_s) events of one process."""
    with open(folder / contract.FILE_NAME.format(pid=pid), "ab") as file:
        for kind, number, at_s in events:
            file.write(contract.pack(kind, pid, number, int(at_s * SECOND)))


def test_a_request_is_waiting_then_open_then_ended(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 1, (contract.PUBLISHED, 0, 1.0), (contract.PUBLISHED, 1, 1.0))
    progress.read()
    assert (progress.waiting, len(progress.open)) == (2, 0)
    put(tmp_path, 2, (contract.TASK_BEGIN, 0, 2.0))
    progress.read()
    assert (progress.waiting, len(progress.open)) == (1, 1)
    put(tmp_path, 2, (contract.TASK_END, 0, 3.0))
    progress.read()
    assert (progress.waiting, len(progress.open), progress.ended) == (1, 0, 1)


def test_a_request_that_puts_itself_off_is_neither_lost_nor_begun_twice(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 1, (contract.PUBLISHED, 0, 1.0), (contract.PUBLISHED, 5000, 1.0))
    put(tmp_path, 2, (contract.TASK_BEGIN, 5000, 2.0), (contract.RETRIED, 5000, 2.5), (contract.TASK_END, 5000, 2.6))
    progress.read()
    assert (progress.waiting, progress.unanswered, len(progress.open)) == (1, 0, 0)
    put(tmp_path, 2, (contract.TASK_BEGIN, 5000, 9.0), (contract.TASK_END, 5000, 9.1))
    progress.read()
    assert (progress.waiting, progress.begun, progress.unanswered) == (1, 1, 1)
    put(tmp_path, 2, (contract.RETRIED, 5000, 9.2))
    progress.read()
    assert progress.begun_again() == {"put off by a retry": (2,)}
    put(tmp_path, 1, (contract.RECEIVED, 5000, 9.5))
    progress.read()
    assert progress.begun_again() == {}


def test_the_processes_in_which_requests_ran_are_known_beside_the_one_that_was_ready(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 2, (contract.READY, -1, 1.0), (contract.TASK_BEGIN, 0, 2.0), (contract.OTHER_BEGIN, 0, 2.0))
    put(tmp_path, 3, (contract.TASK_END, 0, 2.5))
    put(tmp_path, 4, (contract.OTHER_BEGIN, 0, 3.0))
    progress.read()
    assert (progress.ready_pid, progress.ran_in) == (2, {2, 3})


def test_how_a_request_was_put_off_is_told_apart(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 1, *((contract.PUBLISHED, number, 1.0) for number in range(4)))
    for number, kind in enumerate([contract.RETRIED, contract.REQUEUED, contract.REQUEUED, contract.REPLACED]):
        put(tmp_path, 2, (contract.TASK_BEGIN, number, 2.0), (kind, number, 2.5), (contract.TASK_END, number, 2.6))
    put(tmp_path, 2, (contract.TASK_BEGIN, 1, 3.0), (contract.REQUEUED, 1, 3.5), (contract.TASK_END, 1, 3.6))
    progress.read()
    assert {PUT_OFF[kind]: counts for kind, counts in [
        (contract.RETRIED, (1,)), (contract.REQUEUED, (1, 2)), (contract.REPLACED, (1,)),
    ]} == progress.begun_again()  # fmt: skip
    assert (progress.unanswered, list(progress.put_off)) == (0, [0, 2, 3, 1])


def test_a_task_that_is_none_of_our_requests_keeps_its_executor_busy(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 2, (contract.READY, -1, 1.0), (contract.TASK_BEGIN, 0, 2.0), (contract.TASK_END, 0, 2.5))
    put(tmp_path, 2, (contract.OTHER_BEGIN, 0, 3.0))
    put(tmp_path, 3, (contract.TASK_BEGIN, 1, 3.0))
    (tmp_path / "2.others").write_text("0 shop.index\n1 shop.clean\n")
    progress.read()
    assert progress.busy == {(2, 2): 1, (3, 3): 1}
    assert [progress.task_of(stage) for stage in progress.open.values()] == ["shop.index", ""]
    assert (progress.begun, progress.ended, progress.usual_s) == (2, 1, None)
    put(tmp_path, 2, (contract.OTHER_END, 0, 13.0))
    progress.read()
    assert progress.busy == {(3, 3): 1}
    assert progress.quiet_s(now_s=14.0) == pytest.approx(1.0), "its end is progress"
    assert (progress.begun, progress.ended, progress.usual_s) == (2, 1, None)


def test_a_child_starts_until_it_may_serve(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 2, (contract.START_BEGIN, -1, 1.0))
    put(tmp_path, 3, (contract.START_BEGIN, -1, 1.0), (contract.CHILD_INIT, -1, 21.0))
    put(tmp_path, 4, (contract.CHILD_INIT, -1, 1.0))
    progress.read()
    assert [(stage.kind, stage.pid, stage.tid, stage.since_s) for stage in progress.open.values()] == [("start", 2, 2, 1.0)]
    assert progress.child_pids == {2, 3, 4}
    assert progress.busy == {}


def test_a_request_that_is_ignored_on_purpose_is_not_unanswered(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 1, *((contract.PUBLISHED, number, 1.0) for number in range(3)))
    put(tmp_path, 2, (contract.TASK_BEGIN, 0, 2.0), (contract.IGNORED, 0, 2.5), (contract.TASK_END, 0, 2.5))
    progress.read()
    assert (progress.ignored, progress.waiting, progress.unanswered) == ({0}, 2, 0)
    put(tmp_path, 2, (contract.IGNORED, 1, 3.0))  # revoked: nobody begins it
    put(tmp_path, 2, (contract.TASK_BEGIN, 2, 3.0), (contract.TASK_END, 2, 3.0))
    progress.read()
    assert (progress.ignored, progress.waiting, progress.unanswered) == ({0, 1}, 0, 1)


def test_an_answer_counts_whether_it_comes_before_or_after_the_word_that_there_is_none(tmp_path: Path) -> None:
    """A revoked request has both."""
    progress = Progress(tmp_path)
    put(tmp_path, 1, *((contract.PUBLISHED, number, 1.0) for number in range(3)))
    put(tmp_path, 1, (contract.RECEIVED, 0, 2.0))
    put(tmp_path, 2, (contract.IGNORED, 0, 3.0), (contract.IGNORED, 1, 3.0))
    put(tmp_path, 1, (contract.RECEIVED, 1, 4.0))
    put(tmp_path, 2, (contract.TASK_BEGIN, 2, 5.0), (contract.TASK_END, 2, 5.0))
    progress.read()
    assert (progress.ignored, progress.waiting, progress.unanswered) == (set(), 0, 1)


def test_two_runs_of_one_task_at_a_time_are_told_apart(tmp_path: Path) -> None:
    heartbeat.open_in(str(tmp_path))
    try:
        for _ in range(2):
            other_tasks.begun(str(tmp_path), "an-id", "shop.index")
        other_tasks.ended("an-id")
        other_tasks.ended("another id, whose beginning was before us")
    finally:
        heartbeat.open_in(None)
    progress = Progress(tmp_path)
    progress.read()
    assert [(stage.kind, progress.task_of(stage)) for stage in progress.open.values()] == [("other", "shop.index")]


def test_sending_to_a_worker_that_owes_an_answer_is_no_progress(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 2, (contract.READY, -1, 1.0))
    put(tmp_path, 1, (contract.PUBLISHED, 0, 1.0), (contract.PUBLISHED, 1, 9.0))
    progress.read()
    assert progress.quiet_s(now_s=10.0) == pytest.approx(9.0)


def test_a_worker_without_anything_to_do_is_not_waited_for(tmp_path: Path) -> None:
    """Between two requests of slow open traffic: the silence begins with the request, and the gap is nobody's silence."""
    progress = Progress(tmp_path)
    put(tmp_path, 2, (contract.READY, -1, 1.0), (contract.TASK_BEGIN, 0, 1.5), (contract.TASK_END, 0, 1.6))
    put(tmp_path, 1, (contract.PUBLISHED, 0, 1.4), (contract.RECEIVED, 0, 1.7), (contract.PUBLISHED, 1, 61.7))
    progress.read()
    assert progress.quiet_s(now_s=62.0) == pytest.approx(0.3)
    put(tmp_path, 1, (contract.RECEIVED, 1, 62.1))
    progress.read()
    assert progress.longest_silence_s < 1.0


def test_a_request_that_was_taken_back_is_not_waited_for(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 1, (contract.PUBLISHED, 0, 1.0), (contract.PUBLISHED, 1, 1.0), (contract.WITHDRAWN, 1, 2.0))
    progress.read()
    assert progress.waiting == 1


def test_events_that_are_written_together_are_read_one_by_one(tmp_path: Path) -> None:
    heartbeat.open_in(str(tmp_path))
    try:
        heartbeat.emit_all(contract.PUBLISHED, [])
        heartbeat.emit_all(contract.PUBLISHED, [0])
        heartbeat.emit_all(contract.PUBLISHED, [1, 2, 3])
    finally:
        heartbeat.open_in(None)
    progress = Progress(tmp_path)
    progress.read()
    assert progress.published == 4


def test_the_longest_silence_that_ended_is_remembered(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    first = (contract.READY, -1, 1.0), (contract.TASK_BEGIN, 0, 2.0), (contract.TASK_END, 0, 9.0)
    put(tmp_path, 2, *first, (contract.TASK_BEGIN, 1, 9.5), (contract.TASK_END, 1, 13.0), (contract.TASK_BEGIN, 2, 13.0))
    progress.read()
    assert progress.longest_silence_s == pytest.approx(3.5), "a first request says nothing of the later ones"
    assert progress.usual_s == pytest.approx(3.5)
    put(tmp_path, 3, (contract.TASK_BEGIN, 3, 14.0))
    progress.read()
    assert progress.longest_silence_s == pytest.approx(7.0), "while another process runs its first, that may take as long"


def test_a_torn_event_is_read_when_it_is_whole(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    whole = contract.pack(contract.READY, 1, -1, SECOND)
    path = tmp_path / "5.events"
    path.write_bytes(whole[:7])
    assert progress.read() is False
    path.write_bytes(whole)
    assert progress.read() is True
    assert progress.ready_at_s == pytest.approx(1.0)


def test_what_a_dead_process_held_is_let_go(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    put(tmp_path, 2, (contract.TASK_BEGIN, 0, 2.0))
    put(tmp_path, 3, (contract.TASK_BEGIN, 1, 2.0))
    progress.read()
    lost = progress.forget({2})
    assert [stage.number for stage in lost] == [0]
    assert [stage.number for stage in progress.open.values()] == [1]


def test_a_forked_child_writes_to_a_file_of_its_own(tmp_path: Path) -> None:
    heartbeat.open_in(str(tmp_path))
    try:
        heartbeat.emit(contract.READY)
        pid = os.fork()
        if pid == 0:
            heartbeat.emit(contract.TASK_BEGIN, 7)
            os._exit(0)
        os.waitpid(pid, 0)
    finally:
        heartbeat.open_in(None)
    progress = Progress(tmp_path)
    progress.read()
    assert progress.ready_at_s is not None
    assert [(stage.pid, stage.number) for stage in progress.open.values()] == [(pid, 7)]
