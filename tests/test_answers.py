"""Checking answers and reading stamps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness import texts
from harness.records import answers
from harness.worker import contract

REFERENCE = np.array([[1.0, 2.0], [10.0, 20.0], [-5.0, 0.5]])
SECOND = 1_000_000_000


def written(path: Path, **changes: object) -> Path:
    """Three measured requests, one a second, each predicted for 0.5 s after waiting 0.25 s, all answered rightly."""
    n = len(REFERENCE)
    start = np.arange(n) * SECOND
    columns: dict[str, object] = {name: np.zeros(n, dtype=np.int64) for name in contract.REQUEST_FIELDS}
    columns |= {
        "number": np.arange(n),
        "row": np.arange(n),
        "phase": np.full(n, answers.MEASURE),
        "intended": start,
        "published": start,
        "sent": start,
        "begin": start + SECOND // 4,
        "predict_begin": start + SECOND // 4,
        "predict_end": start + 3 * SECOND // 4,
        "received": start + SECOND,
        "error": np.array([""] * n),
        "answers": REFERENCE.copy(),
        **changes,
    }
    np.savez(path, **columns)  # type: ignore[arg-type]
    return path


def load(path: Path, batch: int = 1) -> answers.Requests:
    return answers.load(path, REFERENCE, batch=batch, rtol=1e-4, atol=1e-4)


def test_right_answers_are_right(tmp_path: Path) -> None:
    requests = load(written(tmp_path / "r.npz"))
    assert requests.right.all()
    assert not requests.wrong.any()
    assert requests.max_error == 0.0


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ([10.0, 20.0], True),
        ([10.0, 20.002], True),  # inside 1e-4 + 1e-4 * 20
        ([10.0, 20.003], False),
        ([1.0, 2.0], False),  # another request's answer
        ([10.0, np.nan], False),
        ([np.inf, 20.0], False),
    ],
)
def test_one_number_off_makes_an_answer_wrong(answer: list[float], right: bool, tmp_path: Path) -> None:
    given = REFERENCE.copy()
    given[1] = answer
    requests = load(written(tmp_path / "r.npz", answers=given))
    assert bool(requests.right[1]) is right
    assert int(requests.wrong.sum()) == (0 if right else 1)


def test_answers_of_the_wrong_size_are_wrong(tmp_path: Path) -> None:
    requests = load(written(tmp_path / "r.npz", answers=np.ones((3, 5))))
    assert requests.wrong.all()
    assert requests.max_error == np.inf


def test_a_batch_is_checked_row_by_row(tmp_path: Path) -> None:
    pairs = np.concatenate([REFERENCE, np.roll(REFERENCE, -1, axis=0)], axis=1)
    assert load(written(tmp_path / "r.npz", answers=pairs), batch=2).right.all()


def test_raised_and_missing_requests_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    received = np.array([-1, SECOND, SECOND])
    error = np.array(["", "ValueError: x", ""])
    requests = load(written(tmp_path / "r.npz", received=received, error=error))
    assert requests.right.tolist() == [False, False, True]
    assert not requests.wrong.any()
    assert requests.errors() == {"ValueError: x": 1}


def test_what_is_saved_gives_the_times_back(tmp_path: Path) -> None:
    requests = load(written(tmp_path / "r.npz", phase=np.array([0, answers.MEASURE, answers.MEASURE])))
    answers.save(requests, tmp_path / "r.parquet")
    measured = answers.measured(tmp_path / "r.parquet")
    assert measured.latency_s.tolist() == [1.0, 1.0]
    assert measured.predict_s.tolist() == [0.5, 0.5]


def test_no_secret_is_in_the_errors_that_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_hidden", {"correct horse"})
    error = np.array(["", "ValueError: no correct horse here", "KeyError: 1"])
    answers.save(load(written(tmp_path / "r.npz", error=error)), tmp_path / "r.parquet")
    kept = pq.read_table(tmp_path / "r.parquet")["error"].to_pylist()
    assert kept == ["", "ValueError: no *** here", "KeyError: 1"]


def test_waiting_beside_a_free_executor_is_measured_exactly(tmp_path: Path) -> None:
    requests = load(written(tmp_path / "r.npz"))
    # each second: 0.25 s waiting while nobody works, 0.5 s of work, 0.25 s of neither
    waiting = answers.waiting(requests, capacity=1, begin_s=0.0, end_s=3.0)
    assert waiting is not None
    assert waiting.while_idle == pytest.approx(0.25)
    assert waiting.starved == 0.0, "the spells are shorter than what counts"


def test_waiting_while_every_executor_works_is_no_idling(tmp_path: Path) -> None:
    zero, half = np.zeros(3, dtype=np.int64), SECOND // 2
    turns = np.arange(3) * half
    requests = load(
        written(
            tmp_path / "r.npz",
            published=zero,
            begin=turns,
            predict_begin=turns,
            predict_end=turns + half,
            received=turns + half,
        )
    )
    one, two = (answers.waiting(requests, capacity=n, begin_s=0.0, end_s=1.5) for n in (1, 2))
    assert one is not None
    assert two is not None
    assert one.while_idle == pytest.approx(0.0)
    assert two.while_idle == pytest.approx(2 / 3)


def test_spells_in_which_work_waits_and_nobody_works_are_starvation(tmp_path: Path) -> None:
    stamps = {"published": np.array([0, 0, SECOND]), "begin": np.array([0, 2 * SECOND, 2 * SECOND])}
    begun, end = stamps["begin"], stamps["begin"] + SECOND // 2
    requests = load(written(tmp_path / "r.npz", **stamps, predict_begin=begun, predict_end=end, received=end))
    waiting = answers.waiting(requests, capacity=1, begin_s=0.0, end_s=3.0)
    assert waiting is not None
    assert waiting.starved == pytest.approx(0.5), "1.5 of 3 s, though a request was published in the midst of it"


def test_an_executor_that_has_answered_and_is_not_done_yet_is_no_reason_to_call_a_queue_starved(tmp_path: Path) -> None:
    stamps = {"published": np.array([0, 0, SECOND]), "begin": np.array([0, 2 * SECOND, 2 * SECOND])}
    begun, end = stamps["begin"], stamps["begin"] + SECOND // 2
    requests = load(written(tmp_path / "r.npz", **stamps, predict_begin=begun, predict_end=end, received=end))
    done = replace(requests, columns={**requests.columns, "written": np.array([2 * SECOND, 3 * SECOND, -1])})
    waiting = answers.waiting(done, capacity=1, begin_s=0.0, end_s=3.0)
    assert waiting is not None
    assert (waiting.starved, waiting.while_idle) == (0.0, 0.0)


def test_an_executor_that_runs_another_task_is_no_reason_to_call_a_queue_starved(tmp_path: Path) -> None:
    stamps = {"published": np.array([0, 0, SECOND]), "begin": np.array([0, 2 * SECOND, 2 * SECOND])}
    begun, end = stamps["begin"], stamps["begin"] + SECOND // 2
    requests = load(written(tmp_path / "r.npz", **stamps, predict_begin=begun, predict_end=end, received=end))
    others = np.array([SECOND // 2]), np.array([2 * SECOND])
    waiting = answers.waiting(requests, capacity=1, begin_s=0.0, end_s=3.0, others=others)
    assert waiting is not None
    assert (waiting.starved, waiting.while_idle) == (0.0, 0.0)
