"""Where the time goes: the stages of known histories, and what is said where a history cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import NothingMatches
from harness.experiment.matrix import Cell
from harness.measure import waterfall
from harness.measure.waterfall import NEEDED, STAGES
from harness.records.answers import MEASURE, Requests
from harness.records.outcomes import Outcome
from harness.report import waterfall_view
from harness.summary import summary
from tests import handmade
from tests.test_store import record

MS = 1_000_000
ORDER = ("published", "worker_received", "begin", "predict_begin", "predict_end", "written", "received")


def columns(*histories: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Each history: the moments of ORDER in milliseconds, -1 for one that never came."""
    stamps = np.array(histories, dtype=np.int64)
    return {name: np.where(stamps[:, i] < 0, -1, stamps[:, i] * MS) for i, name in enumerate(ORDER)}


def told(found: np.ndarray, row: int = 0) -> dict[str, float]:
    return dict(zip(STAGES, (found[row] * 1e3).round(6).tolist(), strict=True))


def test_a_request_alone_spends_its_time_where_its_stamps_say() -> None:
    found = waterfall.stages({**columns((10, 13, 15, 16, 36, 40, 41)), "sent": np.array([11 * MS])}, capacity=1)
    assert told(found) == {
        "publish": 1, "broker": 2, "prefetch": 0, "dispatch": 2, "prepare": 1, "predict": 20, "write": 4, "read": 1,
    }  # fmt: skip


def test_latency_counts_from_the_intended_moment_if_there_is_one() -> None:
    late = {**columns((10, 13, 15, 16, 36, 40, 41)), "sent": np.array([11 * MS]), "intended": np.array([4 * MS])}
    assert told(waterfall.stages(late, capacity=1))["publish"] == 7


def test_a_client_that_does_not_say_when_a_message_was_sent_leaves_publishing_unknown_and_the_sum_whole() -> None:
    found = waterfall.stages(columns((10, 13, 15, 16, 36, 40, 41)), capacity=1)
    assert np.isnan(found[0, 0])
    assert np.nansum(found) == pytest.approx(0.031)


def test_a_message_may_arrive_before_the_call_that_sent_it_returns() -> None:
    found = waterfall.stages({**columns((10, 13, 15, 16, 36, 40, 41)), "sent": np.array([14 * MS])}, capacity=1)
    assert (told(found)["publish"], told(found)["broker"]) == (3, 0)


def test_an_answer_may_be_read_before_its_writer_says_it_is_written() -> None:
    found = waterfall.stages(columns((10, 13, 15, 16, 36, 44, 41)), capacity=1)
    assert (told(found)["write"], told(found)["read"]) == (5, 0)


BUSY = columns((0, 1, 2, 2, 20, 21, 22), (0, 1, 24, 24, 30, 31, 32))


def test_a_request_that_waits_for_a_busy_executor_waits_in_prefetch_until_it_is_free_and_then_in_dispatch() -> None:
    second = told(waterfall.stages(BUSY, capacity=1), 1)
    assert (second["prefetch"], second["dispatch"]) == (20, 3)


def test_the_same_wait_is_all_dispatch_where_another_executor_was_free() -> None:
    second = told(waterfall.stages(BUSY, capacity=2), 1)
    assert (second["prefetch"], second["dispatch"]) == (0, 23)


def test_a_request_that_was_never_answered_keeps_its_executor() -> None:
    """Of two executors one holds a request for ever: those behind it wait for the other one."""
    found = waterfall.stages(columns((0, 1, 2, -1, -1, -1, -1), *BUSY_ROWS), capacity=2)
    assert np.isnan(found[0]).all()
    assert told(found, 2)["prefetch"] == 20


BUSY_ROWS = [tuple(int(BUSY[name][i]) // MS for name in ORDER) for i in (0, 1)]


def test_a_request_on_an_executor_that_replaced_another_has_no_known_split() -> None:
    """One executor, its request lost with it; two more requests begin on the child that came instead."""
    found = waterfall.stages(
        columns((0, 1, 2, -1, -1, -1, -1), (0, 1, 50, 50, 60, 61, 62), (0, 1, 65, 65, 70, 71, 72)), capacity=1
    )
    assert np.isnan(found[1]).all()
    assert told(found, 2)["prefetch"] == 60


@pytest.mark.parametrize("name", NEEDED)
def test_a_request_that_lacks_a_stamp_has_no_stages(name: str) -> None:
    lacking = {**BUSY, name: np.array([-1, BUSY[name][1]])}
    assert np.isnan(waterfall.stages(lacking, capacity=1)[0]).all()


def test_stamps_that_contradict_each_other_give_no_stages() -> None:
    assert np.isnan(waterfall.stages(columns((10, 13, 12, 16, 36, 40, 41)), capacity=1)).all()


@given(st.lists(st.lists(st.integers(0, 50), min_size=7, max_size=7), min_size=1, max_size=12), st.integers(1, 4))
def test_whatever_is_told_adds_up_to_the_latency(gaps: list[list[int]], capacity: int) -> None:
    histories = columns(*(tuple(np.cumsum(row).tolist()) for row in gaps))
    found = waterfall.stages({**histories, "sent": histories["published"]}, capacity=capacity)
    known = ~np.isnan(found).any(axis=1)
    latency = (histories["received"] - histories["published"]) * 1e-9
    assert found[known].sum(axis=1) == pytest.approx(latency[known])
    assert (found[known] >= 0).all()


WAITS_IN_BROKER = columns((0, 90, 91, 91, 92, 93, 94), (0, 95, 96, 96, 97, 98, 99))
WAITS_IN_WORKER = columns((0, 1, 91, 91, 92, 93, 94), (0, 1, 96, 96, 97, 98, 99))


@pytest.mark.parametrize(("history", "stage"), [(WAITS_IN_BROKER, "broker"), (WAITS_IN_WORKER, "dispatch")])
def test_a_stall_is_named_by_the_stage_where_requests_wait_while_an_executor_is_free(
    history: dict[str, np.ndarray], stage: str
) -> None:
    shares = waterfall.waited_in(history, capacity=1, begin_s=0.0, end_s=0.1)
    assert shares[stage] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


def test_waiting_behind_a_busy_executor_is_no_stall() -> None:
    busy = columns((0, 0, 0, 0, 50, 50, 50), (0, 0, 50, 50, 99, 100, 100))
    assert waterfall.waited_in(busy, capacity=1, begin_s=0.0, end_s=0.1) == {}


def test_of_spells_in_which_nobody_works_only_these_count() -> None:
    """One of two executors is busy until 50 ms, and then none until 90: the second request waits all the time."""
    history = columns((0, 0, 0, 0, 50, 50, 50), (0, 40, 90, 90, 99, 100, 100))
    assert waterfall.waited_in(history, capacity=2, begin_s=0.0, end_s=0.1) == pytest.approx(
        {"broker": 40 / 90, "dispatch": 50 / 90}
    )
    assert waterfall.waited_in(history, capacity=2, begin_s=0.0, end_s=0.1, nobody=True) == pytest.approx({"dispatch": 1})


def test_requests_that_nobody_takes_wait_until_the_end() -> None:
    shares = waterfall.waited_in(columns((0, 1, -1, -1, -1, -1, -1)), capacity=2, begin_s=0.0, end_s=5.0)
    assert shares["dispatch"] > 0.9


@pytest.mark.parametrize(
    "ask", [lambda history: waterfall.waited_in(history, capacity=1, begin_s=0.0, end_s=1.0), waterfall.standing_in]
)
def test_without_the_workers_stamps_no_place_is_named(ask: Callable[[dict[str, np.ndarray]], dict[str, float]]) -> None:
    assert ask(columns((0, -1, 91, 91, 92, -1, -1))) == {}


def test_requests_that_stand_still_stand_where_their_last_stamp_leaves_them() -> None:
    done, queued, received = (0, 1, 2, 2, 3, 4, 5), (0, -1, -1, -1, -1, -1, -1), (0, 1, -1, -1, -1, -1, -1)
    begun, written = (0, 1, 2, -1, -1, -1, -1), (0, 1, 2, -1, -1, 4, -1)
    shares = waterfall.standing_in(columns(done, queued, received, begun, written))
    assert shares == {"broker": 0.25, "worker": 0.25, "write": 0.25, "read": 0.25}


def test_the_words_begin_with_the_place_of_most_waiting_and_leave_trifles_out() -> None:
    words = waterfall.in_words({"broker": 0.3, "dispatch": 0.68, "read": 0.02})
    assert words.index("68% in dispatch") < words.index("30% in the broker")
    assert "read" not in words
    assert waterfall.in_words({}) == ""


def rows_of(n: int = 100) -> dict[str, np.ndarray]:
    """n equal requests, one after the other."""
    return columns(
        *((i * 100, i * 100 + 13, i * 100 + 15, i * 100 + 16, i * 100 + 36, i * 100 + 40, i * 100 + 41) for i in range(n))
    ) | {"phase": np.full(n, MEASURE)}


def requests(*, stamped: bool, n: int = 100) -> Requests:
    rows, yes = rows_of(n), np.full(n, True)
    kept = {key: value for key, value in rows.items() if stamped or key not in waterfall.STAMPED}
    return Requests(columns=kept, answered=yes, right=yes, raised=~yes, difference=np.zeros(n))


def saved(folder: Path, name: str, *, stamped: bool) -> str:
    """The same as a requests file."""
    known = requests(stamped=stamped)
    pq.write_table(pa.table({**known.columns, "right": known.right}), folder / name)
    return name


def test_the_table_of_cells_holds_the_median_of_each_stage(tmp_path: Path) -> None:
    trial = record(requests_file=saved(tmp_path, "a.parquet", stamped=True), measured_s=10.0, measured_requests=100)
    medians = waterfall.medians_of(requests(stamped=True), capacity=trial.as_cell.concurrency)
    assert list(medians) == [name for name in STAGES if name != "publish"]
    row = summary.row([handmade.changed(trial, stages_p50_s=medians)], {}, tmp_path)
    assert row["stage_predict_p50_s"] == pytest.approx(0.020)
    assert row["stage_prefetch_p50_s"] == 0
    assert row["stage_publish_p50_s"] is None


def test_a_run_from_before_the_stamps_says_so(tmp_path: Path) -> None:
    trial = record(requests_file=saved(tmp_path, "old.parquet", stamped=False), measured_s=10.0, measured_requests=100)
    assert waterfall_view.OLD in waterfall_view.shown(waterfall_view.view([trial], tmp_path)).plain
    assert waterfall.medians_of(requests(stamped=False), capacity=1) == {}


def test_a_cell_shows_every_stage_with_a_share_of_the_whole(tmp_path: Path) -> None:
    trial = record(requests_file=saved(tmp_path, "a.parquet", stamped=True), measured_s=10.0, measured_requests=100)
    lines = waterfall_view.shown(waterfall_view.view([trial], tmp_path)).plain.splitlines()
    predict = next(line for line in lines if line.split()[:1] == ["predict"])
    assert predict.split()[1:4] == ["20.00", "20.00", "48.8%"]
    assert [line.split()[0] for line in lines[3:]] == list(STAGES)


def test_a_skipped_cell_shows_its_reason(tmp_path: Path) -> None:
    trial = record(outcome=Outcome.SKIPPED, reason="solo runs one task at a time")
    assert "solo runs one task at a time" in waterfall_view.shown(waterfall_view.view([trial], tmp_path)).plain


def test_a_pattern_that_selects_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingMatches):
        waterfall_view.views([record()], tmp_path, ["no-such-cell"])


def test_in_process_cells_are_left_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    alone = Cell(backend="theano", pool="in-process", traffic="single")
    trials = [record(), record(alone)]
    assert [view.cell for view in waterfall_view.views(trials, tmp_path, [])] == [record().cell_id]
    assert waterfall_view.views(trials, tmp_path, ["theano-in-process"])[0].why_not == waterfall_view.NO_WORKER
