"""Somebody's own application as a source of trials: what is planned, what is run again, and the words of its records."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery, signals
from celery.loaders.app import AppLoader

from harness.applications.probe import again, checks, off_path, one_thread, results, seen, words
from harness.applications.probe import order as orders
from harness.applications.probe.budget import Budget
from harness.applications.probe.checks import Expression, Reference
from harness.applications.probe.expected import Expected
from harness.applications.probe.learn import Facts
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.pace import Pace
from harness.applications.probe.probe import Probe
from harness.applications.probe.seen import (
    at_first,
    at_once,
    by_row,
    endless,
    failed_outside,
    in_the_main_process,
    not_called,
    too_few,
)
from harness.applications.probe.served import Served
from harness.applications.probe.serving import Serving
from harness.applications.probe.sizing import Sizing
from harness.applications.probe.source import NOT_CHECKED, ApplicationSource
from harness.client import opaque
from harness.environments import Environment
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.observe.diagnosis import Evidence
from harness.observe.progress import PUT_OFF
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.sections import MemoryUse
from harness.records.store import RunFolder
from harness.run import plan
from harness.run.plan import Planned
from harness.run.source import Desk, Slot
from harness.trial.application import Application, Limits
from harness.trial.left import Ending, Left
from harness.worker import child_start, contract, hooks
from tests.plain_left import left_in, requests
from tests.test_run_loop import NoBroker
from tests.test_store import CELL, record

HERE = Path("/somewhere")
ORDER = ProbeOrder(
    app="shop:app", task="shop.price", rows=[[1], [2]], python=HERE / "bin/python", folder=HERE, variables={}, own={},
    env_file=None, settings=Settings(), out=HERE / "out", pools=("prefork", "gevent", "solo"), concurrency=(1, 2),
    traffic="closed-4",
)  # fmt: skip


DONE = Ending(by="done")
ONE_ROW = "one row has an answer: an answer that another request got could not be seen; --args with different ones shows it"


VALKEY = Serving(
    broker=NoBroker(), results="", name="valkey", asked={"broker": "redis", "backend": "redis"},
    served=Served(broker="valkey", results="redis"),
)  # fmt: skip


def calls(now: list[Any], later: list[Any] | None = None) -> again.Calls:
    """Serial calls that give these lines after a trial, and those after a while."""
    return again.Calls(now=lambda *_: now, later=None if later is None else lambda *_: later)


def source(order: ProbeOrder = ORDER, said: list[str] | None = None, **changes: Any) -> ApplicationSource:
    told = {"green": [], "celery": "5.7.0", "python": "3.11.0", "told": {}, "said": [], "loaded": ["celery", "json"]}
    environment = Environment(
        name="app", python=order.python, directory=HERE, fingerprint="f", installed={"celery": "5.7.0"}, variables={},
        interpreter_version="3.11.0", facts={}, cache_dir=HERE,
    )  # fmt: skip
    application = Application(
        app=order.app,
        tasks=order.tasks,
        python=order.python,
        folder=HERE,
        own_variables={},
        rows=HERE,
        queue_keys=("celery\x06\x163",),
    )
    values = {
        "sources": "s",
        "sizing": Sizing(order=order, budget=Budget(seconds=order.budget_s)),
        "code": {},
        "folder": RunFolder(HERE),
        "environment": environment,
        "calls": calls([]),
        "serving": VALKEY,
        **changes,
    }
    say = (said if said is not None else []).append
    return ApplicationSource(
        order=order, application=application, facts=Facts(told=told, queue_keys=("celery",), messages=[]), say=say,
        expected=Expected(order=order, say=say, rows=len(order.rows)), **values,
    )  # fmt: skip


def line(number: int, result: Any, error: str = "") -> dict[str, Any]:
    payload = None if error else json.dumps({"result": result})
    return {"number": number, "row": number, "payload": payload, "error": error}


def test_the_serial_calls_come_first_then_every_pool_and_a_missing_library_is_a_reason() -> None:
    planned = source().planned()
    assert [item.cell.pool for item in planned] == ["in-process", "prefork", "prefork", "gevent", "gevent", "solo"]
    assert [item.cell.pool for item in planned if item.skip] == ["gevent", "gevent"]
    assert planned[3].skip == "gevent is not installed in the application's environment"


def test_the_serial_calls_are_made_again_only_where_something_is_left_to_run() -> None:
    one = source()
    serial, *others = one.planned()
    assert one.again(others) == [serial]
    assert one.again([serial, *others]) == []
    assert one.again([]) == []


@pytest.mark.parametrize(
    "changed",
    [
        source(replace(ORDER, rows=[[1], [3]])),
        source(replace(ORDER, queue="rare")),
        source(replace(ORDER, check="result > 1")),
        source(replace(ORDER, own={"FACTOR": "3"})),
        source(replace(ORDER, settings=Settings(requests=21))),
        source(sources="another"),
        source(replace(ORDER, tolerance=0.1)),
    ],
)
def test_another_probe_has_other_keys(changed: ApplicationSource) -> None:
    assert changed.planned()[0].key != source().planned()[0].key


def test_more_repetitions_or_another_seed_are_the_same_probe() -> None:
    again = replace(ORDER, settings=Settings(repeat=3, seed=9, controls=False))
    assert {item.key for item in source(again).planned()} == {item.key for item in source().planned()}


def test_what_the_serial_calls_gave_is_what_answers_are_held_against() -> None:
    said: list[str] = []
    one = source(said=said)
    one.expected.settle([line(0, 7)], DONE)
    assert isinstance(one.expected.check, Reference)
    assert one.expected.rows == 1
    assert said == [ONE_ROW, "the serial calls had time for the first 1 of 2 rows: these are sent"]
    told = one.revised(record(reason="all 9 answers match the reference"))
    assert (told.reason, told.certainty.doubts) == ("all 9 answers match those of serial calls", [])


def test_a_users_own_check_is_what_the_record_speaks_of() -> None:
    one = source(replace(ORDER, check="result == 7"))
    one.expected.settle([line(0, 7), line(1, 8)], DONE)
    assert isinstance(one.expected.check, Expression)
    assert one.revised(record(reason="3 answers differ from the reference by up to inf")).reason == "3 answers fail the check"


def test_answers_that_nothing_can_be_held_against_are_doubted() -> None:
    said: list[str] = []
    one = source(said=said)
    one.expected.settle([line(0, None, error="ValueError"), line(1, None, error="ValueError")], DONE)
    assert said == ["warning: the serial calls all raised: answers are not checked; --check 'expression on result' does"]
    told = one.revised(record(reason="all 9 answers match the reference"))
    assert (told.reason, told.certainty.doubts) == ("all 9 answers came", [NOT_CHECKED])
    assert told.outcome is Outcome.UNCHECKED
    assert one.revised(record(CELL).changed(ended={"outcome": Outcome.HUNG})).outcome is Outcome.HUNG


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "never came back"),
        (
            [{**line(0, 7), "payload": None}, line(1, 0, error="OSError")],
            "gave no answer that can be read (JSON or msgpack)",
        ),
    ],
)
def test_why_answers_are_held_against_nothing_is_said(lines: list[dict[str, Any]], why: str) -> None:
    said: list[str] = []
    source(said=said).expected.settle(lines, DONE)
    helps = "; they are with result_serializer = 'json' in the application's settings" if lines else ""
    assert said == [f"warning: the serial calls {why}: answers are not checked{helps}"]


def test_an_application_that_only_one_process_can_import_is_told() -> None:
    said: list[str] = []
    failed = {"failed": "OSError: [Errno 98] Address already in use"}
    source(said=said).expected.settle([line(0, 7), line(1, 8)], DONE, [failed, failed])
    assert [text for text in said if "no second process can import the application" in text and "Address already" in text], said
    assert "(prefork-spawn) fail alike" in said[-1]
    said.clear()
    waits = {"failed": "its import waited for 20 s", "waits": True}
    source(said=said).expected.settle([line(0, 7), line(1, 8)], DONE, [waits, waits])
    assert "beside the first (its import waited for 20 s)" in said[-1]
    assert "(prefork-spawn) wait alike" in said[-1]
    said.clear()
    source(said=said).expected.settle(
        [line(0, 7), line(1, 8)], DONE, [failed, {**line(0, 7), "pid": 9}, {**line(1, 8), "pid": 9}]
    )
    assert not [text for text in said if "second process" in text], said


def test_what_could_not_be_imported_has_made_no_calls(tmp_path: Path) -> None:
    """After a trial that a kill ended, say, which left its lock."""
    for each in ({"failed": "FileExistsError: app.lock"}, line(0, 7)):
        (tmp_path / "again.jsonl").write_text(json.dumps(each) + "\n")
        assert results.calls(tmp_path / "again.jsonl") == ([] if "failed" in each else [each])


def test_a_trial_that_found_linked_files_is_another_one() -> None:
    keys = [source(order=replace(ORDER, linked=linked)).planned()[0].key for linked in ((), ("models",))]
    assert keys[0] != keys[1]


def test_a_setting_that_would_start_another_pool_is_told_with_the_pool_it_would_replace() -> None:
    one = source()
    one.facts.told["pool_settings"] = ["worker_pool is 'threads'"]  # type: ignore[index]
    one.expected.settle([line(0, 7), line(1, 8)], DONE)
    assert one.revised(record(replace(CELL, pool="prefork"))).reason == "fine; worker_pool is 'threads'"
    assert one.revised(record(CELL)).reason == "fine"


def test_what_was_said_of_settings_and_of_the_comparison_is_on_record() -> None:
    said: list[str] = []
    one = source(said=said)
    one.facts.told["said"] = ["worker_concurrency is 8"]  # type: ignore[index]
    one.expected.settle([line(0, {"\x1b[31mat": 1, "sum": 5}), line(0, {"\x1b[31mat": 2, "sum": 5})], DONE)
    told = one.revised(record()).certainty.notes
    assert told == [
        "worker_concurrency is 8",
        r"not compared, for it differs from call to call: result.\x1b[31mat",
        ONE_ROW,
        "the serial calls had time for the first 1 of 2 rows: these are sent",
    ]
    assert said == told[1:], "what the application is was said when it was asked"


def left(cell: Cell, folder: Path, by: str = "done", **held: str) -> Left:
    (folder / contract.SETTINGS).write_text(json.dumps(held))
    one = left_in(folder)
    return replace(one, cell=cell, ended=replace(one.ended, by=by))


def test_a_setting_that_the_worker_has_otherwise_is_said_and_on_record(tmp_path: Path) -> None:
    said: list[str] = []
    one = source(said=said)
    one.facts.told["expected"] = {"worker_max_tasks_per_child": "None"}  # type: ignore[index]
    one.read(left(CELL, tmp_path, worker_max_tasks_per_child="2"))
    (line,) = one.revised(record()).certainty.notes
    assert line.startswith("worker_max_tasks_per_child is 2 in the worker and was None before")
    assert said == [line]


def test_fewer_children_than_were_asked_for_are_counted_by_the_kernel(tmp_path: Path) -> None:
    found = left(replace(CELL, pool="prefork", concurrency=2), tmp_path)
    most = max(len(sample.pids) - 1 for sample in found.machine.watched.samples)
    assert too_few(found) == []
    more = replace(found, cell=replace(found.cell, concurrency=most + 1))
    assert too_few(more) == [f"the kernel saw {most} child processes at the most, {most + 1} were asked for"]
    assert too_few(replace(more, cell=replace(more.cell, pool="threads"))) == []


@pytest.mark.parametrize(
    ("pool", "raised", "handlers", "said"),
    [
        ("threads", [1, 1], ["load (tasks.py:6)"], True),
        ("gevent", [0, 1], ["load (tasks.py:6)"], True),
        ("threads", [0, 0], ["load (tasks.py:6)"], False),
        ("threads", [1, 1], [], False),
        ("prefork", [1, 1], ["load (tasks.py:6)"], False),
        ("solo", [1, 1], ["load (tasks.py:6)"], False),
    ],
)
def test_what_a_pool_never_calls_is_named_beside_what_failed(
    tmp_path: Path, pool: str, raised: list[int], handlers: list[str], said: bool
) -> None:
    (tmp_path / contract.CHILD_HANDLERS).write_text(json.dumps(handlers))
    found = left(replace(CELL, pool=pool), tmp_path)
    told = not_called(found, requests([11.0, 12.0], raised=raised))
    assert [f"worker_process_init in {pool}, so load (tasks.py:6) was never called" in line for line in told] == [True] * said
    assert [line.endswith("worker_init, which every pool sends (prefork before the fork)") for line in told] == [True] * said


@pytest.mark.parametrize(("pool", "said"), [("threads", True), ("solo", True), ("prefork", False), ("prefork-spawn", False)])
def test_a_loader_that_loads_in_children_is_named_where_no_child_calls_it(tmp_path: Path, pool: str, said: bool) -> None:
    (tmp_path / contract.CHILD_LOADER).write_text(json.dumps(["Loader.on_worker_process_init (tasks.py:9)"]))
    told = not_called(left(replace(CELL, pool=pool), tmp_path), requests([11.0], raised=[1]))
    assert ["Loader.on_worker_process_init (tasks.py:9) was never called" in line for line in told] == [True] * said


@pytest.mark.parametrize(
    ("raised", "said"),
    [(range(10), True), (range(15), True), (range(9), False), (range(10, 20), False), (range(0, 20, 2), False)],
)
def test_requests_that_raise_only_at_first_are_told_as_that(raised: range, said: bool) -> None:
    told = at_first(requests([10.0 + number for number in range(25)], raised=[number in raised for number in range(25)]))
    assert [line.startswith(f"all {len(raised)} that raised were begun before any other, ") for line in told] == [True] * said


@pytest.mark.parametrize(
    ("executors", "failed", "said"),
    [
        ("threads", [1], "half loaded, for they share a process"),
        ("greenlets", [1, 2], "half loaded, for they share a process"),
        ("processes", [1], "a file, a cache, a port"),
        ("main", [1], ""),  # nothing runs beside another one there
        ("threads", [0, 1, 2], ""),  # all that came together
        ("threads", [1, 7], ""),  # one later, too
        ("threads", [7], ""),
        ("threads", [], ""),
    ],
)
@pytest.mark.parametrize("how", ["raised", "wrong"])
def test_what_fails_beside_the_first_call_alone_may_have_met_a_half_loaded_model(
    executors: str, failed: list[int], said: str, how: str
) -> None:
    moments = [10.0, 10.1, 10.2, *(11.0 + number for number in range(8))]
    inside = np.isin(np.arange(len(moments)), failed)
    told = at_once(executors, requests(moments, **({"raised": inside} if how == "raised" else {"right": ~inside})))
    assert [f"all {len(failed)} that failed ran beside" in line and said in line for line in told] == [True] * bool(said)


@pytest.mark.parametrize("alone", [False, True])
def test_a_first_call_that_raises_without_celery_met_no_half_loaded_model(tmp_path: Path, alone: bool) -> None:
    one = source()
    one.expected.settle([line(0, 7, "ConnectionError: gone" if alone else ""), line(1, 8), line(0, 7)], DONE)
    found = requests([10.0, 10.1, *(11.0 + number for number in range(8))], raised=[1, *[0] * 9])
    told = seen.at_the_start(left(replace(CELL, pool="threads"), tmp_path), found, one.expected.raised)
    assert ["half loaded" in text for text in told] == [True] * (not alone)


@pytest.mark.parametrize(
    ("pool", "raised", "said"),
    [("prefork", 1, True), ("prefork-spawn", 1, True), ("prefork", 0, False), ("threads", 1, False), ("solo", 1, False)],
)
def test_what_is_loaded_once_the_worker_is_ready_is_too_late_for_children(
    tmp_path: Path, pool: str, raised: int, said: bool
) -> None:
    (tmp_path / contract.READY_HANDLERS).write_text(json.dumps(["load (tasks.py:6)"]))
    told = in_the_main_process(left(replace(CELL, pool=pool), tmp_path), requests([11.0], raised=[raised]))
    assert ["load (tasks.py:6) was called there, and not in them" in line for line in told] == [True] * said


def test_a_loader_of_the_applications_own_is_named_with_its_place_and_celerys_is_not() -> None:
    class Loader(AppLoader):
        def on_worker_process_init(self) -> None:
            """Nothing."""

    (told,) = hooks.of_loader(Celery("shop", loader=Loader, set_as_current=False))  # type: ignore[no-untyped-call]
    assert re.search(r"\bLoader\.on_worker_process_init \(\S*test_application_source\.py:\d+\)$", told)
    assert hooks.of_loader(Celery("shop", set_as_current=False)) == []  # type: ignore[no-untyped-call]


def test_receivers_of_a_signal_are_named_with_their_place_and_celerys_own_are_not() -> None:
    def load(**_: object) -> None:
        """Nothing."""

    signals.worker_process_init.connect(load, weak=False)
    signals.worker_process_init.connect(child_start.initialize, weak=False)
    try:
        (told,) = hooks.receivers("worker_process_init")  # type: ignore[no-untyped-call]
    finally:
        signals.worker_process_init.disconnect(load)
        signals.worker_process_init.disconnect(child_start.initialize)
    assert re.search(r"\bload \(\S*test_application_source\.py:\d+\)$", told)


@pytest.mark.parametrize(
    ("by", "again", "retried", "received", "told"),
    [
        (
            "limit",
            [contract.RETRIED],
            {1},
            [11.0, -1.0, -1.0],
            "2 of 3 requests have no answer (row 2), for their task retries",
        ),
        (
            "limit",
            [contract.REQUEUED],
            {1},
            [11.0, 12.0, -1.0],
            "1 of 3 requests have no answer (row 2), for their task puts its",
        ),
        ("limit", [contract.RETRIED], set(), [11.0, -1.0, -1.0], ""),
        ("limit", [contract.REPLACED], {1}, [11.0, -1.0, -1.0], ""),
        ("limit", [], {1}, [11.0, -1.0, -1.0], ""),
        ("done", [contract.RETRIED], {1}, [11.0, -1.0, -1.0], ""),
        ("limit", [contract.RETRIED], {1}, [11.0, 12.0, 13.0], ""),
    ],
)
def test_what_is_retried_for_ever_with_and_without_celery_is_told_alike(
    tmp_path: Path, by: str, again: list[int], retried: set[int], received: list[float], told: str
) -> None:
    found = left(CELL, tmp_path, by)
    found = replace(found, signs=replace(found.signs, again={PUT_OFF[kind]: (3, 4) for kind in again}))
    said = endless(found, requests(received, row=[0, 1, 1]), retried)
    assert [told in line for line in said] == [True] * bool(told)


@pytest.mark.parametrize(
    ("outcome", "then"), [(Outcome.SLOW, Outcome.ERRORS), (Outcome.WAITING, Outcome.ERRORS), (Outcome.HUNG, Outcome.HUNG)]
)
def test_what_is_retried_for_ever_is_an_error_in_a_pool_as_it_is_in_the_serial_calls(outcome: Outcome, then: Outcome) -> None:
    slow = record().changed(ended={"outcome": outcome})
    assert words.outcome(slow, Limits(), compared=True, endless=["so"], outside=[]) is then
    assert words.outcome(slow, Limits(), compared=True, endless=[], outside=[]) is outcome


def test_what_failed_outside_its_task_is_an_error_whatever_was_answered(tmp_path: Path) -> None:
    found = left(CELL, tmp_path)
    assert failed_outside(found) == []
    lines = [[4, "ValueError: full"], [7, "ValueError: full"], [7, "KeyError: 'x'"]]
    (tmp_path / contract.OUTSIDE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (said,) = failed_outside(found)
    assert said.startswith("2 requests failed outside the task's own body")
    assert said.endswith("2 x ValueError: full; 1 x KeyError: 'x'")
    (tmp_path / contract.OUTSIDE).write_text("[4, ")
    assert failed_outside(found) == []
    ends = {Outcome.OK: Outcome.ERRORS, Outcome.WRONG: Outcome.WRONG, Outcome.CRASHED: Outcome.CRASHED}
    got = {one: words.outcome(record(outcome=one), Limits(), compared=True, endless=[], outside=["so"]) for one in ends}
    assert got == ends


@pytest.mark.parametrize(("outcome", "told"), [(Outcome.OK, True), (Outcome.ERRORS, False)])
def test_an_exception_that_is_only_in_the_log_is_told_of_what_answered(tmp_path: Path, outcome: Outcome, told: bool) -> None:
    one, found = source(), left(CELL, tmp_path)
    one.read(replace(found, ended=replace(found.ended, log_error="ValueError: full (shop.py:7)")))
    reason = one.revised(record(outcome=outcome, reason="why", ok=9)).reason
    assert ("no answer shows, the last one: ValueError: full (shop.py:7)" in reason) is told


def test_a_fatal_error_in_the_log_of_what_answered_is_somebodys_words(tmp_path: Path) -> None:
    one, found = source(), left(CELL, tmp_path)
    one.read(replace(found, ended=replace(found.ended, log_error="Fatal Python error: deadlock")))
    assert "no answer shows" not in one.revised(record(outcome=Outcome.OK, reason="why", ok=9)).reason


def test_the_rows_that_the_serial_calls_retry_in_vain_are_known() -> None:
    one = source()
    failed = {**line(1, None), "error": "RetriedTooOften: it is retried without an end"}
    one.expected.settle([line(0, 1), failed], DONE)
    assert one.expected.retried == {1}


@pytest.mark.parametrize(
    ("outcome", "pool", "words"),
    [
        (Outcome.STALLED, "prefork", "why; worker_max_tasks_per_child replaces each child after 5 tasks"),
        (Outcome.CRASHED, "prefork", "why; worker_max_tasks_per_child replaces each child after 5 tasks"),
        (Outcome.STALLED, "threads", "why"),
        (Outcome.WRONG, "prefork", "why"),
    ],
)
def test_a_pool_that_does_badly_while_its_children_are_replaced_is_told_with_the_setting(
    outcome: Outcome, pool: str, words: str
) -> None:
    one = source()
    one.application = replace(one.application, limits_of=(Limits(max_tasks_per_child=5),))
    assert one.revised(record(replace(CELL, pool=pool), outcome=outcome, reason="why", ok=9)).reason == words
    few = record(replace(CELL, pool=pool), outcome=outcome, reason="why", ok=3)
    assert one.revised(few).reason == "why", "no child has had so many tasks"


def test_a_pool_that_waits_for_children_that_a_setting_replaces_is_slow() -> None:
    one = source()
    trial = record(replace(CELL, pool="prefork"), outcome=Outcome.STALLED, ok=9, died=9)
    assert one.revised(trial).outcome is Outcome.STALLED
    one.application = replace(one.application, limits_of=(Limits(max_memory_per_child_kib=9),))
    assert one.revised(trial).outcome is Outcome.SLOW


def cut_off_under_a_shorter_limit(tmp_path: Path, outcome: Outcome) -> tuple[ApplicationSource, TrialRecord]:
    one = source()
    serial, pool = one.planned()[0].cell, one.planned()[1].cell
    one.read(left(serial, tmp_path))
    one.revised(record(serial, outcome=Outcome.WAITING, last_progress_s=0.0))
    one.read(left(pool, tmp_path, by="limit"))
    return one, one.revised(record(pool, outcome=outcome, reason="cut off"))


def test_a_pool_that_made_progress_under_a_shorter_limit_is_run_again_with_the_whole_one(tmp_path: Path) -> None:
    one, told = cut_off_under_a_shorter_limit(tmp_path, Outcome.SLOW)
    assert one.unsettled(told)
    assert not one.unsettled(told), "the whole limit is the last word"


def test_a_pool_that_waits_like_the_serial_calls_is_settled_and_the_limit_is_on_record(tmp_path: Path) -> None:
    one, told = cut_off_under_a_shorter_limit(tmp_path, Outcome.WAITING)
    assert not one.unsettled(told)
    assert "the serial calls waited to the limit: this pool was cut off after 30 s without progress" in told.certainty.notes[-1]


def test_a_repeat_is_spared_unless_it_is_asked_for() -> None:
    one = source(replace(ORDER, settings=Settings(repeat=2)))
    serial, first = one.planned()[:2]
    again = next(item for item in one.planned() if item.cell == first.cell and item.trial == 2)
    one.revised(record(serial.cell, outcome=Outcome.HUNG, proof="p"))
    known = [record(first.cell, outcome=Outcome.HUNG, proof="p", plan_key=first.key)]
    assert "the serial calls did, too" in one.spared(again, known)
    assert one.spared(first, known) == ""
    assert one.spared(again, [record(first.cell, outcome=Outcome.HUNG, proof="p")]) == "", "that is of another plan"
    one.order = replace(one.order, retry=frozenset({Outcome.SKIPPED}))
    assert one.spared(again, known) == ""


def over_subscribed(item: Planned, **changes: Any) -> TrialRecord:
    told = {"cpu_verdict": "over-subscribed 2.4 x", "threads_peak": {"worker": 1, "child": 2}}
    return record(item.cell, **{"trial": item.trial, "plan_key": item.key, **told, **changes})


def test_a_pool_that_was_over_subscribed_is_measured_with_one_thread_per_library_too() -> None:
    one = source(replace(ORDER, settings=Settings(repeat=2)))
    planned = one.planned()
    serial, first = planned[:2]
    second = next(item for item in planned if item.cell == first.cell and item.trial == 2)
    (follows,) = one.follows(first, [over_subscribed(first)])
    assert follows.cell.id == f"{first.cell.id}-t1x1"
    assert (follows.trial, follows.skip) == (1, "")
    assert follows.cell.baseline() == serial.cell, "the same serial calls say how long a request takes"
    late = [record(first.cell, plan_key=first.key), over_subscribed(second)]
    assert [each.trial for each in one.follows(second, late)] == [1, 2], "as many trials as its pool has"
    assert one.follows(follows, [over_subscribed(follows)]) == []
    assert one.follows(serial, [over_subscribed(serial)]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu_verdict": "saturated"},
        {"threads_peak": {"worker": 1, "child": 1}},
        {"outcome": Outcome.INVALID},
        {"plan_key": "of an earlier plan"},
    ],
)
def test_nothing_follows_from_a_pool_that_no_native_threads_over_subscribe(changes: dict[str, Any]) -> None:
    one = source()
    first = one.planned()[1]
    assert one.follows(first, [over_subscribed(first, **changes)]) == []


def test_variables_that_the_application_sets_are_kept_and_there_is_no_sibling_if_it_sets_all() -> None:
    some = source(replace(ORDER, own={"OMP_NUM_THREADS": "2"}))
    assert list(some.one_thread) == ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"]
    assert some.header({})["application"]["one_thread"] == some.one_thread
    every = source(replace(ORDER, own=dict.fromkeys(one_thread.VARIABLES, "2")))
    first = every.planned()[1]
    assert every.follows(first, [over_subscribed(first)]) == []


def test_a_sibling_is_started_with_its_variables_and_its_reason_names_them(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("harness.broker.emptied", lambda url: None)  # of the private Valkey
    one = source(replace(ORDER, own={"MKL_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}))
    one.application = replace(one.application, own_variables={"MKL_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "4"})
    first = one.planned()[1]
    (follows,) = one.follows(first, [over_subscribed(first)])
    given = []
    for item in (first, follows):
        desk = Desk(
            folder=RunFolder(tmp_path), scratch=tmp_path, server=NoBroker(), settings=Settings(),
            say=print, interrupted=bool,
        )  # fmt: skip
        slot = Slot(
            item=item, desk=desk, folder=tmp_path, evidence=tmp_path, baseline_s=None, baseline_first_s=None,
            baseline_slowest_s=None,
        )  # fmt: skip
        with one.assignment(slot) as work:
            assert work.application is not None
            given.append(dict(work.application.own_variables))
    assert given[0] == {"MKL_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "4"}
    assert given[1] == {"MKL_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1"}
    told = one.revised(record(follows.cell, reason="fine")).reason
    assert told == "fine; with OPENBLAS_NUM_THREADS=1, NUMEXPR_NUM_THREADS=1"


def test_a_sibling_of_an_earlier_plan_is_replaced_by_a_skipped_one() -> None:
    one = source()
    first = one.planned()[1]
    (earlier,) = one.follows(first, [over_subscribed(first)])
    plain = record(first.cell, plan_key=first.key, cpu_verdict="saturated")
    (stale,) = one.follows(first, [plain, record(earlier.cell, plan_key="of an earlier plan")])
    assert stale.cell == earlier.cell
    assert stale.skip.startswith("not run: no trial of today's plan shows its pool over-subscribed")
    replaced = record(stale.cell, plan_key=stale.key, outcome=Outcome.SKIPPED)
    assert one.follows(first, [plain, replaced]) == []
    assert one.follows(first, [plain, record(earlier.cell, plan_key=earlier.key)]) == [], "it is of today's plan"
    assert one.follows(first, [over_subscribed(first), replaced]) == [earlier], "and is measured if it is again"


def test_a_folder_with_a_probe_of_something_else_is_not_admitted(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append(record())
    folder.write_json("run.json", source().header({}))
    Probe(order=ORDER).admit(folder)
    with pytest.raises(BadInput, match=r"holds a probe of shop\.price in shop:app"):
        Probe(order=replace(ORDER, task="shop.other")).admit(folder)
    with pytest.raises(BadInput, match=r"holds a probe of shop\.price in shop:app"):
        Probe(order=replace(ORDER, folder=tmp_path / "another")).admit(folder)
    with pytest.raises(BadInput, match=r"without --queue$"):
        Probe(order=replace(ORDER, queue="ml")).admit(folder)


def test_the_header_says_what_was_probed() -> None:
    told = source().header({})
    assert told["application"]["consumed"] == "celery"
    assert told["experiment"]["name"] == "probe"
    assert told["application"]["loaded"] == ["celery"]
    json.dumps(told)


def test_what_a_task_loads_in_its_calls_stays_known_when_the_run_goes_on() -> None:
    first = replace(source(), loaded=frozenset({"celery", "torch", "wave"})).header({})
    assert first["application"]["loaded"] == ["celery", "torch"]
    assert source().header(first)["application"]["loaded"] == ["celery", "torch"]


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Ending(by="worker-exit", worker_exit="exit 2"), "row 2 ended the serial calls (exit 2)"),
        (Ending(by="verdict"), "row 2 never came back"),
        (Ending(by="limit"), "row 2 never came back"),
    ],
)
def test_a_row_that_ends_the_serial_calls_is_sent_to_the_pools_all_the_same(ended: Ending, said: str) -> None:
    order = replace(ORDER, rows=[[1], [2], [3]])
    one = source(order)
    one.expected.settle([line(0, 7), line(0, 7)], ended)
    assert one.expected.rows == 2
    assert f"{said}: it is sent to the pools as well, and its answers are compared with nothing" in one.expected.notes
    assert one.expected.check(0, 8)[0] is False
    assert one.expected.check(1, "whatever")[0] is True
    for outcome, told in ((Outcome.CRASHED, True), (Outcome.HUNG, True), (Outcome.OK, False)):
        assert (f"; {said} without Celery, too" in one.revised(record(CELL).changed(ended={"outcome": outcome})).reason) is told


def test_a_row_that_the_serial_calls_had_no_time_for_is_no_spoiler() -> None:
    one = source(replace(ORDER, rows=[[1], [2], [3]]))
    one.expected.settle([line(0, 7), line(0, 7)], DONE)
    assert (one.expected.rows, one.expected.spoiler) == (1, "")
    one.expected.settle([], Ending(by="verdict"))
    assert one.expected.spoiler == ""


def test_what_other_processes_answer_otherwise_is_left_out_and_said_of_every_trial() -> None:
    one = source()
    lines = [line(0, {"label": "a", "tags": [1, 2]}), line(1, {"label": "b", "tags": [1, 2]})]
    one.expected.settle(lines, DONE, [line(0, {"label": "a", "tags": [2, 1]}), line(1, None, error="OSError")])
    assert isinstance(one.expected.check, Reference)
    assert one.expected.check(0, {"label": "a", "tags": [9, 9]}) == (True, 0.0)
    assert one.expected.check(1, {"label": "a", "tags": [1, 2]})[0] is False
    told = one.revised(record(reason="all 2 answers match the reference", ok=2))
    left_out = f"left out, for they differ {checks.PROCESSES}: result.tags.*"
    assert told.answers.coverage == f"1 of 2 fields in 2 of 2 answers; {left_out}"
    assert told.reason == f"all 2 answers match those of serial calls in 1 of 2 fields; compared: {told.answers.coverage}"


def trial_that_answered(tmp_path: Path, one: ApplicationSource, results: list[Any]) -> Left:
    """A trial of the first pool, whose client kept these results, in the order of the rows."""
    left = replace(left_in(tmp_path), cell=one.planned()[1].cell)
    n = len(results)
    columns = {name: np.arange(n) if name in ("number", "row") else np.full(n, 5) for name in contract.REQUEST_FIELDS}
    columns |= {"error": np.full(n, ""), "answers": np.empty((n, 0))}
    np.savez(left.result, **columns)
    kept = "".join(json.dumps({"number": number, "result": each}) + "\n" for number, each in enumerate(results))
    left.result.with_name(opaque.RESULTS).write_text(kept)
    return left


FIVE, SIX = {"minute": 7, "sum": 5}, {"minute": 7, "sum": 6}
EIGHT = [{"minute": 8, "sum": 5}, {"minute": 8, "sum": 6}]


def lines_of(answers: list[Any]) -> list[dict[str, Any]]:
    return [line(row, each) for row, each in enumerate(answers)]


def after_a_trial(tmp_path: Path, now: list[Any], later: list[Any] | None, answers: list[Any] = EIGHT, **changes: Any) -> Any:
    """(requests, record, source) of a trial that gave these answers, after which the serial calls give those."""
    one = source(calls=calls(lines_of(now), None if later is None else lines_of(later)), **changes)
    one.expected.settle(lines_of([FIVE, SIX]), DONE)
    requests = one.read(trial_that_answered(tmp_path, one, answers))
    assert requests is not None
    right = not requests.wrong.any()
    said = ("2 of 2 answers match the reference", Outcome.OK) if right else (
        "2 of 2 answers differ from the reference by up to 1", Outcome.WRONG
    )  # fmt: skip
    return requests, one.revised(record(reason=said[0], outcome=said[1])), one


@pytest.mark.parametrize("now", [[FIVE, SIX], []])
def test_answers_that_the_serial_calls_do_not_give_after_the_trial_either_are_wrong(tmp_path: Path, now: list[Any]) -> None:
    requests, told, one = after_a_trial(tmp_path, now, None)
    agree = "agree on it, in all their processes" + (", and again after this trial" if now else "")
    assert f"result.minute in 2, such as: for row 1, 7 was expected and 8 came; the serial calls {agree}" in told.reason
    assert (requests.wrong.all(), told.outcome, one.expected.notes) == (True, Outcome.WRONG, [])


def test_what_changes_by_itself_is_compared_no_more(tmp_path: Path) -> None:
    later = [{**each, "minute": 9} for each in EIGHT]
    requests, told, one = after_a_trial(tmp_path, EIGHT, later)
    assert (requests.wrong.any(), told.outcome) == (False, Outcome.OK)
    assert told.reason.startswith("2 of 2 answers match those of serial calls in 1 of 2 fields")
    assert "not compared from now on: result.minute. The serial calls gave other" in one.expected.notes[-1]
    assert one.expected.checked == "match those of serial calls"


@pytest.mark.parametrize("later", [EIGHT, None])
def test_what_a_trial_changed_for_good_is_not_called_right_in_it_and_the_next_is_held_against_what_is_now(
    tmp_path: Path, later: list[Any] | None
) -> None:
    requests, told, one = after_a_trial(tmp_path, EIGHT, later)
    assert (requests.wrong.any(), told.outcome) == (False, Outcome.UNCHECKED)
    assert "the serial calls answer otherwise since this trial, at result.minute: changed by what it left" in told.reason
    assert f"at result.minute since {one.planned()[1].cell.id}" in one.expected.notes[-1]
    again_right = one.read(trial_that_answered(tmp_path, one, EIGHT))
    assert again_right is not None
    assert not again_right.wrong.any()
    told = one.revised(record(reason="2 of 2 answers match the reference"))
    assert (told.outcome, told.reason.partition(";")[0]) == (Outcome.OK, "2 of 2 answers match those of serial calls")


def test_a_trial_after_which_nobody_looked_is_named_beside_the_one_after_which_somebody_did(tmp_path: Path) -> None:
    one = source(calls=calls(lines_of(EIGHT)))
    one.expected.settle(lines_of([FIVE, SIX]), DONE)
    one.read(trial_that_answered(tmp_path, one, [FIVE, SIX]))  # how long the calls take is not known here
    first, second = one.planned()[1:3]
    one.read(replace(trial_that_answered(tmp_path, one, EIGHT), cell=second.cell))
    told = one.revised(record(reason="2 of 2 answers match the reference"))
    assert f"otherwise since this trial, or {first.cell.id} before it, at result.minute: changed by what" in told.reason


def test_a_whole_answer_that_a_trial_changed_for_good_is_said_to_match_nothing(tmp_path: Path) -> None:
    one = source(calls=calls(lines_of([0, 0])))
    one.expected.settle(lines_of([5, 6]), DONE)
    one.read(trial_that_answered(tmp_path, one, [0, 0]))
    told = one.revised(record(reason="2 of 2 answers match the reference"))
    assert (told.outcome, "match" in told.reason) == (Outcome.UNCHECKED, False)


def test_another_wrong_answer_beside_what_a_trial_changed_is_wrong(tmp_path: Path) -> None:
    requests, told, _ = after_a_trial(tmp_path, EIGHT, EIGHT, answers=[{"minute": 8, "sum": 9}, EIGHT[1]])
    assert (requests.wrong.tolist(), told.outcome) == ([True, False], Outcome.WRONG)


def test_after_a_trial_that_answers_alike_quick_serial_calls_are_made_again(tmp_path: Path) -> None:
    quick = Sizing(
        order=ORDER, budget=Budget(seconds=None), pace=Pace(calls=9, usual_s=0.01, first_s=0.01, slowest_s=0.01, cores=1)
    )
    _, told, one = after_a_trial(tmp_path, EIGHT, EIGHT, answers=[FIVE, SIX], sizing=quick)
    assert (told.outcome, bool(one.expected.changed)) == (Outcome.UNCHECKED, True)


def test_once_the_serial_calls_raise_no_pool_is_blamed_for_it(tmp_path: Path) -> None:
    raising = [line(0, None, error="JSONDecodeError: Extra data"), line(1, SIX)]
    one = source(calls=calls(raising, raising))
    one.expected.settle(lines_of([FIVE, SIX]), DONE)
    one.read(trial_that_answered(tmp_path, one, EIGHT))
    told = one.revised(record(reason="2 of 2 answers differ from the reference by up to 1", outcome=Outcome.WRONG))
    since = "the serial calls answered before this trial, and raise since: row 1: JSONDecodeError: Extra data"
    assert (told.outcome, since in told.reason) == (Outcome.WRONG, True)
    first, second = one.planned()[1:3]
    assert one.spared(second, []).startswith(f"not run, for row 1 raises without Celery since {first.cell.id}, and answered")


def test_a_row_that_raises_now_and_then_is_not_broken(tmp_path: Path) -> None:
    one = source(calls=calls([line(0, None, error="OSError: "), line(1, SIX)], lines_of([FIVE, SIX])))
    one.expected.settle(lines_of([FIVE, SIX]), DONE)
    one.read(trial_that_answered(tmp_path, one, EIGHT))
    assert (one.expected.changed, one.expected.broken) == ("", "")


def test_slow_serial_calls_are_not_made_again_after_a_trial_that_answers_alike(tmp_path: Path) -> None:
    one = source(calls=again.Calls(now=lambda *_: pytest.fail("called"), later=None))
    one.expected.settle([line(0, 5), line(1, 6)], DONE)
    requests = one.read(trial_that_answered(tmp_path, one, [5, 6]))
    assert requests is not None
    assert requests.right.all()


@pytest.mark.parametrize(
    ("rows", "raised", "right", "said"),
    [
        ([0, 1, 2, 0, 1, 2], [0, 0, 1, 0, 0, 1], [1, 1, 0, 1, 1, 0], ["row 3 raises each time, and no other"]),
        ([0, 1, 2, 0], [0, 1, 1, 0], [1, 0, 0, 1], ["each of rows 2 and 3 raises each time, and no other"]),
        ([0, 1, 2, 0], [0, 0, 1, 0], [1, 0, 0, 1],
         ["row 3 raises each time, and no other", "row 2 is answered wrongly each time, and no other"]),
        ([0, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1], []),
        ([0, 0], [1, 1], [0, 0], []),
        ([0, 1], [0, 0], [1, 1], []),
    ],
)  # fmt: skip
def test_rows_that_alone_go_wrong_are_named(rows: list[int], raised: list[int], right: list[int], said: list[str]) -> None:
    found = requests([1.0] * len(rows), row=rows, raised=[bool(one) for one in raised], right=[bool(one) for one in right])
    assert by_row(found) == said


def test_a_child_that_hangs_by_the_fork_gets_a_change_of_the_object_that_it_is_blocked_in(tmp_path: Path) -> None:
    code = {"tasks.py": "ENCODER = Encoder()\n\ndef encode(x):\n    return ENCODER.encode(x)\n"}
    one = source(code=code, folder=RunFolder(tmp_path))
    evidence = Evidence(path=tmp_path / "stacks", frames=("Encoder.encode (clients.py:9)", "encode (tasks.py:4)"))
    one.read(replace(left_in(tmp_path), cell=one.planned()[1].cell, ended=Ending(by="verdict", evidence=evidence)))
    one.revised(record(outcome=Outcome.HUNG, cause="deadlock"))
    assert one.changes == ()
    one.revised(record(outcome=Outcome.HUNG, cause="fork-held-lock"))
    assert [change.statement for change in one.changes] == ["ENCODER = Encoder()"]
    assert "-ENCODER = Encoder()" in (tmp_path / "code-change.diff").read_text()


def test_a_task_that_raises_without_celery_is_tried_in_one_pool_before_it_is_given_up(tmp_path: Path) -> None:
    one = source()
    serial, pool, other = one.planned()[:3]
    failed = left(serial.cell, tmp_path)
    failed.result.parent.mkdir(exist_ok=True)
    each = {**line(0, None, error="ValueError: no price"), "begin": 0, "end": 1, "phase": 0, "pid": 1, "tid": 1}
    failed.result.write_text("".join(json.dumps({**each, "number": number}) + "\n" for number in range(3)))
    one.read(failed)
    assert one.spared(pool, []) == "", "a task that replaces itself raises without a worker, and in no pool"
    works = record(pool.cell, outcome=Outcome.OK, plan_key=pool.key, requests=3, ok=3)
    assert one.spared(other, [works]) == ""
    raised = record(pool.cell, outcome=Outcome.ERRORS, plan_key=pool.key, requests=3)
    of_another_plan = record(pool.cell, outcome=Outcome.ERRORS, plan_key="other", requests=3)
    assert one.spared(other, [of_another_plan]) == ""
    said = one.spared(other, [raised])
    assert said.startswith(
        f"not run, for every call raised, without Celery and in {pool.cell.pool}: 3 of 3 serial calls raised"
    )
    assert one.spared(serial, [raised]) == ""
    kept = record(other.cell, outcome=Outcome.SKIPPED, reason=said, plan_key=other.key)
    assert plan.missing([other], {(other.cell.id, 1): kept}, frozenset()) == [other], "once it is mended, it is to be run"
    one.order = replace(one.order, go_on=True)
    assert one.spared(other, [raised]) == ""


def test_the_memory_of_the_serial_calls_is_without_those_that_call_beside_them() -> None:
    use = MemoryUse(
        pss_bytes={"worker": 90, "children": 400}, private_bytes={"worker": 80}, shared_bytes={"worker": 10}, readings=3
    )
    one = source()
    serial, pool = (one.revised(record(item.cell, memory=use.model_dump(), peak_pss_bytes=490)) for item in one.planned()[:2])
    assert serial.memory.peak_pss_bytes == 90
    assert pool.memory.peak_pss_bytes == 490


def test_a_file_of_variables_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.env").write_bytes(b"A=stra\xdfe\n")
    with pytest.raises(BadInput, match="is not UTF-8"):
        orders.own_variables(tmp_path / "latin.env")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is no file that can be read again"):
        orders.own_variables(tmp_path / "pipe")
    with pytest.raises(BadInput, match="there is no such file"):
        orders.own_variables(tmp_path / "absent")


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        (True, "ModuleNotFoundError: No module named 'helper'", True),
        (True, "ModuleNotFoundError: No module named 'parts.other'", True),
        (True, "ModuleNotFoundError: No module named 'installed'", False),  # it does not lie there: python -m would not help
        (True, "ValueError: No module named 'helper'", False),
        (False, "ModuleNotFoundError: No module named 'helper'", False),
    ],
)
def test_what_the_script_celery_takes_off_the_path_is_named_with_both_remedies(
    tmp_path: Path, script: bool, error: str, said: bool
) -> None:
    (tmp_path / "helper.py").touch()
    (tmp_path / "parts").mkdir()
    shop = Application(
        app="shop:app", tasks=("shop.price",), python=HERE, folder=tmp_path, own_variables={}, rows=HERE, script=script
    )
    one = record(CELL).changed(answers={"errors": {error: 3}})
    told = off_path.said(one, shop)
    assert ["start the worker as python -m celery" in line and "PYTHONPATH" in line for line in told] == [True] * said


@pytest.mark.parametrize(
    ("script", "modules", "said"), [(False, ["helper"], True), (False, [], False), (True, ["helper"], False)]
)
def test_a_task_that_imports_late_from_its_folder_is_told_how_to_be_started(
    tmp_path: Path, script: bool, modules: list[str], said: bool
) -> None:
    shop = Application(
        app="shop:app", tasks=("shop.price",), python=HERE, folder=tmp_path, own_variables={}, rows=HERE, script=script
    )
    (tmp_path / contract.LOADED).write_text(json.dumps({"packages": ["celery"], "of_folder": modules}))
    told = off_path.late(tmp_path / "result", shop)
    assert ["imports helper from" in line and "start it so" in line for line in told] == [True] * said
