"""What is on disk survives torn writes, other schema and a full disk; what is missing is known."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import BadInput, CannotWrite
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.records import store
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, from_line, to_line
from harness.run import plan
from harness.run.plan import Planned
from harness.summary import summary
from tests import handmade

CELL = Cell(backend="theano", pool="solo")


def record(cell: Cell = CELL, **changes: object) -> TrialRecord:
    values = {"plan_key": "k", "started": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "outcome": Outcome.OK, "reason": "fine"}
    return handmade.record(**{"cell_id": cell.id, "cell": cell.as_dict(), **values, **changes})


def test_a_record_reads_back_as_it_was_written() -> None:
    one = record(errors={"ValueError: \n \u2028 x": 3}, ready_s=1.25)
    assert from_line(to_line(one)) == one


def test_a_torn_last_line_costs_that_record_alone(tmp_path: Path) -> None:
    folder = store.RunFolder(tmp_path)
    folder.append(record())
    with open(folder.trials_path, "a") as file:
        file.write(to_line(record(trial=2))[:50])
    with folder.opened():
        folder.append(record(trial=3))
    assert [item.trial for item in folder.records()] == [1, 3]


def test_the_newest_record_of_a_trial_counts(tmp_path: Path) -> None:
    folder = store.RunFolder(tmp_path)
    folder.append(record(outcome=Outcome.HUNG))
    folder.append(record())
    assert folder.latest()[CELL.id, 1].outcome is Outcome.OK


def test_two_drivers_cannot_write_to_one_run(tmp_path: Path) -> None:
    with store.RunFolder(tmp_path).opened(), pytest.raises(BadInput, match="another run"), store.RunFolder(tmp_path).opened():
        pass


def test_a_fresh_run_sets_the_earlier_one_aside_unless_somebody_writes_to_it(tmp_path: Path) -> None:
    folder = store.RunFolder(tmp_path / "run")
    with folder.opened():
        folder.append(record())
        with pytest.raises(BadInput, match="another run"), store.RunFolder(tmp_path / "run").opened(fresh=True):
            pass
    assert len(folder.records()) == 1
    with store.RunFolder(tmp_path / "run").opened(fresh=True) as fresh:
        assert fresh.records() == []
        assert fresh.moved_to is not None
        assert len(store.RunFolder(fresh.moved_to).records()) == 1
        with pytest.raises(BadInput, match="another run"), store.RunFolder(tmp_path / "run").opened():
            pass


def test_another_broker_is_another_plan() -> None:
    keys = {
        plan.key_of(CELL, Settings(), None, None, url) for url in ("", "redis://a:1/0", "redis://:word@a:1/0", "redis://b:1/0")
    }
    assert len(keys) == 3


def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_the_old_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.RunFolder(tmp_path)
    folder.replace("cells.csv", "old")

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CannotWrite, match="the disk is full") as caught:
        folder.replace("cells.csv", "new")
    assert "--out" in caught.value.remedy
    assert (tmp_path / "cells.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("known", "retry", "again"),
    [
        ({}, "", True),
        ({"plan_key": "k"}, "", False),
        ({"plan_key": "other"}, "", True),
        ({"outcome": Outcome.HUNG}, "", False),
        ({"outcome": Outcome.HUNG}, "failed", True),
        ({"outcome": Outcome.HUNG}, "invalid", False),
        ({"outcome": Outcome.SKIPPED}, "failed", False),
    ],
)
def test_a_run_completes_what_is_missing(known: dict[str, object], retry: str, again: bool) -> None:
    done = {(CELL.id, 1): record(**known)} if known else {}
    planned = [Planned(cell=CELL, trial=1, key="k")]
    assert bool(plan.missing(planned, done, plan.retry_outcomes(retry))) is again


def test_an_unknown_outcome_to_retry_is_refused() -> None:
    with pytest.raises(BadInput, match="sleepy"):
        plan.retry_outcomes("hung,sleepy")


def test_the_gravest_outcome_of_several_trials_is_shown_and_all_are_counted(tmp_path: Path) -> None:
    trials = [record(), record(trial=2, outcome=Outcome.HUNG, reason="futex"), record(trial=3)]
    row = summary.table(trials, tmp_path).iloc[0]
    assert row["outcome"] == "hung"
    assert row["reason"] == "futex"
    assert row["outcomes"] == "ok:2 hung:1"
    assert row["trials"] == 3


def test_the_table_has_the_columns_that_others_read(tmp_path: Path) -> None:
    promised = (
        "cell backend pool concurrency placement call workload batch traffic prefetch trials outcome reason requests ok errors "
        "throughput_per_s latency_p50_s latency_p95_s latency_p99_s cpu_saturation cpu_s_per_request cpu_share_worker "
        "cpu_share_broker cpu_share_client peak_pss_bytes ready_s first_predict_s overhead_fraction evidence"
    ).split()
    table = summary.table([record()], tmp_path)
    assert set(promised) <= set(table.columns)
    assert isinstance(table, pd.DataFrame)


@pytest.mark.parametrize(
    ("number", "why", "remedy"),
    [
        (errno.ENOSPC, "the disk is full", "free some disk space"),
        (errno.EROFS, "the file system is read-only", "name a place"),
        (errno.EACCES, "this user has no right to write there", "name a place"),
        (errno.ENOTDIR, "a part of the path is a file, and no folder", "name a place"),
        (errno.EIO, "Input/output error", "name a place"),
    ],
)
def test_what_cannot_be_written_is_told_by_its_cause(number: int, why: str, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(CannotWrite) as caught, store.writing(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"cannot write to {tmp_path}: {why}"
    assert caught.value.remedy.startswith(remedy)
    assert caught.value.remedy.endswith("records written so far are kept")


def test_a_run_does_not_begin_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, why in (
        (tmp_path / "file" / "below", f"{tmp_path / 'file'} is a file, and no folder"),
        (tmp_path / "file", f"{tmp_path / 'file'} is a file, and no folder"),
        (Path("/proc/none/below"), "no disk is behind /proc"),
    ):
        with pytest.raises(CannotWrite) as caught:
            store.check_space(path)
        assert caught.value.message == f"cannot write to {path}: {why}"
        assert "disk space" not in caught.value.remedy
    store.check_space(tmp_path / "new" / "below")
