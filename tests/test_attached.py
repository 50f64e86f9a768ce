"""What may be said of the catalogue's faults from outside, and what an attached self-test promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.experiment.matrix import fault_options
from harness.live.executor import State
from harness.proof.attached import expected, trial, workflow
from harness.proof.attached.trial import Attached
from harness.proof.attached.workflow import Told
from harness.proof.selftest.catalogue import cases
from harness.proof.selftest.entry import GREEN, Case

CASES = {(case.entry.name, case.pool): case for case in cases("celery") if not case.skip}


def said(case: Case, state: str, **more: object) -> Attached:
    return Attached(**{"fault": case.entry.name, "pool": case.pool, "trial": 1, "state": state, **more})


PART = {"deadlock-of-one", "deadlock-of-the-second", "deadlock-late-in-one"}


@pytest.mark.parametrize("pool", ["prefork", "prefork-spawn", "solo", "threads"])
def test_a_proof_is_promised_of_each_deadlock_but_beside_idle_threads_and_greenlets(pool: str) -> None:
    deadlocks = [case for (_, where), case in CASES.items() if case.entry.deadlock and where == pool]
    assert deadlocks
    assert {case.entry.name for case in deadlocks if not expected.of(case).promised} == (PART if pool == "threads" else set())
    assert not any(expected.of(case).promised for (_, where), case in CASES.items() if where in GREEN)


def test_a_fault_that_ends_by_itself_takes_all_threads_of_a_pool_until_it_was_looked_at() -> None:
    case = CASES["lock-wait", "threads"]
    assert trial.options_of(case)["times"] == case.cell.concurrency == 2
    assert trial.options_of(case)["value"] == trial.LASTS_S
    for other in (CASES["lock-wait", "prefork"], CASES["deadlock-of-one", "threads"], CASES["slow-steady", "threads"]):
        assert trial.options_of(other) == fault_options(other.cell.fault)


def test_a_fault_without_a_promise_says_why_and_a_passing_one_is_never_stuck() -> None:
    found = [(case, expected.of(case)) for case in CASES.values()]
    assert all(bool(one.why) is not one.promised for _, one in found)
    assert all(State.STUCK not in one.states for case, one in found if not case.entry.hangs_in(case.pool))


@pytest.mark.parametrize(
    ("name", "state", "cause", "wrong"),
    [
        ("deadlock", "stuck", "deadlock", ""),
        ("deadlock", "stuck", "native-spin", "stuck, but its cause is called native-spin, true is deadlock"),
        ("deadlock", "waiting", "", "called waiting, true is stuck"),
        ("deadlock", "ended", "", "the worker ended before it was looked at"),
        ("pipe", "stuck", "deadlock", "called stuck, true is cannot-say or waiting or works"),
        ("pipe", "works", "", ""),
        ("signal-9", "ended", "", ""),
        ("fork-lock", "stuck", "unknown", ""),
    ],
)
def test_what_was_said_is_held_against_what_is_true(name: str, state: str, cause: str, wrong: str) -> None:
    case = CASES[name, "prefork"]
    assert trial.faults(said(case, state, cause=cause), case) == wrong


def test_a_fork_is_to_be_named_where_native_stacks_were_read() -> None:
    case = CASES["fork-lock", "prefork"]
    assert trial.faults(said(case, "stuck", cause="unknown", deep=True), case)
    assert not trial.faults(said(case, "stuck", cause="fork-held-lock", deep=True), case)


def test_the_promises_count_proofs_false_ones_and_seconds() -> None:
    given = [("deadlock", "stuck", 2.0), ("mutex", "waiting", 4.0), ("pipe", "stuck", 3.0)]
    told = []
    for name, state, seconds in given:
        case = CASES[name, "prefork"]
        one = said(case, state, cause=case.entry.cause, seconds=seconds)
        told.append(Told(case=case, found=one, wrong=trial.faults(one, case)))
    false, missing, others, median, maximum = workflow.thresholds(told)
    assert (false.figure, missing.figure, others.figure, median.figure, maximum.figure) == (1, 0.5, 0, 3.0, 4.0)
    assert [one.kept for one in (false, missing, others, maximum)] == [False, False, True, True]


def test_what_is_on_record_is_read_again(tmp_path: Path) -> None:
    case = CASES["deadlock", "solo"]
    one = said(case, "stuck", support=("none",), seconds=2.5)
    path = tmp_path / workflow.RECORDS
    path.write_text(json.dumps(one.as_dict()) + "\n")
    assert workflow.read(path) == [one]
    assert workflow.read(tmp_path / "none") == []
