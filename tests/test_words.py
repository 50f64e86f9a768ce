"""What is said of a trial of somebody's own application: the settings that decide, and what each request does again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.applications.probe import pool_limits, words
from harness.applications.probe.checks import reference
from harness.applications.probe.served import RABBITMQ, VALKEY
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.records.cpu import CpuUse
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.sections import Backlog, Figures
from harness.trial.application import Application, Limits
from harness.trial.left import Ending
from tests.test_store import record

OWN = Cell(backend=OWN_APP, pool="prefork", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")


def of(pool: str = "prefork", figures: Figures | None = None, **changes: Any) -> TrialRecord:
    """A record of that pool; `first`, `slowest`, `usual`: seconds of a predict."""
    cell = replace(OWN, pool=pool) if pool != "in-process" else OWN.baseline()
    pace = {"first_predict_s": changes.pop("first", None), "slowest_s": changes.pop("slowest", None)}
    usual = changes.pop("usual", None)
    pace["stages_p50_s"] = {} if usual is None else {"predict": usual}
    answers = {name: changes.pop(name) for name in ("errors", "died", "ok", "requests") if name in changes}
    doubts = changes.pop("doubts", [])
    return record(**changes).changed(
        asked={"cell": cell.as_dict()}, pace=pace, answers=answers, certainty={"figures": figures, "doubts": doubts}
    )


def serial(first: float, usual: float) -> TrialRecord:
    return of("in-process", Figures(requests=9, throughput_per_s=1.0, predict_p50_s=usual), first=first, slowest=first)


@pytest.mark.parametrize(
    ("rate_per_s", "usual_s", "said"),
    [
        (0.1, 0.05, "its rate limit lets a worker begin 6 per minute: that limit sets the pace, not the pool"),
        (0.1, None, "its rate limit lets a worker begin 6 per minute: that limit sets the pace, not the pool"),
        (20.0, 0.05, "its rate limit lets a worker begin 20 per second: that limit sets the pace, not the pool"),
        (100.0, 0.05, ""),  # two executors begin 40
        (None, 0.05, ""),
    ],
)
def test_a_rate_limit_is_named_if_it_is_slower_than_the_executors(
    rate_per_s: float | None, usual_s: float | None, said: str
) -> None:
    calls = serial(0.1, usual_s) if usual_s else None
    assert "".join(words.by_settings(of(), Limits(rate_per_s=rate_per_s), calls)) == said


@pytest.mark.parametrize(
    ("pace_per_s", "said"), [(19.0, "sets the pace"), (1.0, "1 per second were served, 5% of what it allows")]
)
def test_a_pace_far_below_the_rate_limit_is_not_said_to_be_set_by_it(pace_per_s: float, said: str) -> None:
    figures = Figures(requests=30, throughput_per_s=pace_per_s, predict_p50_s=0.05)
    (text,) = words.by_settings(of("threads", figures), Limits(rate_per_s=20.0), serial(0.1, 0.05))
    assert said in text
    assert ("sets the pace" in text) is (pace_per_s > 10)


KILLED = {"errors": {"TimeLimitExceeded: 3": 33}, "requests": 37}


@pytest.mark.parametrize(
    ("first_s", "usual_s", "helps"),
    [
        (5.0, 0.1, "the first call takes 5 s: raise the limit, or build what it needs before the worker starts"),
        (5.0, 4.9, "raise the limit, or ask for less per request"),  # as every other one
        (1.0, 0.1, "raise the limit, or ask for less per request"),
    ],
)
def test_a_hard_limit_is_named_and_whether_a_first_call_alone_is_longer(first_s: float, usual_s: float, helps: str) -> None:
    (said,) = words.by_settings(of(**KILLED), Limits(hard_s=3.0), serial(first_s, usual_s))
    assert said == f"its hard time limit of 3 s ended 33 of 37 requests, and {helps}"
    assert words.by_settings(of(requests=37), Limits(hard_s=3.0), serial(first_s, usual_s)) == []
    assert words.by_settings(of(**KILLED), Limits(), serial(first_s, usual_s)) == []


def test_a_soft_limit_is_named_if_requests_are_longer_and_the_pool_keeps_it() -> None:
    limits = Limits(soft_s=1.0)
    (said,) = words.by_settings(of(slowest=1.01), limits, serial(1.25, 1.25))
    assert said.startswith("its soft time limit of 1 s strikes in this pool (a request took 1 s), and a task that catches it")
    raised = of(slowest=1.01, errors={"SoftTimeLimitExceeded: ()": 4})
    assert "catches it" not in words.by_settings(raised, limits, None)[0]
    assert words.by_settings(of("threads", slowest=1.25), limits, serial(1.25, 1.25)) == []
    assert words.by_settings(of(slowest=0.5), limits, serial(0.5, 0.5)) == []


@pytest.mark.parametrize(
    ("pool", "kept"),
    [
        ("prefork", []),
        ("gevent", ["soft time limit of 1 s"]),
        ("threads", ["soft time limit of 1 s", "hard time limit of 3 s"]),
        ("in-process", []),
    ],
)
def test_limits_that_a_pool_does_not_keep_are_noted(pool: str, kept: list[str]) -> None:
    said = pool_limits.not_kept(of(pool).as_cell, Limits(soft_s=1.0, hard_s=3.0))
    assert said == [f"{pool} does not keep the task's {limit}" for limit in kept]


@pytest.mark.parametrize(
    ("pool", "limits", "options", "said"),
    [
        ("prefork", Limits(acks_late=True), {"visibility_timeout": 3}, ["took 5 s"]),
        ("prefork", Limits(acks_late=True, put_off_s=20.0), {"visibility_timeout": 3}, ["is put off for 20 s", "took 5 s"]),
        ("threads", Limits(put_off_s=20.0), {"visibility_timeout": 3}, ["is put off for 20 s"]),
        ("prefork", Limits(), {"visibility_timeout": 3}, []),
        ("prefork", Limits(acks_late=True), {"visibility_timeout": 6}, []),
        ("prefork", Limits(acks_late=True), {}, []),
        ("in-process", Limits(acks_late=True), {"visibility_timeout": 3}, []),
    ],
)
def test_what_is_unacknowledged_for_longer_than_the_visibility_timeout_is_noted(
    pool: str, limits: Limits, options: dict[str, int], said: list[str]
) -> None:
    nowhere = Path("/nowhere")
    theirs = Application(
        app="shop", tasks=("shop.price",), python=nowhere, folder=nowhere, own_variables={}, rows=nowhere,
        settings={"broker_transport_options": options}, limits_of=(limits,),
    )  # fmt: skip
    assert pool_limits.notes(of("prefork", slowest=5.0), theirs, None, RABBITMQ) == [], "which has no such timeout"
    told = pool_limits.notes(of(pool, slowest=5.0), theirs, None, VALKEY)
    assert [line.partition(",")[0].removeprefix("a request ") for line in told] == said
    assert all("visibility_timeout, 3 s, it may be delivered again" in line for line in told)


MEMORY = Limits(max_memory_per_child_kib=120000)
NAMED = "worker_max_memory_per_child replaces each child after 120000 KiB"


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (of(outcome=Outcome.OK, died=59, ok=59), [f"{NAMED}: 59 children were, beside 59 answers"]),
        (of(outcome=Outcome.OK, died=1, ok=59), []),
        (of(outcome=Outcome.SLOW, died=1, ok=59), [NAMED]),
        (of("threads", outcome=Outcome.SLOW, died=59, ok=59), []),
        (of(outcome=Outcome.CRASHED, died=30, ok=61, errors={"WorkerLostError: signal 6": 30}), []),
    ],
)
def test_children_that_are_replaced_name_the_setting(trial: TrialRecord, said: list[str]) -> None:
    assert words.replaced(trial, MEMORY) == said
    assert words.replaced(trial, Limits()) == []


@pytest.mark.parametrize(
    ("first_s", "later_s", "cpu_s", "again"),
    [
        (0.66, 0.0001, 0.49, True),
        (0.66, 0.0001, 0.01, False),  # it is loaded once
        (0.66, 0.0001, 0.1, False),  # nor does it take as long, by the clock
        (0.66, 0.5, 0.6, False),  # each call costs that anyway
        (0.05, 0.0001, 0.05, False),  # nothing to speak of
    ],
)
def test_a_request_that_costs_what_a_first_one_costs_is_told(first_s: float, later_s: float, cpu_s: float, again: bool) -> None:
    use = CpuUse(
        window_s=9.0, cores=2, requests=10, worker=10 * cpu_s, children=0.0, broker=0.0, client=0.0, machine=9.0, steal=0.0
    )  # fmt: skip
    trial = of("gevent", first=0.4).changed(cpu={"use": use})
    said = words.loaded_again(trial, serial(first_s, later_s))
    assert bool(said) is again
    assert all(text.startswith("every request costs what a first one costs") for text in said)
    assert words.loaded_again(trial, None) == []
    clock = Figures(requests=9, throughput_per_s=1.0, predict_p50_s=2.0)
    slowly = trial.changed(certainty={"figures": clock})
    full = words.loaded_again(slowly, serial(first_s, later_s))  # on a full machine: 2 s by the clock, less by CPU
    assert bool(full) is (again or (first_s, cpu_s) == (0.66, 0.1))
    assert words.loaded_again(of("gevent", first=0.4), serial(first_s, later_s)) == []


@pytest.mark.parametrize(
    ("outcome", "limits", "said"),
    [
        (Outcome.HUNG, Limits(soft_s=8.0), "in prefork the task's soft limit of 8 s ends such a wait"),
        (Outcome.WAITING, Limits(hard_s=9.0), "in prefork the task's hard limit of 9 s ends such a wait"),
        (Outcome.HUNG, Limits(), ""),
        (Outcome.ERRORS, Limits(soft_s=8.0), ""),
    ],
)
def test_serial_calls_without_an_end_are_held_against_the_tasks_own_limit(outcome: Outcome, limits: Limits, said: str) -> None:
    told = words.by_settings(of("in-process", outcome=outcome), limits, None)
    assert "".join(told).endswith(said)
    assert bool(told) is bool(said)


@pytest.mark.parametrize(("outcome", "consumed", "said"), [
    (Outcome.WAITING, True, True), (Outcome.HUNG, True, True), (Outcome.OK, True, False), (Outcome.WAITING, False, False),
])  # fmt: skip
def test_a_task_that_waits_for_one_that_its_own_worker_holds_is_told_so(outcome: Outcome, consumed: bool, said: bool) -> None:
    held = Backlog(queue="celery", task="tasks.child", waiting=1, reserved=2, consumed=consumed)
    told = words.by_settings(of(outcome=outcome).changed(answers={"backlog": [held]}), Limits(), None)
    begin = (
        "they may wait for tasks.child: 3 of it wait in this same worker, for a free executor or for their time. Let no task"
    )
    assert [line.startswith(begin) for line in told] == [True] * said


@pytest.mark.parametrize(
    ("errors", "left", "said"),
    [({"TimeoutError: 3": 9}, 52, True), ({"ValueError: 3": 9}, 52, False), ({"TimeoutError: 3": 9}, 0, False)],
)
def test_a_task_that_waits_up_to_a_limit_for_one_that_nobody_runs_is_told_so(
    errors: dict[str, int], left: int, said: bool
) -> None:
    part = Backlog(queue="celery", task="tasks.part", waiting=left, reserved=0, consumed=True)
    failed = {"errors": {"TimeoutError: 3": 9}, "requests": 9}
    serial = of("in-process", outcome=Outcome.ERRORS).changed(answers={**failed, "backlog": [part] if left else []})
    told = words.by_settings(of(outcome=Outcome.ERRORS).changed(answers={**failed, "errors": errors}), Limits(), serial)
    assert [line.startswith("it may wait for tasks.part, which nobody runs without Celery") for line in told] == [True] * said


NUMBERS = reference((row, {"n": row}) for row in range(3))


@pytest.mark.parametrize(
    ("pool", "answers", "right", "said"),
    [
        ("threads", [(0, 1), (1, 2), (2, 2)], 1, "of 2 wrong answers 2 are another row's where they are wrong: "),
        (
            "gevent",
            [(0, 7)] * 6,
            0,
            "each answer is wrong, from the first on, and right in solo: look for a setting that the",
        ),
        ("threads", [(0, 7)] * 6, 1, ""),
        ("threads", [(0, 7)], 0, ""),  # too few to say so
        ("prefork", [(0, 1)] * 6, 0, ""),  # one label of few is that of another row by itself
    ],
)
def test_wrong_answers_of_requests_that_share_a_process(
    pool: str, answers: list[tuple[int, int]], right: int, said: str
) -> None:
    NUMBERS.begin()
    wrong = sum(not NUMBERS(row, {"n": got})[0] for row, got in answers)
    one = of(pool, outcome=Outcome.WRONG, ok=right).changed(answers={"wrong": wrong})
    told = words.beside_each_other(one, NUMBERS, ["solo"])
    assert "".join(told).startswith(said)
    assert bool(told) is bool(said)
    assert not any("a setting" in text for text in words.beside_each_other(one, NUMBERS)), "it may be wrong everywhere"


@pytest.mark.parametrize(
    ("pool", "outcome", "acks_late", "multiplier", "said"),
    [
        ("gevent", Outcome.STALLED, True, 1, True),
        ("eventlet", Outcome.STALLED, True, 1, True),
        ("gevent", Outcome.STALLED, True, 4, False),
        ("gevent", Outcome.STALLED, False, 1, True),
        ("gevent", Outcome.STALLED, False, 4, False),
        ("gevent", Outcome.OK, True, 1, False),
        ("threads", Outcome.STALLED, True, 1, False),
    ],
)
def test_settings_by_which_greenlets_take_messages_late_are_named(
    pool: str, outcome: Outcome, acks_late: bool, multiplier: int, said: bool
) -> None:
    limits = Limits(acks_late=acks_late, prefetch_multiplier=multiplier)
    told = words.by_settings(of(pool, outcome=outcome), limits, None)
    late = "task_acks_late and " if acks_late else ""
    assert [line.startswith(f"with {late}a worker_prefetch_multiplier of 1") for line in told] == [True] * said


def test_rabbitmq_hands_out_the_next_message_as_soon_as_one_is_acknowledged() -> None:
    one = of("gevent", outcome=Outcome.STALLED)
    one = one.changed(asked={"cell": {**one.asked.cell, "broker": "rabbitmq"}})
    assert words.by_settings(one, Limits(prefetch_multiplier=1), None) == []
    assert len(words.by_settings(one, Limits(acks_late=True, prefetch_multiplier=1), None)) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("EncodeError: Object of type coroutine is not JSON serializable", ["the task is an async function"]),
        ("EncodeError: TypeError('Object of type coroutine is not JSON serializable')", ["the task is an async function"]),
        ("EncodeError: cannot pickle 'coroutine' object", ["the task is an async function"]),
        ("EncodeError: Object of type ndarray is not JSON serializable", ["its answer holds ndarray, which JSON does not"]),
        ("EncodeError: TypeError(\"Object of type 'float32' is not JSON serializable\")", ["its answer holds float32"]),
        ("RuntimeError: cannot reuse already awaited coroutine", []),
        ("ValueError: no Object of type here", []),
    ],
)
def test_an_answer_that_cannot_be_stored_is_told_by_what_it_is(error: str, said: list[str]) -> None:
    one = of(outcome=Outcome.ERRORS).changed(answers={"errors": {error: 20}})
    found = words.beside_each_other(one, NUMBERS)
    assert len(found) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(found, said, strict=True))


def test_processes_share_something_if_those_that_call_at_once_without_celery_do() -> None:
    rows = [(0, {"n": 1}), (1, {"n": 2})]
    shared = reference(rows).beside([*rows, (0, {"n": 2})])
    assert not shared(0, {"n": 2})[0]
    (told,) = words.beside_each_other(of("prefork", outcome=Outcome.WRONG).changed(answers={"wrong": 1}), shared)
    assert told.endswith("get each other's data, over what their processes share (a file, a database, a connection)")


def test_a_wrong_answer_that_is_anothers_by_chance_is_no_sign_that_requests_get_each_others() -> None:
    lost = reference([(row, {"n": 3 * (row + 1)}) for row in range(4)])
    assert [lost(row, {"n": row + 1})[0] for row in range(4)] == [False] * 4, "a factor is lost, and 3 is the first row's"
    assert words.beside_each_other(of("threads", outcome=Outcome.WRONG).changed(answers={"wrong": 4}), lost) == []


def test_the_last_line_of_a_log_tells_how_a_process_ended() -> None:
    assert (
        words.last_words(Ending(by="worker-exit", worker_exit="exit 2", log_words="usage / error: no")) == "exit 2: error: no"
    )
    assert words.last_words(Ending(by="worker-exit", worker_exit="exit 2")) == "exit 2"


def test_what_only_the_main_thread_may_do_is_told_as_that() -> None:
    refused = {"ValueError: signal only works in main thread of the main interpreter": 84}
    (said,) = words.beside_each_other(of("threads", outcome=Outcome.ERRORS, errors=refused), NUMBERS)
    assert said.startswith("the task does what Python allows in a process's main thread alone")
    assert words.beside_each_other(of("threads", outcome=Outcome.ERRORS, errors={"KeyError: w": 84}), NUMBERS) == []


@pytest.mark.parametrize(("late", "died", "pool", "said"), [
    (True, 9, "prefork", True), (False, 9, "prefork", False), (True, 0, "prefork", False), (True, 9, "threads", False),
])  # fmt: skip
def test_a_row_that_ends_each_child_it_is_delivered_to_is_told_with_the_setting(
    late: bool, died: int, pool: str, said: bool
) -> None:
    one = of(pool, outcome=Outcome.CRASHED).changed(answers={"died": died})
    told = words.by_settings(one, Limits(acks_late=late, reject_on_worker_lost=True), None)
    assert (
        any(line.startswith("task_reject_on_worker_lost delivers the message of a child that died again") for line in told)
        is said
    )
