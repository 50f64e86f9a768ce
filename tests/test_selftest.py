"""The self-test's own arithmetic: the catalogue is whole, its trials are all run once, and judgements get their marks."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import cli, workloads
from harness.backends import faulty
from harness.errors import NothingMatches
from harness.experiment import experiment, matrix
from harness.proof.selftest import jobs, judgement, report
from harness.proof.selftest import workflow as tester
from harness.proof.selftest.catalogue import CATALOGUE, cases
from harness.proof.selftest.entry import ALL, NO_CHILDREN, Case, Entry
from harness.proof.selftest.jobs import Part, Task
from harness.proof.selftest.judgement import Judged, Mark
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.trial import outside
from tests.test_store import record

ENTRIES = {entry.name: entry for entry in CATALOGUE}


def judged(name: str, outcome: Outcome, pool: str = "prefork", trial: int = 1, **changes: object) -> Judged:
    entry = ENTRIES[name]
    cell = entry.cell(pool, "celery")
    found = record(cell, outcome=outcome, trial=trial, **changes)
    return Judged(case=Case(entry=entry, pool=pool, cell=cell), trial=trial, record=found)


def test_every_fault_that_can_be_injected_is_in_the_catalogue() -> None:
    known = {str(matrix.fault_options(entry.fault).get("kind")) for entry in CATALOGUE}
    others = {"fork-lock", "duplicate-reply"}  # they act neither on a request nor on an answer
    assert {*faulty.FAULTS, *faulty.LOAD_FAULTS, *faulty.ANSWER_FAULTS, *outside.FAULTS, *others} - known == set()


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_an_entry_says_what_is_true_and_why_it_is_not_in_other_pools(entry: Entry) -> None:
    assert entry.accepted
    assert not entry.fault or matrix.FAULT.fullmatch(entry.fault)
    assert (set(entry.pools) == set(ALL)) is (entry.elsewhere == "")
    assert set(entry.counted_in) <= set(entry.pools)
    assert not (entry.slow and any(Outcome.HUNG in entry.true_in(pool) for pool in entry.pools))
    assert set(entry.accepted_in) < set(entry.pools)
    assert entry.accepted not in entry.accepted_in.values()
    assert not (entry.provable and (entry.outside or Outcome.HUNG not in entry.accepted))


def test_no_two_entries_share_a_name_or_a_cell() -> None:
    chosen = [case for case in cases("celery") if not case.skip]
    assert len({case.cell.id for case in chosen}) == len(chosen)
    assert len(ENTRIES) == len(CATALOGUE)


def test_a_pool_that_an_environment_has_not_is_a_reason_and_no_gap() -> None:
    assert [case.skip for case in cases("tensorflow1", ["prefork-spawn"], ["deadlock"])] == [
        "Celery 5.2 has no such pool; it came with 5.7"
    ]


@pytest.mark.parametrize(("pools", "names"), [(["fibers"], []), ([], ["gremlins"])])
def test_a_pool_or_fault_that_there_is_not_is_refused(pools: list[str], names: list[str]) -> None:
    with pytest.raises(NothingMatches, match=r"fibers|gremlins"):
        cases("celery", pools, names)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 16), st.lists(st.sampled_from(sorted(ENTRIES)), min_size=1, unique=True))
def test_every_trial_of_every_case_is_in_exactly_one_part(times: int, side_by_side: int, names: list[str]) -> None:
    chosen = cases("celery", names=names)
    parts = jobs.split(chosen, times, side_by_side)
    run = [
        (case.cell.id, trial) for part in parts for case in part.cases for trial in range(part.first, part.first + part.repeat)
    ]
    wanted = {(case.cell.id, trial) for case in chosen if not case.skip for trial in range(1, times + 1)}
    assert len(run) == len(set(run))
    assert set(run) == wanted
    assert all(len({json.dumps(dict(case.entry.settings)) for case in part.cases}) == 1 for part in parts)


def test_a_part_is_an_experiment_of_its_cells_and_its_own_settings(tmp_path: Path) -> None:
    part = Part(cases=tuple(cases("celery", ["prefork", "gevent"], ["load-sleep-at-import"])), first=5, repeat=3)
    path = tmp_path / "part.toml"
    path.write_text(part.experiment("part-1"))
    read = experiment.read(str(path), backends=["celery"], workloads=list(workloads.NAMES))
    assert read.expand() == [case.cell for case in part.cases]
    assert (read.settings.ready_limit_s, read.settings.repeat, read.settings.controls) == (6.0, 3, False)


def test_parts_of_another_plan_or_environment_have_other_names() -> None:
    part = Part(cases=tuple(cases("celery", ["solo"], ["wrong"])), first=1, repeat=2)
    later = Part(cases=part.cases, first=3, repeat=2)
    assert len({part.name("a"), part.name("b"), later.name("a")}) == 3


def test_the_records_of_a_part_are_numbered_through_and_found_from_the_self_tests_folder(tmp_path: Path) -> None:
    part = Part(cases=tuple(cases("celery", ["solo"], ["wrong"])), first=5, repeat=2)
    task = Task(part=part, folder=tmp_path / "parts" / "part-1")
    assert not task.complete()
    folder = RunFolder(task.folder)
    with folder.opened():
        for trial in (1, 2):
            folder.append(record(part.cases[0].cell, trial=trial, evidence="evidence/x", requests_file=""))
    found = task.records()
    assert [(one.trial, one.ended.evidence, one.answers.requests_file) for one in found] == [
        (5, "parts/part-1/evidence/x", ""),
        (6, "parts/part-1/evidence/x", ""),
    ]
    assert task.complete()


ONE_OF_FOUR = {"executors": 4, "executors_hung": 1}


@pytest.mark.parametrize(
    ("name", "pool", "changes", "mark"),
    [
        ("wrong", "prefork", {"outcome": Outcome.WRONG}, Mark.RIGHT),
        ("wrong", "prefork", {"outcome": Outcome.OK}, Mark.MISSED),
        ("wrong", "prefork", {"outcome": Outcome.SKIPPED}, Mark.NOT_RUN),
        ("sleep-30-s", "prefork", {"outcome": Outcome.HUNG}, Mark.MISSED),
        ("sleep-30-s", "prefork", {"outcome": Outcome.SLOW}, Mark.RIGHT),
        ("alarm", "solo", {"outcome": Outcome.STALLED}, Mark.MISSED),
        ("event", "prefork", {"outcome": Outcome.WAITING}, Mark.MISSED),
        ("event", "threads", {"outcome": Outcome.WAITING}, Mark.MISSED),
        ("event", "gevent", {"outcome": Outcome.WAITING}, Mark.RIGHT),
        ("event", "gevent", {"outcome": Outcome.SLOW}, Mark.MISSED),
        ("deadlock-beside-sleeper", "prefork", {"outcome": Outcome.WAITING}, Mark.RIGHT),
        ("silent-peer", "prefork", {"outcome": Outcome.WAITING}, Mark.RIGHT),
        ("silent-peer", "prefork", {"outcome": Outcome.HUNG}, Mark.MISSED),
        ("gil-held", "solo", {"outcome": Outcome.HUNG, "cause": "gil-held"}, Mark.RIGHT),
        ("gil-held", "solo", {"outcome": Outcome.HUNG, "cause": "deadlock"}, Mark.WRONG_CAUSE),
        ("orphaned-shared-lock", "prefork", {"outcome": Outcome.HUNG, "cause": "hub-blocked"}, Mark.WRONG_CAUSE),
        ("orphaned-shared-lock", "gevent", {"outcome": Outcome.HUNG, "cause": "hub-blocked"}, Mark.RIGHT),
        ("orphaned-shared-lock", "gevent", {"outcome": Outcome.HUNG, "cause": "deadlock"}, Mark.WRONG_CAUSE),
        ("network-cut", "solo", {"outcome": Outcome.INVALID}, Mark.RIGHT),
        ("network-cut", "solo", {"outcome": Outcome.STALLED, "cause": "lost-message"}, Mark.WRONG_CAUSE),
        ("stopped", "prefork", {"outcome": Outcome.HUNG, "cause": "stopped"}, Mark.MISCOUNTED),
        ("stopped", "prefork", {"outcome": Outcome.HUNG, "cause": "stopped", **ONE_OF_FOUR}, Mark.RIGHT),
        ("stopped", "gevent", {"outcome": Outcome.HUNG, "cause": "stopped"}, Mark.RIGHT),
        ("duplicate-reply", "solo", {"outcome": Outcome.OK}, Mark.MISCOUNTED),
        ("duplicate-reply", "solo", {"outcome": Outcome.OK, "duplicates": 3}, Mark.RIGHT),
    ],
)  # fmt: skip
def test_a_judgement_gets_its_mark(name: str, pool: str, changes: dict[str, object], mark: Mark) -> None:
    found: TrialRecord = record(ENTRIES[name].cell(pool, "celery"), **changes)
    assert judgement.mark(ENTRIES[name], found) is mark


HISTORY = [
    judged("deadlock", Outcome.HUNG, cause="deadlock", verdict_after_s=1.5),
    judged("deadlock", Outcome.HUNG, pool="solo", cause="deadlock", verdict_after_s=2.5),
    judged("gil-held", Outcome.HUNG, cause="unknown", verdict_after_s=11.0),
    judged("native-spin", Outcome.HUNG, cause="native-spin", verdict_after_s=20.0),
    judged("spin", Outcome.HUNG, verdict_after_s=1.0),
    judged("wrong", Outcome.WRONG, withdrawn=["for 1.0 s"]),
]


def test_the_thresholds_come_with_their_figures_and_a_spin_is_no_deadlock() -> None:
    found = {threshold.text: (threshold.figure, threshold.kept) for threshold in judgement.thresholds(HISTORY)}
    assert found == {
        "misjudged": (1, False),
        "right outcome, wrong cause": (1, False),
        "called hung though it ends by itself": (1, False),
        "true hangs that are only `waiting`": (None, True),
        "trials in which a proof was withdrawn": (1, False),
        "from deadlock to verdict, median": (2.5, True),
        "from deadlock to verdict, maximum": (11.0, False),
    }


TIMES = 12  # as many true hangs as a share is told of


def test_waiting_is_too_little_for_more_than_a_tenth_of_the_true_hangs_and_other_processes_do_not_count() -> None:
    proved = [judged("event", Outcome.HUNG, pool="gevent", cause="deadlock") for _ in range(9 * TIMES)]
    beside = [
        judged("file-lock-for-ever", Outcome.WAITING),
        judged("sleep-without-end", Outcome.WAITING),
        judged("event", Outcome.SKIPPED),
    ]
    one = judged("deadlocked-child", Outcome.WAITING)
    kept = {count: _share([*proved, *beside, *[one] * count * TIMES]) for count in (0, 1, 2)}
    assert kept == {0: (0.0, True), 1: (0.1, True), 2: (pytest.approx(2 / 11), False)}
    assert _share(beside) == (None, True)
    assert _share([*proved[:90], one]) == (None, True), "of a few, no share is told"


def _share(trials: list[Judged]) -> tuple[float | None, bool]:
    one = next(one for one in judgement.thresholds(trials) if "only `waiting`" in one.text)
    return one.figure, one.kept


def test_what_is_true_in_one_pool_only_is_accepted_there_alone() -> None:
    found = {pool: judged("system-exit", Outcome.HUNG, pool=pool).mark for pool in ("prefork", "threads")}
    assert found == {"prefork": Mark.MISSED, "threads": Mark.RIGHT}
    (line,) = judgement.lines([judged("system-exit", Outcome.HUNG, pool=pool) for pool in found], by_pool=False)
    assert line.accepted == "crashed or hung"


def test_a_trial_without_a_record_is_a_miss_only_once_all_was_run() -> None:
    chosen = cases("celery", ["solo"], ["wrong"])
    assert [one.mark for one in tester.judge(chosen, 2, [], complete=True)] == [Mark.MISSED] * 2
    assert tester.judge(chosen, 2, [], complete=False) == []


def test_the_matrix_counts_what_was_judged_and_keeps_times_of_true_hangs_alone() -> None:
    head, *rows = report.matrix(HISTORY)
    table = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert (table["deadlock"]["hung"], table["deadlock"]["median s"], table["deadlock"]["max s"]) == ("2", "2.0", "2.5")
    assert (table["spin"]["hung"], table["spin"]["missed"], table["spin"]["median s"]) == ("1", "1", "")
    assert table["gil-held"]["wrong cause"] == "1"


def test_what_is_written_names_the_misses_and_what_cannot_exist(tmp_path: Path) -> None:
    chosen = cases("celery", names=["deadlock", "fork-lock"])
    report.write(RunFolder(tmp_path), chosen, HISTORY, environment="celery", times=1)
    rows = pd.read_csv(tmp_path / "matrix.csv")
    assert set(zip(rows["fault"], rows["pool"], strict=True)) == {(one.case.entry.name, one.case.pool) for one in HISTORY}
    assert rows.set_index(["fault", "pool"]).loc[("spin", "prefork"), "missed"] == 1
    data = json.loads((tmp_path / "matrix.json").read_text())
    assert {item["pool"] for item in data["cannot_exist"]} == set(ALL) - {"prefork"}
    page = (tmp_path / "matrix.md").read_text()
    assert "spin in prefork, trial 1: missed - hung" in page
    assert NO_CHILDREN in page
    rows_of_matrix = [line for line in page.splitlines() if line.startswith("|")][: len(report.matrix(HISTORY)) + 1]
    assert len({line.count("|") for line in rows_of_matrix}) == 1


def test_a_miss_makes_the_command_line_exit_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["harness", "selftest", "--out", str(tmp_path)])
    monkeypatch.setattr(tester, "run", lambda *_: HISTORY[:2])
    cli.main()
    monkeypatch.setattr(tester, "run", lambda *_: HISTORY)
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
