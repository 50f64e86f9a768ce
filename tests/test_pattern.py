"""What the outcomes of a run say together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.records.record import TrialRecord
from harness.records.sections import Backlog
from harness.summary.pattern import across
from tests.test_store import record

OWN = Cell(backend=OWN_APP, pool="prefork", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")
BAD = "a bad one"


def said(of: str, **ended: str) -> str:
    """Of one pool, whose cells ended so."""
    groups: dict[str, list[TrialRecord]] = {}
    for pool, outcomes in ended.items():
        name = pool.replace("_", "-")
        cell = OWN.baseline() if name == "in-process" else replace(OWN, pool=name)
        groups[cell.id] = [
            record(outcome=outcome, ok=1).changed(asked={"cell": cell.as_dict()}) for outcome in outcomes.split()
        ]
    cell = OWN.baseline() if of == "in-process" else replace(OWN, pool=of)
    return across(cell, groups)


@pytest.mark.parametrize(
    ("of", "ended", "begins"),
    [
        ("prefork", {"prefork": "hung", "prefork_spawn": "ok", "threads": "ok"}, "only a fork does it (prefork-spawn, "),
        ("prefork", {"prefork": "wrong", "threads": "ok"}, "only prefork does it (threads is not affected)"),
        ("threads", {"threads": "wrong", "gevent": "wrong", "prefork": "ok"}, "only requests that share a process do it"),
        ("solo", {"solo": "crashed", "prefork": "crashed", "threads": "ok"}, "solo, prefork end like this; threads is not"),
        ("threads", {"threads": "hung", "prefork": "hung", "in_process": "waiting"}, "the calls without Celery end badly, too"),
        ("threads", {"threads": "hung", "prefork": "hung", "in_process": "ok"}, "every pool that was tried ends like this"),
        ("threads", {"threads": "hung", "in_process": "ok"}, "the calls without Celery, one after the other, do not"),
        ("prefork", {"prefork": "hung", "threads": "errors", "in_process": "errors"}, "only prefork does it (threads ends as"),
        ("threads", {"prefork": "hung", "threads": "errors", "in_process": "errors"}, "the calls without Celery end so, too"),
        ("threads", {"prefork": "unchecked", "threads": "errors", "in_process": "errors"},
         "the calls without Celery end so, too, but prefork answered: look at what"),
        ("threads", {"prefork": "ok", "solo": "slow", "threads": "hung", "in_process": "waiting"},
         "the calls without Celery end badly, too (waiting), but prefork, solo answered: "),
        ("threads", {"prefork": "ok errors", "threads": "errors", "in_process": "errors"},
         "the calls without Celery end so, too: the task itself does it, and no pool can mend that"),
        ("prefork-spawn", {"prefork": "ok", "prefork_spawn": "errors", "threads": "ok"}, "only spawned children do it (p"),
        ("prefork-spawn", {"prefork": "hung", "prefork_spawn": "errors", "threads": "ok"}, "prefork-spawn ends like this; "
         "prefork ends badly in another way (hung); threads is not affected"),
        ("eventlet", {"gevent": "hung", "eventlet": "hung", "threads": "ok", "prefork": "ok"},
         "only greenlets do it (threads, prefork are not affected)"),
        ("gevent", {"gevent": "hung", "eventlet": "hung", "threads": "hung", "prefork": "ok"},
         "only requests that share a process do it (prefork is not affected): "),
        ("gevent", {"gevent": "errors", "threads": "ok", "prefork": "ok"}, "only greenlets do it (threads, prefork are not"),
        ("gevent", {"gevent": "stalled", "threads": "ok", "prefork": "ok"}, "gevent ends like this; threads, prefork are not"),
        ("gevent", {"gevent": "wrong", "eventlet": "ok", "threads": "ok"}, "gevent ends like this; eventlet, threads are not"),
        ("threads", {"threads": "ok", "prefork": "hung"}, ""),
        ("threads", {"threads": "slow", "prefork": "hung"}, ""),
        ("prefork", {"prefork": "hung", "threads": "invalid skipped"}, ""),
        ("prefork", {"prefork": "ok hung", "threads": "ok ok"}, "only prefork does it"),
        ("in-process", {"in_process": "hung", "prefork": "hung"}, ""),
    ],
)  # fmt: skip
def test_what_sets_a_cell_apart_from_the_others(of: str, ended: dict[str, str], begins: str) -> None:
    told = said(of, **ended)
    assert told.startswith(begins)
    assert bool(told) is bool(begins)


@pytest.mark.parametrize(
    ("reason", "look"),
    [
        ("2 requests raised", "look at what they share, or what each thread has of its own"),
        ("Celery does not send worker_process_init in threads, so load (a.py:1) was never called: do that in the first task",
         "look at what was never called there, then at what they share, or what each thread has of its own"),
    ],
)  # fmt: skip
def test_what_was_never_called_in_threads_is_looked_at_before_what_they_share(reason: str, look: str) -> None:
    cells = {pool: replace(OWN, pool=pool) for pool in ("threads", "prefork")}
    ends = {"threads": record(outcome="errors", ok=1).changed(ended={"reason": reason}), "prefork": record(outcome="ok", ok=1)}
    groups = {cell.id: [ends[pool].changed(asked={"cell": cell.as_dict()})] for pool, cell in cells.items()}
    told = across(cells["threads"], groups)
    assert told == f"only requests that share a process do it (prefork is not affected): {look}"


def test_what_python_allows_in_the_main_thread_alone_is_no_matter_of_what_requests_share() -> None:
    cells = {pool: replace(OWN, pool=pool) for pool in ("threads", "prefork")}
    ends = {"threads": "errors", "prefork": "ok"}
    refused = {"threads": {"ValueError: signal only works in main thread of the main interpreter": 84}, "prefork": {}}
    groups = {
        cells[pool].id: [
            record(outcome=ends[pool]).changed(asked={"cell": cells[pool].as_dict()}, answers={"errors": refused[pool]})
        ]
        for pool in cells
    }
    assert across(cells["threads"], groups) == ""


def test_a_row_that_ends_the_serial_process_hangs_threads_by_the_same_fault_but_a_fork_is_another() -> None:
    cells = {pool: replace(OWN, pool=pool) for pool in ("prefork", "threads")} | {"in-process": OWN.baseline()}
    ends = {"prefork": "crashed", "threads": "hung", "in-process": "crashed"}
    groups = {
        cells[pool].id: [record(outcome=outcome).changed(asked={"cell": cells[pool].as_dict()})]
        for pool, outcome in ends.items()
    }
    told = "the calls without Celery end badly, too (crashed): the task itself does it, and no pool can mend that"
    assert across(cells["threads"], groups) == told
    (hung,) = groups[cells["threads"].id]
    groups[cells["threads"].id] = [hung.changed(ended={"cause": "fork-lost-threads"})]
    assert across(cells["threads"], groups).startswith("only requests that share a process do it (prefork ends as the")


def test_serial_calls_that_wait_for_a_task_that_nobody_runs_there_say_nothing_of_a_pool() -> None:
    groups = {cell.id: [record(outcome="waiting").changed(asked={"cell": cell.as_dict()})] for cell in (OWN, OWN.baseline())}
    assert across(OWN, groups).startswith("the calls without Celery end so, too")
    (alone,) = groups[OWN.baseline().id]
    child = Backlog(queue="celery", task="tasks.child", waiting=1, reserved=0, consumed=True)
    groups[OWN.baseline().id] = [alone.changed(answers={"backlog": [child]})]
    assert across(OWN, groups) == ""


def test_serial_calls_that_wait_for_such_a_task_up_to_a_time_limit_say_nothing_either() -> None:
    child = {"backlog": [Backlog(queue="celery", task="tasks.part", waiting=52, reserved=0, consumed=True)]}
    late = {"requests": 11, "ok": 0, "errors": {"TimeoutError: The operation timed out.": 11}}
    ours = (OWN, "errors", late)
    assert beside(OWN, ours, (OWN.baseline(), "errors", late)).startswith("the calls without Celery end so, too")
    assert beside(OWN, ours, (OWN.baseline(), "errors", {**late, **child})) == ""
    other = {**late, "errors": {"ValueError: no": 11}}
    assert beside(OWN, (OWN, "errors", other), (OWN.baseline(), "errors", {**other, **child})) != ""


def test_another_call_or_workload_is_another_question() -> None:
    groups = {}
    for cell, outcome in ((OWN, "hung"), (replace(OWN, pool="threads", workload="shop.other"), "ok")):
        groups[cell.id] = [record(outcome=outcome).changed(asked={"cell": cell.as_dict()})]
    assert across(OWN, groups) == ""


def beside(of: Cell, *ended: tuple[Cell, str, dict[str, Any]]) -> str:
    """`ended`: cell, outcome, and what else its record has, as 'ok', 'requests', 'errors', 'cause'."""
    groups = {}
    for cell, outcome, has in ended:
        answers = {name: value for name, value in has.items() if name != "cause"}
        one = record(outcome=outcome).changed(asked={"cell": cell.as_dict()}, answers={"ok": 1, **answers})
        groups[cell.id] = [one.changed(ended={"cause": has.get("cause", "")})]
    return across(of, groups)


def pool(name: str, concurrency: int = 2) -> Cell:
    return replace(OWN, pool=name, concurrency=concurrency)


NEGATIVE = {"ValueError: x must not be negative": 20}


def test_the_same_word_for_other_errors_is_not_the_same_end() -> None:
    alone = (OWN.baseline(), "errors", {"requests": 80, "errors": NEGATIVE})
    prefork = (OWN, "errors", {"requests": 80, "errors": NEGATIVE})
    threads = (pool("threads"), "errors", {"requests": 80, "errors": NEGATIVE})
    loops = {"RuntimeError: asyncio.run() cannot be called from a running event loop": 40, **NEGATIVE}
    gevent = (pool("gevent"), "errors", {"requests": 80, "errors": loops})
    told = beside(pool("gevent"), alone, prefork, threads, gevent)
    assert told.startswith("only greenlets do it (prefork, threads end as the calls without Celery do): look at what is kept")
    assert beside(OWN, alone, prefork, threads, gevent).startswith("the calls without Celery end so, too")
    more = (pool("gevent"), "errors", {"requests": 80, "errors": {"ValueError: x must not be negative": 70}})
    assert beside(pool("gevent"), alone, prefork, threads, more).startswith("only greenlets do it"), "of far more requests"


def test_a_pool_that_never_answers_does_not_end_as_calls_that_do_in_the_end() -> None:
    alone = (OWN.baseline(), "errors", {"requests": 27, "ok": 7, "errors": {"NotReady: still loading": 20}})
    prefork = (OWN, "errors", {"requests": 224, "ok": 0, "errors": {"NotReady: still loading": 224}})
    threads = (pool("threads"), "errors", {"requests": 600, "ok": 400, "errors": {"NotReady: still loading": 200}})
    assert beside(OWN, alone, prefork, threads).startswith("only prefork does it (threads ends as the calls without Celery do)")
    assert beside(pool("threads"), alone, prefork, threads).startswith("the calls without Celery end so, too")


def test_a_wait_with_a_cause_of_its_own_is_not_what_ended_the_serial_calls() -> None:
    crashed = [(cell, "crashed", {"cause": "unknown"}) for cell in (OWN.baseline(), OWN, pool("threads"))]
    hung = [(pool(name), "hung", {"cause": "hub-blocked"}) for name in ("gevent", "eventlet")]
    told = beside(pool("gevent"), *crashed, *hung)
    assert told == (
        "only greenlets do it (prefork, threads end as the calls without Celery do): a wait outside of their loop, as in C "
        "code, stops all of them at once"
    )


def test_pools_that_did_badly_in_several_ways_are_not_said_to_end_alike() -> None:
    daemons = {"ok": 0, "requests": 9, "errors": {"AssertionError: daemonic processes": 9}}
    ended = [
        (OWN.baseline(), "ok", {}), (OWN, "errors", daemons), (pool("threads"), "hung", {"cause": "deadlock"}),
        (pool("solo"), "hung", {"cause": "deadlock"}), (pool("eventlet"), "slow", {"ok": 0}),
    ]  # fmt: skip
    ways = "prefork, eventlet end badly in another way (AssertionError, slow)"
    assert beside(pool("threads"), *ended) == f"threads, solo end like this; {ways}"


def test_one_number_of_executors_is_not_the_pool() -> None:
    bad = [(pool(name, 1), "wrong", {"ok": 0}) for name in ("prefork", "threads")]
    good = [(pool(name), "ok", {}) for name in ("prefork", "threads")]
    told = beside(pool("prefork", 1), (OWN.baseline(), "ok", {}), *bad, *good)
    assert told == "prefork-c1, threads-c1 end like this; prefork-c2, threads-c2 are not affected"
    shares = [(pool("threads"), "wrong", {"ok": 0}), (pool("threads", 1), "ok", {}), (OWN, "ok", {})]
    assert beside(pool("threads"), *shares).startswith("only requests that share a process do it (threads-c1, prefork are not")


def test_cells_of_one_pool_that_differ_otherwise_are_told_apart_and_are_not_the_pool() -> None:
    """The same pool serves what it loads in its first task: where the model is loaded makes the difference."""
    imports = {name: replace(OWN, pool=name, placement="import") for name in ("prefork", "prefork-spawn", "solo")}
    first = {name: replace(OWN, pool=name, placement="first-task") for name in ("prefork", "prefork-spawn")}
    hung = (imports["prefork"], "hung", {})
    told = beside(imports["prefork"], hung, (first["prefork"], "ok", {}), (imports["solo"], "ok", {}))
    assert told == "prefork-c2-import ends like this; prefork-c2-first-task, solo are not affected"
    elsewhere = (first["prefork-spawn"], "ok", {})
    assert beside(imports["prefork"], hung, elsewhere) == "prefork ends like this; prefork-spawn is not affected"
    assert beside(imports["prefork"], hung, elsewhere, (imports["prefork-spawn"], "ok", {})).startswith("only a fork does it (")


def test_what_stops_greenlets_is_named_only_if_it_was_seen() -> None:
    lost = [(pool(name), "hung", {"cause": "lost-message"}) for name in ("gevent", "eventlet")]
    told = beside(pool("gevent"), (OWN.baseline(), "ok", {}), (OWN, "ok", {}), (pool("threads"), "ok", {}), *lost)
    assert told == "only greenlets do it (prefork, threads are not affected)"
