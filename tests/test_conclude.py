"""From what a trial left to its record, over every stored trial: each section, the files beside it, and its text form."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.broker import Census
from harness.judge.causes import Cause
from harness.judge.watchdog import State, Verdict
from harness.machine import cores
from harness.observe.diagnosis import Evidence
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, from_line, to_line
from harness.records.upgrades import SCHEMA, flat, sections
from harness.run import conclude
from harness.trial.left import Ended, Left, Machine, Signs
from harness.measure.monitor import Watched
from tests import replay
from tests.replay import HEADING, NAMES
from tests.scenes import CELL, SETTINGS, T0

HANGS = [name for name in NAMES if name.startswith("hung")]
EXECUTORS = {"hung-lost-reply-threads": (2, None)}


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine of the stored trials."""
    monkeypatch.setattr(cores, "AVAILABLE", (0, 1))


@pytest.mark.parametrize("name", NAMES)
def test_every_section_but_the_end_is_the_real_records_own(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    record = replay.recorded(one)
    assert record.asked == one.expected.asked
    assert record.cpu.model_copy(update={"noise": None}) == one.expected.cpu.model_copy(update={"noise": None})
    assert record.schema_version == SCHEMA


@pytest.mark.parametrize("name", NAMES)
def test_the_end_is_the_real_records_own_but_for_how_long_a_look_took(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    record, then = replay.recorded(one), one.expected.ended
    known = record.ended.model_dump(exclude={"evidence", "verdict_after_s", "reason"})
    assert known == then.model_dump(exclude={"evidence", "verdict_after_s", "reason"})
    assert record.reason.split(" for ")[0] == then.reason.split(" for ")[0]
    assert record.ended.verdict_after_s == (None if then.verdict_after_s is None else pytest.approx(then.verdict_after_s, abs=0.01))
    assert bool(record.ended.evidence) is bool(then.evidence)
    assert record.ended.evidence in ("", "evidence/one/stacks.txt", "evidence/one/worker.log")


@pytest.mark.parametrize("name", NAMES)
def test_a_record_reads_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    record = replay.recorded(replay.stored(name, tmp_path))
    line = to_line(record)
    assert line.count("\n") == 1
    assert line.startswith(f'{{"schema_version":{SCHEMA},')
    assert from_line(line) == record
    shuffled = json.dumps(dict(reversed(json.loads(line).items())))
    assert from_line(shuffled) == record


@pytest.mark.parametrize("name", NAMES)
def test_a_record_in_one_row_finds_its_sections_again(name: str, tmp_path: Path) -> None:
    record = replay.recorded(replay.stored(name, tmp_path))
    whole = record.model_dump(mode="json")
    row = flat(whole)
    assert sections(row) == {key: value for key, value in whole.items() if key != "schema_version"}
    assert TrialRecord.model_validate({"schema_version": SCHEMA, **sections(row)}) == record
    assert from_line(json.dumps({"schema_version": 2, **row})) == record


@pytest.mark.parametrize("name", NAMES)
def test_a_record_names_its_files_and_they_are_there(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    record = replay.recorded(one)
    cell = one.expected.cell_id
    assert record.cpu.samples_file == f"samples/{cell}.parquet"
    assert len(pd.read_parquet(tmp_path / record.cpu.samples_file)) >= len(one.history.watched.samples)
    if record.answers.requests_file:
        assert record.answers.requests_file == f"requests/{cell}.parquet"
        assert len(pd.read_parquet(tmp_path / record.answers.requests_file)) == record.answers.requests
    else:
        assert not (tmp_path / "requests").exists()


@pytest.mark.parametrize("name", ["ok-prefork", "refused-exit-solo"])
def test_a_later_trials_files_bear_its_number(name: str, tmp_path: Path) -> None:
    record = replay.recorded(replay.stored(name, tmp_path), trial=3)
    assert record.trial == 3
    assert record.cpu.samples_file == f"samples/{record.cell_id}.3.parquet"
    assert record.answers.requests_file in ("", f"requests/{record.cell_id}.3.parquet")
    assert bool(record.answers.requests_file) is name.startswith("ok")


@pytest.mark.parametrize("name", HANGS)
def test_a_hang_says_how_many_executors_hang_of_how_many(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    record = replay.recorded(one)
    words = record.reason.split()
    expected = EXECUTORS.get(name) or (int(words[2]), int(words[0]))
    assert (record.ended.executors, record.ended.executors_hung) == expected
    assert record.ended.verdict_after_s is not None
    assert record.ended.verdict_after_s > 1.5


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("hung", "stalled"))])
def test_what_did_not_hang_says_nothing_of_hung_executors(name: str, tmp_path: Path) -> None:
    ended = replay.recorded(replay.stored(name, tmp_path)).ended
    assert (ended.executors, ended.executors_hung, ended.verdict_after_s) == (None, None, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_cause_stands_in_the_evidence_too(name: str, tmp_path: Path) -> None:
    record = replay.recorded(replay.stored(name, tmp_path))
    told = tmp_path / "evidence" / "one" / "cause.json"
    assert told.exists() is bool(record.ended.cause and record.ended.evidence)
    if told.exists():
        assert json.loads(told.read_text()) == {
            "outcome": record.outcome.value, "cause": record.ended.cause, "support": record.ended.support,
            "versions": HEADING.versions,
        }  # fmt: skip


def made(**ended: Any) -> Left:
    """What a trial leaves that stood still 3 s after it was ready."""
    return Left(
        cell=CELL, trial=1, settings=SETTINGS, ended=Ended(**{"by": "done", **ended}),
        signs=Signs(started_s=T0, ready_at_s=T0 + 1.0, last_event_s=T0 + 4.0), machine=Machine(watched=Watched(worker=1)),
        result=Path("/none/requests.npz"), events=Path("/none/events"),
    )  # fmt: skip


WHOLE = Verdict(state=State.HUNG, reason="all", hung=2, executors=2, since_s=T0 + 2.0)
PART = replace(WHOLE, reason="one", hung=1, partial=True, since_s=T0 + 1.0)
CAUSE = Cause(name="deadlock", support=("a lock",))


def test_a_verdict_counts_if_it_ended_the_trial_and_a_partial_one_otherwise() -> None:
    def concluded(**end: Any) -> Any:
        return conclude.ended(made(judged_s=T0 + 6.5, **end), Outcome.HUNG, "why", CAUSE, Path(), 12.5)

    whole, part = concluded(by="verdict", verdict=WHOLE, partial=PART), concluded(by="limit", verdict=WHOLE, partial=PART)
    assert (whole.executors_hung, whole.verdict_after_s) == (2, 4.5)
    assert (part.executors_hung, part.verdict_after_s) == (1, 5.5)
    none = concluded(by="limit", verdict=WHOLE)
    assert (none.executors, none.executors_hung, none.verdict_after_s) == (None, None, None)
    assert (whole.outcome, whole.reason, whole.seconds, whole.cause, whole.support) == (
        Outcome.HUNG, "why", 12.5, "deadlock", ["a lock"],
    )  # fmt: skip
    assert whole.last_progress_s == 3.0


@pytest.mark.parametrize(
    ("judged_s", "verdict"), [(None, WHOLE), (T0 + 6.5, replace(WHOLE, since_s=None)), (T0 + 6.5, None)]
)
def test_a_verdict_without_a_moment_has_no_duration(judged_s: float | None, verdict: Verdict | None) -> None:
    left = made(by="verdict", judged_s=judged_s, verdict=verdict)
    assert conclude.ended(left, Outcome.HUNG, "why", None, Path(), 1.0).verdict_after_s is None


@pytest.mark.parametrize("missing", ["ready_at_s", "last_event_s"])
def test_progress_from_ready_needs_both_moments(missing: str) -> None:
    left = made()
    left = replace(left, signs=replace(left.signs, **{missing: None}))
    ended = conclude.ended(left, Outcome.OK, "fine", None, Path(), 1.0)
    assert (ended.last_progress_s, ended.cause, ended.support, ended.evidence) == (None, "", [], "")


def test_evidence_is_named_as_seen_from_the_runs_folder() -> None:
    left = made(by="limit", evidence=Evidence(path=Path("/run/evidence/cell/stacks.txt")))
    assert conclude.ended(left, Outcome.SLOW, "", None, Path("/run"), 1.0).evidence == "evidence/cell/stacks.txt"


def test_a_cell_that_was_not_run_has_a_record_with_nothing_but_its_reason() -> None:
    record = conclude.skipped(CELL, 2, HEADING, "no such pool")
    whole = record.model_dump(mode="json")
    assert whole["asked"] == {
        "cell_id": CELL.id, "cell": CELL.as_dict(), "trial": 2, "plan_key": "key", "started": HEADING.started,
        "versions": {"celery": "5.7.0"},
    }  # fmt: skip
    assert whole["ended"] == {
        "outcome": "skipped", "reason": "no such pool", "seconds": 0.0, "evidence": "", "last_progress_s": None,
        "verdict_after_s": None, "cause": "", "support": [], "executors": None, "executors_hung": None,
    }  # fmt: skip
    assert whole["answers"] == {
        "requests": 0, "ok": 0, "wrong": 0, "unanswered": 0, "errors": {}, "max_error": None, "duplicates": 0,
        "requests_file": "",
    }  # fmt: skip
    assert whole["pace"] == {
        "ready_s": None, "load_s": {}, "first_predict_s": None, "warmup_requests": 0, "executors_seen": 0, "measured_s": None,
        "measured_requests": 0, "waited_while_idle": None, "starved": None, "stages_p50_s": {},
    }  # fmt: skip
    assert whole["cpu"] == {
        "use": None, "facts": None, "verdict": "", "verdict_reason": "", "noise": None, "threads_peak": {}, "tree_cpu_s": None,
        "kernel_cpu_s": None, "samples_file": "",
    }  # fmt: skip
    assert whole["memory"] == {"use": None, "peak_pss_bytes": None}
    assert whole["client"] == {"sending": None}
    assert whole["certainty"] == {"figures": None, "doubts": []}


@pytest.mark.parametrize("damage", ["gone", "empty", "torn", "another array"])
def test_requests_that_cannot_be_read_are_none_and_the_trial_still_has_its_record(damage: str, tmp_path: Path) -> None:
    one = replay.stored("hung-deadlock-threads", tmp_path)
    left, _ = replay.watched(one)
    whole = left.result.read_bytes()
    if damage == "another array":
        np.savez(left.result, other=np.zeros(3))
    else:
        left.result.write_bytes(whole[: len(whole) // 2] if damage == "torn" else b"")
    if damage == "gone":
        left.result.unlink()
    assert conclude.compared(left, one.bundle) is None
    record = replay.recorded(one)
    assert record.outcome is Outcome.HUNG
    assert (record.answers.requests, record.answers.unanswered, record.answers.ok) == (5, 5, 0)
    assert (record.answers.requests_file, record.certainty.figures) == ("", None)


@pytest.mark.parametrize(("name", "joined"), [("ok-baseline", False), ("ok-prefork", True)])
def test_a_workers_own_stamps_are_joined_to_the_requests_and_a_baseline_has_none(
    name: str, joined: bool, tmp_path: Path
) -> None:
    one = replay.stored(name, tmp_path)
    left, _ = replay.watched(one)
    found = conclude.compared(left, one.bundle)
    assert found is not None
    assert ("worker_received" in found.columns) is joined


def test_answers_are_compared_with_the_tolerance_of_the_models_type(tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    left, _ = replay.watched(one)
    off = one.bundle.reference * (1 + 1e-3)
    found = conclude.compared(left, replace(one.bundle, reference=off))
    assert found is not None
    assert not found.right.all()
    same = conclude.compared(left, one.bundle)
    assert same is not None
    assert same.right.all()


@pytest.mark.parametrize("name", NAMES)
def test_the_broker_and_the_depths_are_facts_for_a_cause(name: str, tmp_path: Path) -> None:
    from harness.run import observed

    left, _ = replay.watched(replay.stored(name, tmp_path))
    facts = observed.facts(left, Outcome.HUNG)
    depths = left.machine.depths
    assert facts.queued == (np.mean([one for one, _ in depths]) if depths else None)
    assert facts.reserved == (np.mean([two for _, two in depths]) if depths else None)
    census = left.ended.census or Census(answers=True)
    assert (facts.broker_answers, facts.in_broker, facts.consumers) == (census.answers, census.messages, census.connections)
    assert (facts.waiting, facts.dead_children, facts.oom_kills) == (left.signs.waiting, len(left.signs.dead), left.ended.oom_kills)
    verdict = left.ended.partial or left.ended.verdict
    assert facts.how == (verdict.how if verdict else None)
    assert (facts.outcome, facts.pool) == (Outcome.HUNG, left.cell.pool)
