"""From what a trial left to its record and its row, over stored histories."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.judge.outcome import Observations
from harness.records import answers
from harness.records.cpu import Cpu
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, from_line, to_line
from harness.run import conclude, measured, observed
from harness.summary import diagnoses, summary
from tests import replay
from tests.replay import NAMES

OK = [name for name in NAMES if name.startswith("ok-")]
LOADED = [name for name in OK if "baseline" not in name]


def record(name: str) -> TrialRecord:
    return replay.once(name).record


def seen(name: str) -> Observations:
    one = replay.once(name)
    return observed.observations(one.left, one.requests, one.record.cpu)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_reads_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    one = record(name)
    assert from_line(to_line(one)) == one


@pytest.mark.parametrize("name", NAMES)
def test_a_history_is_named_for_its_outcome(name: str, tmp_path: Path) -> None:
    assert record(name).outcome.value == name.split("-")[0]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_asked_stands_in_the_record(name: str, tmp_path: Path) -> None:
    one = record(name)
    assert one.asked.cell == replay.once(name).stored.history.cell
    assert one.cell_id == one.as_cell.id
    assert (one.trial, one.asked.plan_key, one.asked.versions) == (1, "key", {"celery": "5.7.0"})
    assert one.asked.started == replay.HEADING.started


@pytest.mark.parametrize("name", NAMES)
def test_every_request_is_counted_once(name: str, tmp_path: Path) -> None:
    told = record(name).answers
    assert told.ok + told.wrong + told.unanswered + sum(told.errors.values()) == told.requests
    assert (told.max_error is None) is (told.ok + told.wrong == 0)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_written_where_the_record_says(name: str, tmp_path: Path) -> None:
    one = record(name)
    assert (replay.once(name).folder / one.cpu.samples_file).is_file()
    if one.answers.requests_file:
        rows = pd.read_parquet(replay.once(name).folder / one.answers.requests_file)
        assert len(rows) == one.answers.requests
        assert int(rows["right"].sum()) == one.answers.ok


@pytest.mark.parametrize("name", LOADED)
def test_figures_of_the_requests_in_memory_are_those_of_the_saved_file(name: str, tmp_path: Path) -> None:
    one = record(name)
    figures = one.certainty.figures
    assert figures is not None
    saved = answers.measured(replay.once(name).folder / one.answers.requests_file)
    assert figures.requests == len(saved.latency_s) > 0
    assert figures.predict_p50_s == pytest.approx(float(np.median(saved.predict_s)), rel=0.2)
    assert figures.throughput_per_s == pytest.approx(one.pace.measured_requests / (one.pace.measured_s or 1.0))


@pytest.mark.parametrize("name", LOADED)
def test_the_pace_of_a_worker_is_told_in_seconds(name: str, tmp_path: Path) -> None:
    pace = record(name).pace
    assert 0 < (pace.ready_s or 0) < 60
    assert 0 < (pace.first_predict_s or 0) < 60
    assert (pace.slowest_s or 0) > 0
    assert pace.executors_seen in (1, 2)
    assert pace.warmup_requests > 0
    assert pace.measured_requests > 0
    assert 0.1 < (pace.measured_s or 0) < 60


@pytest.mark.parametrize("name", LOADED)
def test_what_the_cpu_did_is_told_by_role(name: str, tmp_path: Path) -> None:
    cpu = record(name).cpu
    assert cpu.use is not None
    assert cpu.use.worker_tree > 0
    assert cpu.use.window_s >= measured.LEAST_WINDOW_S
    assert cpu.verdict
    assert cpu.verdict_reason
    assert cpu.threads_peak["worker"] >= 1
    assert (cpu.tree_cpu_s or 0) > 0
    assert (cpu.kernel_cpu_s or 0) > 0


@pytest.mark.parametrize("name", LOADED)
def test_memory_is_told_at_its_peak(name: str, tmp_path: Path) -> None:
    memory = record(name).memory
    assert memory.use is not None
    assert memory.peak_pss_bytes == sum(memory.use.pss_bytes.values())
    assert set(memory.use.pss_bytes) == {"worker", "children"}


def test_a_baseline_has_no_load_generator_and_is_always_busy(tmp_path: Path) -> None:
    one = record("ok-baseline")
    assert (one.client.sending, one.pace.waited_while_idle, one.pace.stages_p50_s) == (None, None, {})
    busy = measured._occupancy(replay.once("ok-baseline").left, None, 0.0, 1.0)
    assert busy is not None
    assert (busy.executors_busy, busy.work_waits, busy.idle_with_work) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("hung-")])
def test_a_hang_names_its_executors_its_time_and_its_cause(name: str, tmp_path: Path) -> None:
    ended = record(name).ended
    assert ended.cause not in ("", "unknown")
    assert ended.support
    assert ended.verdict_after_s is not None
    assert ended.verdict_after_s > 1.0
    assert ended.executors
    assert (ended.executors_hung or 0) <= ended.executors
    assert ended.last_progress_s is not None
    assert (replay.once(name).folder / ended.evidence).parent.is_dir()
    assert (replay.once(name).folder / ended.evidence).parent.joinpath("cause.json").is_file()


@pytest.mark.parametrize("name", OK)
def test_what_is_ok_has_no_cause_no_verdict_and_no_evidence(name: str, tmp_path: Path) -> None:
    ended = record(name).ended
    assert (ended.cause, ended.support, ended.evidence, ended.verdict_after_s, ended.executors) == ("", [], "", None, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_table_shows_the_record(name: str, tmp_path: Path) -> None:
    one = record(name)
    row = summary.row([one], {}, tmp_path)
    assert set(row) <= set(summary.COLUMNS)
    assert (row["cell"], row["outcome"], row["reason"]) == (one.cell_id, one.outcome.value, one.reason)
    assert (row["requests"], row["ok"], row["wrong"], row["unanswered"]) == (
        one.answers.requests, one.answers.ok, one.answers.wrong, one.answers.unanswered,
    )  # fmt: skip
    assert row["outcomes"] == f"{one.outcome.value}:1"
    if one.certainty.figures and one.outcome is Outcome.OK:
        assert row["throughput_per_s"] == pytest.approx(one.certainty.figures.throughput_per_s)
        assert row["peak_pss_bytes"] == one.memory.peak_pss_bytes


@pytest.mark.parametrize("name", NAMES)
def test_what_went_wrong_has_a_page(name: str, tmp_path: Path) -> None:
    one = record(name)
    page = diagnoses.text([one])
    assert bool(page) is (one.outcome in diagnoses.BAD)
    if page:
        assert f"## {one.cell_id}" in page
        assert f"**{one.outcome.value}**, 1 of 1" in page


@pytest.mark.parametrize(("change", "spoils"), [({"noise_limit": 1e-9}, True), ({"noise_limit": 100.0}, False)])
@pytest.mark.parametrize("name", ["ok-prefork", "ok-threads", "wrong-prefork", "errors-20-percent-gevent"])
def test_noise_takes_the_figures_away_and_leaves_the_outcome(
    name: str, change: dict[str, float], spoils: bool, tmp_path: Path
) -> None:
    one = replay.stored(name, tmp_path)
    found = replay.recorded(one, settings=one.history.settings.model_copy(update=change))
    assert found.outcome is one.expected.outcome
    if one.expected.certainty.figures is not None:
        assert (found.certainty.figures is None) is spoils
        assert bool(found.certainty.unusable) is spoils
        assert found.spoiled is spoils
        names = [doubt.partition(":")[0] for doubt in found.certainty.doubts]
        assert ("unusable" in names) is spoils


@pytest.mark.parametrize("name", NAMES)
def test_the_judge_sees_counts_that_add_up(name: str, tmp_path: Path) -> None:
    found = seen(name)
    assert found.ok + found.wrong + found.unanswered + sum(found.errors.values()) == found.requests
    assert found.was_ready is (found.limit_s == replay.once(name).stored.history.settings.limit_s)
    assert found.core_wait >= 0.0
    assert (found.client_cores is None) is (found.others_share is None)


def test_requests_that_a_dead_child_held_are_lost_only_if_they_were_never_answered(tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    left, _ = replay.watched(one)
    requests = replay.requests_of(one, left)
    assert requests is not None
    signs = replace(left.signs, lost=frozenset({0, 1, 10**6}))
    assert observed.observations(replace(left, signs=signs), requests, Cpu()).lost_requests == 0
    assert observed.observations(replace(left, signs=signs), None, Cpu()).lost_requests == 3
    requests.columns["received"][0] = -1
    assert observed.observations(replace(left, signs=signs), requests, Cpu()).lost_requests == 1


def test_a_trial_that_was_not_run_says_why(tmp_path: Path) -> None:
    stored = replay.stored("ok-prefork", tmp_path)
    cell = stored.expected.as_cell
    found = conclude.skipped(cell, 3, replay.HEADING, "no interpreter")
    assert (found.outcome, found.reason, found.trial, found.cell_id) == (Outcome.SKIPPED, "no interpreter", 3, cell.id)
    assert found.asked.plan_key == "key"


def test_the_files_of_a_later_trial_have_its_number(tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    left, _ = replay.watched(one)
    requests = replay.requests_of(one, left)
    files = conclude.keep_files(replace(left, trial=2), requests, tmp_path)
    assert files == (f"requests/{left.cell.id}.2.parquet", f"samples/{left.cell.id}.2.parquet")
    assert conclude.keep_files(left, None, tmp_path)[0] == ""


def test_a_worker_killed_before_its_requests_were_written_has_none(tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    left, _ = replay.watched(one)
    (tmp_path / "requests.npz").write_bytes(b"PK torn")
    assert replay.requests_of(one, left) is None
    (tmp_path / "requests.npz").unlink()
    found = conclude.record_of(left, replay.HEADING, replay.requests_of(one, left), tmp_path, seconds=2.5)
    assert (found.answers.requests, found.answers.unanswered, found.ended.seconds) == (
        left.signs.published,
        left.signs.published,
        2.5,
    )
    assert found.certainty.figures is None


def several(names: list[str], folder: Path) -> list[TrialRecord]:
    """Histories as trials of one cell."""
    found = []
    for number, name in enumerate(names, 1):
        one = record(name)
        found.append(one.changed(asked={"trial": number, "cell_id": "one", "cell": record("ok-prefork").asked.cell}))
    return found


@pytest.mark.parametrize(
    ("names", "gravest"),
    [
        (["ok-prefork", "hung-deadlock-prefork"], Outcome.HUNG),
        (["ok-prefork", "crashed-signal-11-prefork", "hung-deadlock-prefork"], Outcome.CRASHED),
        (["ok-prefork", "wrong-prefork", "errors-load-prefork"], Outcome.WRONG),
        (["ok-prefork", "invalid-broker-killed-prefork"], Outcome.OK),
        (["slow-threads", "ok-prefork"], Outcome.SLOW),
    ],
)
def test_a_cell_shows_its_gravest_trial_and_the_figures_of_the_good_ones(
    names: list[str], gravest: Outcome, tmp_path: Path
) -> None:
    trials = several(names, tmp_path)
    row = summary.row(trials, {}, tmp_path)
    assert row["outcome"] == gravest.value
    assert row["trials"] == len(names)
    good = [one for one in trials if one.outcome is Outcome.OK]
    assert row["throughput_per_s"] == pytest.approx(good[0].certainty.figures.throughput_per_s)  # type: ignore[union-attr]
    assert sum(int(part.split(":")[1]) for part in row["outcomes"].split()) == len(names)


def test_the_hang_rate_counts_fresh_workers_that_were_judged(tmp_path: Path) -> None:
    row = summary.row(several(["ok-prefork", "hung-deadlock-prefork", "invalid-broker-killed-prefork"], tmp_path), {}, tmp_path)
    assert (row["hung_trials"], row["judged_trials"], row["hang_rate"]) == (1, 2, 0.5)
    assert row["hang_rate_low"] < 0.5 < row["hang_rate_high"]
