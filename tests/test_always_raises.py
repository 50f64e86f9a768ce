"""A task that always raises is called a few times before that is said; one that raises sometimes is measured."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject

from harness.applications.probe import pace, patience, results
from harness.applications.probe.sizing import LOOK
from harness.applications.probe.source import LOOKED, ApplicationSource
from harness.experiment.pools import POOLS
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.run.plan import Planned
from harness.worker import heartbeat, serial
from tests.plain_left import left_in
from tests.test_application_source import ORDER, line, source
from tests.test_store import CELL, record

MINIMUM = 40  # measured calls, if nothing ends them before


def calls(task: Callable[[int], Any], rows: int, folder: Path, minimum: int = MINIMUM) -> list[dict[str, Any]]:
    """The lines of the serial calls of this function, as a task of Celery's."""
    heartbeat.open_in(str(folder))
    app, result = Celery("raises", set_as_current=False), folder / "result"
    whole = app.task(task, name="raises.task", shared=False)
    with result.open("w") as file:
        serial.measure(app, [(whole, [row]) for row in range(rows)], [], 0.0, minimum, 60.0, 0, file)
    return [json.loads(line) for line in result.read_text().splitlines()]


@pytest.fixture(autouse=True)
def nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "READY_S", 0.0)


def always(row: int) -> None:
    raise ValueError(f"no price of {row}")


@pytest.mark.parametrize(("rows", "made"), [(1, 20), (10, 20), (25, 50), (1000, 60)])
def test_serial_calls_that_all_raise_alike_end_early_and_ask_each_row_before(rows: int, made: int, tmp_path: Path) -> None:
    lines = calls(always, rows, tmp_path)
    assert len(lines) == made
    assert results.all_raised(lines).startswith(f"{made} of {made} serial calls raised")


def test_serial_calls_of_which_one_does_not_raise_go_on(tmp_path: Path) -> None:
    def sometimes(row: int, seen: list[int] = []) -> int:  # noqa: B006 - kept from call to call
        seen.append(row)
        if len(seen) != serial.ALIKE:
            raise ValueError("no price")
        return row

    assert len(calls(sometimes, 1, tmp_path)) > MINIMUM


@pytest.mark.parametrize("minimum", [MINIMUM, serial.ALIKE - 3])  # of one row, three calls come before these
def test_serial_calls_of_what_is_ready_after_a_while_go_on(
    minimum: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = list[float]()

    def late(row: int) -> int:
        if not slept:
            raise ValueError("the model is still loading")
        return row

    monkeypatch.setattr(serial, "READY_S", 5.0)
    monkeypatch.setattr("time.sleep", slept.append)
    lines = calls(late, 1, tmp_path, minimum)
    assert [line["error"] == "" for line in lines] == [number >= serial.ALIKE for number in range(len(lines))]
    assert len(lines) > max(minimum, serial.ALIKE)
    assert len(slept) == 1
    assert 0.0 < slept[0] <= 5.0


def test_serial_calls_tell_which_packages_their_task_loads_also_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_engine.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    done = list[int]()

    def late(row: int) -> int:
        done.append(row)
        if len(done) == MINIMUM:
            importlib.import_module("late_engine")
        return row

    calls(late, 1, tmp_path)
    assert {"celery", "late_engine"} <= results.loaded(tmp_path / "result")


@pytest.mark.parametrize(("paths", "found"), [(1, ["late_shop", "parts"]), (2, []), (0, [])])
def test_serial_calls_tell_which_modules_of_the_workers_folder_come_only_as_the_task_runs(
    paths: int, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found there once, `python -m` has put it on the path; twice, somebody else has, too."""
    (tmp_path / "late_shop.py").write_text("")
    (tmp_path / "parts").mkdir()  # a package without an __init__
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "late_other.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*[str(tmp_path)] * paths, str(tmp_path / "elsewhere"), *sys.path])
    names = ["late_shop", "parts", "late_other"] if paths else ["late_other"]
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    known = frozenset(sys.modules)
    for name in names:
        importlib.import_module(name)
    assert serial.of_folder(known, str(tmp_path)) == found
    assert serial.of_folder(frozenset(sys.modules), str(tmp_path)) == []
    serial.tell_loaded(str(tmp_path / "result"), found)
    assert results.loaded(tmp_path / "result", "of_folder") == set(found)
    for name in names:
        del sys.modules[name]


def test_serial_calls_of_which_nothing_is_left_tell_of_no_package(tmp_path: Path) -> None:
    assert results.loaded(tmp_path / "result") == frozenset()


def test_serial_calls_that_raise_different_exceptions_go_on(tmp_path: Path) -> None:
    def by_row(row: int) -> None:
        raise (KeyError if row else ValueError)("no price")

    assert len(calls(by_row, 2, tmp_path)) > MINIMUM


def test_what_a_task_raises_to_tell_its_worker_something_is_no_failure(tmp_path: Path) -> None:
    def rejects(row: int) -> None:
        raise Reject("later")

    assert len(calls(rejects, 1, tmp_path)) > MINIMUM


def after_failing_calls(tmp_path: Path, **order: Any) -> tuple[ApplicationSource, list[Planned]]:
    """A source whose serial calls all raised ValueError, and its trials."""
    one = source(replace(ORDER, **order))
    first, *pools = one.planned()
    failed = replace(left_in(tmp_path), cell=first.cell)
    each = {**line(0, None, error="ValueError: no price"), "begin": 0, "end": 1, "phase": 0, "pid": 1, "tid": 1}
    failed.result.parent.mkdir(exist_ok=True)
    failed.result.write_text("".join(json.dumps({**each, "number": number}) + "\n" for number in range(20)))
    one.read(failed)
    return one, [item for item in pools if not item.skip]


def of(item: Planned, **changes: Any) -> TrialRecord:
    values = {
        "outcome": Outcome.ERRORS,
        "plan_key": item.key,
        "requests": 20,
        "errors": {"ValueError: no price": 20},
        **changes,
    }
    return record(item.cell, **values)


def test_a_pool_is_looked_at_first_and_that_is_its_trial_if_it_raises_alike(tmp_path: Path) -> None:
    one, (pool, *others) = after_failing_calls(tmp_path)
    assert one.spared(pool, []) == ""
    assert one.sizing.settings(pool.cell)["requests"] == LOOK
    assert one.sizing.assignment(pool.cell)["few"], "no warm-up is made, which would call it, too"
    raised = one.revised(of(pool))
    assert LOOKED in raised.reason
    assert not one.unsettled(raised)
    again = next(item for item in others if item.cell.pool == pool.cell.pool)
    assert one.spared(again, [raised]).startswith("not run, for every call raised")


@pytest.mark.parametrize(
    ("tried", "spared"),
    [
        ({"prefork"}, {"prefork"}),
        ({"prefork", "gevent"}, {"prefork", "threads", "gevent", "eventlet", "solo"}),
        ({"solo"}, {"threads", "gevent", "eventlet", "solo"}),
        ({"prefork-spawn"}, {"prefork-spawn"}),
    ],
)
def test_a_pool_is_spared_if_one_raised_alike_that_finds_what_the_import_made_as_it_does(
    tried: set[str], spared: set[str]
) -> None:
    cells = {pool: replace(CELL, pool=pool) for pool in POOLS}
    raised = [record(cells[pool], outcome=Outcome.ERRORS, requests=20, errors={"ValueError: no": 20}) for pool in sorted(tried)]
    assert {pool for pool in POOLS if patience.fails_in(pool, raised, "ValueError")} == spared
    better = record(cells["threads"], outcome=Outcome.OK, requests=20, ok=20, errors={})
    assert not any(patience.fails_in(pool, [*raised, better], "ValueError") for pool in POOLS)


@pytest.mark.parametrize(
    "better",
    [
        {"outcome": Outcome.OK, "ok": 20, "errors": {}},
        {"ok": 3, "errors": {"ValueError: no price": 17}},
        {"errors": {"ConnectionError: reset": 20}},
    ],
)
def test_a_pool_that_answers_or_raises_otherwise_is_measured_as_it_was_asked_for(
    better: dict[str, Any], tmp_path: Path
) -> None:
    one, (pool, *_) = after_failing_calls(tmp_path)
    one.spared(pool, [])
    seen = one.revised(of(pool, **better))
    assert LOOKED not in seen.reason
    assert one.unsettled(seen), "it is run once more"
    assert one.sizing.settings(pool.cell)["requests"] == ORDER.settings.requests
    assert "few" not in one.sizing.assignment(pool.cell)
    assert not one.unsettled(seen), "and only once"


def test_once_a_pool_answered_the_others_are_measured_at_once(tmp_path: Path) -> None:
    one, (pool, other, *_) = after_failing_calls(tmp_path)
    assert one.spared(other, [of(pool, outcome=Outcome.OK, ok=20, errors={})]) == ""
    assert one.sizing.settings(other.cell)["requests"] == ORDER.settings.requests


def test_pools_that_raise_otherwise_say_nothing_of_those_that_were_not_tried(tmp_path: Path) -> None:
    one, (pool, other, *_) = after_failing_calls(tmp_path)
    assert one.spared(other, [of(pool, errors={"ConnectionError: reset": 20})]) == ""
    assert one.spared(other, [of(pool, errors={results.UNREAD: 20})]), "the name of one that is not read is not known"


def test_who_wants_all_of_it_gets_all_of_it(tmp_path: Path) -> None:
    one, (pool, *_) = after_failing_calls(tmp_path, go_on=True)
    assert one.spared(pool, [of(pool)]) == ""
    assert one.sizing.settings(pool.cell)["requests"] == ORDER.settings.requests


def test_a_task_whose_calls_take_long_is_sent_few_requests_anyway(tmp_path: Path) -> None:
    one, (pool, *_) = after_failing_calls(tmp_path)
    one.sizing.pace = pace.Pace(calls=2, usual_s=30.0, first_s=30.0, slowest_s=30.0, cores=1.0)
    one.spared(pool, [])
    assert pool.cell.id not in one.sizing.looks
    assert patience.raises(of(pool), "ValueError")
