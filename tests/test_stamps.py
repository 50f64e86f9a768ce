"""What the worker's stamp files add to the requests: the right one of several, and what an answer could not tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.observe.progress import Progress
from harness.records import stamps
from harness.worker import contract, heartbeat


def requests(*answered: tuple[int, int]) -> dict[str, np.ndarray]:
    """(begin, predict_end) of each request; -1 where no answer came."""
    n = len(answered)
    columns = {name: np.full(n, -1, dtype=np.int64) for name in ("begin", "predict_end", "pid", "tid")}
    columns |= {
        "number": np.arange(n),
        "begin": np.array([a for a, _ in answered]),
        "predict_end": np.array([b for _, b in answered]),
    }
    return columns


def write(folder: Path, name: str, *records: tuple[int, int, int]) -> None:
    """(kind, number, moment) each, of thread 7."""
    (folder / name).write_bytes(b"".join(contract.pack(kind, 7, number, at) for kind, number, at in records))


RECEIVED, WRITTEN = contract.WORKER_RECEIVED, contract.WRITTEN


def test_the_stamps_of_several_processes_come_together(tmp_path: Path) -> None:
    write(tmp_path, "10.stamps", (RECEIVED, 0, 5), (RECEIVED, 1, 6))
    write(tmp_path, "11.stamps", (WRITTEN, 0, 30))
    write(tmp_path, "12.stamps", (WRITTEN, 1, 40))
    found = stamps.joined(requests((10, 20), (12, 22)), tmp_path)
    assert found["worker_received"].tolist() == [5, 6]
    assert found["written"].tolist() == [30, 40]


def test_of_a_request_that_was_delivered_twice_the_stamps_around_its_answer_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "10.stamps", (RECEIVED, 0, 5), (WRITTEN, 0, 8), (RECEIVED, 0, 50), (WRITTEN, 0, 80), (RECEIVED, 0, 90))
    found = stamps.joined(requests((60, 70)), tmp_path)
    assert (found["worker_received"][0], found["written"][0]) == (50, 80)


def test_who_began_a_request_that_was_not_answered_is_taken_from_its_events(tmp_path: Path) -> None:
    write(tmp_path, "10.events", (contract.TASK_BEGIN, 0, 11), (contract.TASK_BEGIN, 1, 12))
    found = stamps.joined(requests((10, 20), (-1, -1)), tmp_path)
    assert found["begin"].tolist() == [10, 12]
    assert (found["pid"].tolist(), found["tid"].tolist()) == ([-1, 10], [-1, 7])


def test_a_torn_last_stamp_and_the_numbers_of_others_are_left_out(tmp_path: Path) -> None:
    whole = contract.pack(RECEIVED, 7, 0, 5)
    (tmp_path / "10.stamps").write_bytes(whole + contract.pack(RECEIVED, 7, 99, 5) + contract.pack(WRITTEN, 7, 0, 9)[:-3])
    found = stamps.joined(requests((10, 20)), tmp_path)
    assert (found["worker_received"].tolist(), found["written"].tolist()) == ([5], [-1])


def test_without_files_every_stamp_is_missing(tmp_path: Path) -> None:
    assert stamps.joined(requests((10, 20)), tmp_path)["written"].tolist() == [-1]


def test_a_task_whose_answer_was_read_before_its_end_was_signalled_ended_with_the_reading(tmp_path: Path) -> None:
    """The four: signalled before the reading; after it; never answered; never signalled."""
    write(tmp_path, "10.events", *((contract.TASK_END, number, 20) for number in range(3)))
    columns = {"number": np.arange(4), "begin": np.full(4, 10), "received": np.array([25, 15, -1, 25])}
    assert stamps.ended(columns, tmp_path).tolist() == [20, 15, 20, -1]


def test_stamps_are_no_sign_of_life(tmp_path: Path) -> None:
    """A worker that only receives makes no progress, however much it receives."""
    heartbeat.open_in(str(tmp_path))
    try:
        heartbeat.emit(contract.READY)
        progress = Progress(tmp_path)
        progress.read()
        before = progress.last_event_s
        heartbeat.stamp(contract.WORKER_RECEIVED, 3)
        assert not progress.read()
        assert progress.last_event_s == before
        assert stamps.read(tmp_path, contract.STAMPS_FILE_NAME, (RECEIVED,))["number"].tolist() == [3]
    finally:
        heartbeat.open_in(None)


def test_the_record_is_the_one_that_the_worker_packs() -> None:
    one = np.frombuffer(contract.pack(3, -4, 5, 6), dtype=stamps.RECORD)[0]
    assert tuple(one) == (3, -4, 5, 6)
    assert stamps.RECORD.itemsize == contract.EVENT_SIZE


def test_a_requests_number_is_read_from_its_task_id() -> None:
    from harness.client.plan import request_id

    assert contract.request_number(request_id("a" * 24, 258)) == 258


def test_other_tasks_are_told_by_process_and_one_without_an_end_still_runs(tmp_path: Path) -> None:
    write(tmp_path, "10.events", (contract.OTHER_BEGIN, 0, 5), (contract.OTHER_END, 0, 9), (contract.OTHER_BEGIN, 1, 20))
    write(tmp_path, "11.events", (contract.OTHER_BEGIN, 0, 6), (contract.OTHER_END, 0, 7), (contract.TASK_BEGIN, 0, 1))
    begun, ended = stamps.other_tasks(tmp_path)
    assert sorted(zip(begun.tolist(), ended.tolist(), strict=True)) == [(5, 9), (6, 7), (20, stamps.NEVER)]


def test_how_long_other_tasks_ran_is_told_by_name(tmp_path: Path) -> None:
    second = 10**9
    write(tmp_path, "10.events", (contract.OTHER_BEGIN, 0, 5 * second), (contract.OTHER_END, 0, 9 * second))
    write(tmp_path, "11.events", (contract.OTHER_BEGIN, 0, 6 * second), (contract.OTHER_BEGIN, 1, 90 * second))
    (tmp_path / "10.others").write_text("0 shop.index\n")
    (tmp_path / "11.others").write_text("0 shop.index\n1 shop.late\n")
    assert stamps.others_s(tmp_path, 8.0) == {"shop.index": 3.0 + 2.0, "shop.late": 0.0}
    assert stamps.others_s(tmp_path / "none", 8.0) == {}
