"""What the judge and the cause get to see of a trial, and how the record tells its end, from plain values."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import broker
from harness.broker import Census
from harness.judge.blocked import How
from harness.judge.causes import NEVER_STARTED, Cause
from harness.judge.outcome import classify
from harness.judge.watchdog import State, Verdict
from harness.observe.diagnosis import Evidence
from harness.records.answers import Requests
from harness.records.cpu import Cpu, CpuFacts, CpuUse, Occupancy
from harness.records.outcomes import Outcome
from harness.run import conclude, observed
from harness.trial.left import Left
from tests import replay
from tests.plain_left import NS, left_in, requests


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return left_in(tmp_path)


def seen(left: Left, known: Requests | None = None, cpu: CpuUse | None = None) -> Any:
    return observed.observations(left, known, Cpu(use=cpu))


USE = CpuUse(window_s=2.0, cores=4, requests=10, worker=1.0, children=2.0, broker=0.5, client=0.25, machine=5.75, steal=0.0)


def test_the_judge_sees_how_it_ended(left: Left) -> None:
    verdicts = {"verdict": Verdict(state=State.HUNG), "partial": Verdict(state=State.STALLED)}
    end = replace(
        left.ended, by="limit", worker_exit="exit 1", client_exit="exit 2", no_consumer="nobody", unsupported="LSTM",
        never_struck=True, log_line="the end", **verdicts,
    )  # fmt: skip
    found = seen(replace(left, ended=end, rate_interval_s=4.0))
    assert (found.ended_by, found.verdict, found.partial) == ("limit", verdicts["verdict"], verdicts["partial"])
    assert (found.worker_exit, found.client_exit, found.no_consumer) == ("exit 1", "exit 2", "nobody")
    assert (found.unsupported, found.never_struck, found.log_tail) == ("LSTM", True, "the end")
    assert (found.quiet_s, found.longest_silence_s, found.rate_interval_s) == (1.5, 2.5, 4.0)
    assert (found.dead_children, found.was_ready, found.noise_limit) == (2, True, left.settings.noise_limit)
    assert found.limit_s == left.settings.limit_s
    never = seen(replace(left, signs=replace(left.signs, ready_at_s=None)))
    assert (never.was_ready, never.limit_s) == (False, left.settings.ready_limit_s)


def test_the_judge_sees_each_request_once(left: Left) -> None:
    found = seen(left, requests([11.0, 12.0, 13.0, -1.0], right=[True, False, False, False], raised=[False, False, True, False],
                                error=["", "", "ValueError: x Job: 17.", ""]))  # fmt: skip
    assert (found.requests, found.ok, found.wrong, found.unanswered, found.errors) == (4, 1, 1, 1, {"ValueError: x": 1})
    assert (found.max_error, found.lost_requests) == (0.25, 1)


def test_equal_errors_of_different_jobs_count_as_equal(left: Left) -> None:
    found = seen(left, requests([11.0, 12.0], raised=[True, True], error=["Lost: a Job: 1.", "Lost: a Job: 22"]))
    assert found.errors == {"Lost: a": 2}


def test_without_requests_what_was_published_is_unanswered(left: Left) -> None:
    found = seen(left)
    assert (found.requests, found.ok, found.wrong, found.unanswered, found.errors, found.max_error) == (9, 0, 0, 9, {}, None)
    assert (found.lost_requests, found.duplicates, found.sending, found.waiting, found.waited_in) == (2, 0, None, None, "")


def test_the_judge_sees_cores(left: Left) -> None:
    found = seen(left, None, USE)
    assert (found.client_cores, found.others_share, found.core_wait) == (0.125, 0.25, 0.0)
    blind = seen(left)
    assert (blind.client_cores, blind.others_share, blind.core_wait) == (None, None, 0.0)


@pytest.mark.parametrize(("busy", "needs"), [(1.0, (1.5 + 0.25) / 2), (0.5, 1.5 + 0.25), (0.0, None), (None, None)])
def test_cores_are_needed_by_executors_that_have_a_request(left: Left, busy: float | None, needs: float | None) -> None:
    occupancy = None if busy is None else Occupancy(executors=2, executors_busy=busy, work_waits=0.0, idle_with_work=0.0)
    facts = CpuFacts(
        span_s=4.0, cores_busy=[], thread_cpu_s={}, python_cores=[], python_demand=[], busiest_role="", busy_python_threads=0,
        run_queue_wait_s=1.0, involuntary_switches=0, executor_kind="threads", broker_watched=True, occupancy=occupancy,
    )  # fmt: skip
    assert observed.observations(left, None, Cpu(use=USE, facts=facts)).needs_cores == needs


def test_what_the_client_said_is_read_beside_the_requests(left: Left) -> None:
    (left.result.parent / "sending.json").write_text('{"duplicates": 3, "sends": 7}')
    found = seen(left)
    assert (found.duplicates, found.sending.sends) == (3, 7)


def test_waiting_is_told_of_the_measured_phase(left: Left) -> None:
    one = replace(left, cell=replace(left.cell, concurrency=1))
    found = seen(one, requests([12.0, 14.0])).waiting
    assert found.while_idle == pytest.approx(2 * 0.5 / 10)
    assert found.starved == pytest.approx(2 * 0.5 / 10)


def test_what_other_tasks_wait_for_stands_in_the_record_and_in_the_reason(left: Left) -> None:
    child = broker.Backlog(queue="celery", task="shop.child", waiting=1, reserved=2)
    bulk = broker.Backlog(queue="bulk", task="shop.index", waiting=5)
    end = replace(left.ended, by="limit", backlog=(child, bulk), consumed=("celery",))
    one = replace(left, ended=end, signs=replace(left.signs, quiet_s=60.0, lost=frozenset()))
    told = observed.observations(one, None, Cpu())
    assert [(each.task, each.consumed) for each in observed.backlog(one)] == [("shop.child", True), ("shop.index", False)]
    said = "1 messages of shop.child wait in queue celery, and this worker has reserved 2"
    assert told.backlog == (said,)
    assert f"; meanwhile {said}; " in classify(told)[1]
    unknown = replace(one, ended=replace(end, consumed=None))
    assert [each.consumed for each in observed.backlog(unknown)] == [True, True]


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_a_request_that_stands_in_c_stops_all_greenlets_and_leaves_none_free(pool: str, left: Left) -> None:
    """Three requests were sent, one was begun and stands for five seconds in C; then the others are served."""
    known = requests([16.0, 16.5, 17.0], published=[11 * NS] * 3, begin=[11 * NS, 16 * NS, 16 * NS + NS // 2])
    threads = seen(replace(left, cell=replace(left.cell, concurrency=2, pool="threads")), known).waiting
    green = seen(replace(left, cell=replace(left.cell, concurrency=2, pool=pool)), known).waiting
    assert (threads.while_idle, green.while_idle) == (pytest.approx(0.55), pytest.approx(0.03))
    assert (threads.starved, green.starved) == (0.0, 0.0)


@pytest.mark.parametrize("why", ["put off", "rate", "baseline", "no phase"])
def test_waiting_is_not_told_where_it_has_another_reason(why: str, left: Left) -> None:
    changed = {
        "put off": replace(left, signs=replace(left.signs, has_put_off=True)),
        "rate": replace(left, rate_interval_s=1.0),
        "baseline": replace(left, cell=replace(left.cell, pool="in-process")),
        "no phase": replace(left, signs=replace(left.signs, phase_at_s={})),
    }
    assert seen(left, requests([12.0])).waiting is not None
    assert seen(changed[why], requests([12.0])).waiting is None


def standing(folder: Path) -> Requests:
    """Two requests that a worker received and never began, and one that was answered."""
    return requests([-1.0, -1.0, 12.0], published=[11 * NS, 11 * NS, 11 * NS], worker_received=[11 * NS] * 3)


def test_where_requests_stand_is_told_of_a_trial_that_stands_still(left: Left, tmp_path: Path) -> None:
    one = replace(left, ended=replace(left.ended, by="verdict"))
    assert seen(one, standing(tmp_path)).waited_in.startswith("they stand 100% in the worker (received, not begun)")
    assert seen(replace(one, cell=replace(one.cell, pool="in-process")), standing(tmp_path)).waited_in == ""
    early = replace(one, signs=replace(one.signs, phase_at_s={}))
    assert seen(early, standing(tmp_path)).waited_in.startswith("they stand 100% in the worker (received, not begun)")


def test_where_requests_waited_is_told_of_the_measured_phase(left: Left, tmp_path: Path) -> None:
    assert seen(left, standing(tmp_path)).waited_in.startswith("they waited ")
    early = replace(left, signs=replace(left.signs, phase_at_s={}))
    assert seen(early, standing(tmp_path)).waited_in == ""


def test_the_cause_is_found_from_all_that_was_kept(left: Left) -> None:
    end = replace(
        left.ended, verdict=Verdict(state=State.HUNG, how=How.FUTEX), oom_kills=2, oom_counted="here",
        log_line=f"x {NEVER_STARTED} y",
        census=Census(answers=False, messages=5, connections=6),
        evidence=Evidence(path=Path("x"), frames=("f",), lost_native=("n",), lost_python=("p",)),
    )  # fmt: skip
    one = replace(left, ended=end, machine=replace(left.machine, depths=((1, 4), (2, 8))))
    found = observed.facts(one, Outcome.HUNG)
    assert (found.outcome, found.pool, found.how, found.dead_children, found.never_started) == (
        Outcome.HUNG, "prefork", How.FUTEX, 2, True,
    )  # fmt: skip
    assert (found.frames, found.lost_native, found.lost_python) == (("f",), ("n",), ("p",))
    assert (found.oom_kills, found.oom_counted) == (2, "here")
    assert (found.broker_answers, found.in_broker, found.consumers, found.waiting) == (False, 5, 6, 4)
    assert (found.queued, found.reserved) == (1.5, 6.0)
    partly = replace(one, ended=replace(end, partial=Verdict(state=State.HUNG, how=How.GIL)))
    assert observed.facts(partly, Outcome.HUNG).how is How.GIL


@pytest.mark.parametrize(
    ("by", "code", "asked", "unread"),
    [
        ("worker-exit", "exit 0", "by x", "E"),
        ("worker-exit", "exit 1", "", "E"),
        ("done", "", "", ""),
        ("done", "exit 0", "", ""),
    ],
)
def test_what_its_log_says_of_its_end_counts_if_the_worker_ended_by_itself(
    left: Left, by: str, code: str, asked: str, unread: str
) -> None:
    end = replace(left.ended, by=by, worker_exit=code, log_asked="by x", log_unread="E")
    found = observed.facts(replace(left, ended=end), Outcome.CRASHED)
    assert (found.asked, found.unread) == (asked, unread)


@pytest.mark.parametrize(
    ("broker", "depths", "told"),
    [
        ("rabbitmq", ((4, 8), (3, 8), (0, 8), (4, 2)), "at 2 of 4 looks RabbitMQ held messages back, for 8 were handed out"),
        ("rabbitmq", ((4, 8), *[(0, 3)] * 4), ""),
        ("rabbitmq", (), ""),
        ("valkey", ((4, 8), (3, 8)), ""),
    ],
)
def test_messages_that_rabbitmq_holds_back_are_told(
    left: Left, broker: str, depths: tuple[tuple[int, int], ...], told: str
) -> None:
    cell = replace(left.cell, broker=broker, concurrency=2, prefetch=4)
    one = replace(left, cell=cell, machine=replace(left.machine, depths=depths))
    found = observed.facts(one, Outcome.STALLED).held_back
    assert found.startswith(told) if told else not found


def test_what_was_not_kept_is_not_known(left: Left) -> None:
    one = replace(
        left, ended=replace(left.ended, census=None, evidence=None, verdict=None), machine=replace(left.machine, depths=())
    )
    found = observed.facts(one, Outcome.OK)
    assert (found.how, found.frames, found.lost_native, found.lost_python, found.never_started) == (None, (), (), (), False)
    assert (found.broker_answers, found.in_broker, found.consumers, found.queued, found.reserved) == (
        True,
        None,
        None,
        None,
        None,
    )


# How it ended, in the record


def test_the_record_tells_the_end_from_ready_and_from_what_hung(left: Left, tmp_path: Path) -> None:
    verdict = Verdict(state=State.HUNG, since_s=6.0, hung=1, executors=2)
    end = replace(
        left.ended, by="verdict", verdict=verdict, judged_s=8.5, withdrawn=("for 1.0 s",),
        evidence=Evidence(path=tmp_path / "evidence" / "one"),
    )  # fmt: skip
    found = conclude.ended(
        replace(left, ended=end), Outcome.HUNG, "r", Cause(name="deadlock", support=("a", "b")), tmp_path, 4.5
    )
    assert found.model_dump() == {
        "outcome": "hung", "reason": "r", "seconds": 4.5, "evidence": "evidence/one", "last_progress_s": 25.0,
        "verdict_after_s": 2.5, "cause": "deadlock", "support": ["a", "b"], "executors": 2, "executors_hung": 1,
        "withdrawn": ["for 1.0 s"], "proof": "", "instead": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "partial", "by", "executors"),
    [
        (
            Verdict(state=State.HUNG, executors=3, since_s=1.0),
            Verdict(state=State.HUNG, executors=4, since_s=2.0),
            "verdict",
            3,
        ),
        (Verdict(state=State.HUNG, executors=3, since_s=1.0), Verdict(state=State.HUNG, executors=4, since_s=2.0), "limit", 4),
        (Verdict(state=State.HUNG, executors=3, since_s=1.0), None, "limit", None),
        (Verdict(state=State.HUNG), None, "verdict", None),
    ],
)
def test_the_executors_are_those_of_the_verdict_that_counts(
    verdict: Verdict, partial: Verdict | None, by: str, executors: int | None, left: Left, tmp_path: Path
) -> None:
    end = replace(left.ended, by=by, verdict=verdict, partial=partial, judged_s=8.0)
    found = conclude.ended(replace(left, ended=end), Outcome.HUNG, "r", None, tmp_path, 1.0)
    counts = partial if by == "limit" else verdict
    assert (found.executors, found.executors_hung) == (executors, None)
    assert found.verdict_after_s == (8.0 - counts.since_s if counts and counts.since_s else None)
    assert (found.cause, found.support, found.evidence) == ("", [], "")


@pytest.mark.parametrize("missing", ["ready_at_s", "last_event_s"])
def test_a_trial_without_progress_has_no_last_progress(missing: str, left: Left, tmp_path: Path) -> None:
    one = replace(left, signs=replace(left.signs, **{missing: None}))
    assert conclude.ended(one, Outcome.OK, "r", None, tmp_path, 1.0).last_progress_s is None


def test_the_cause_stands_beside_the_evidence_with_the_versions(left: Left, tmp_path: Path) -> None:
    cause = Cause(name="deadlock", support=("a",))
    conclude.keep_cause(replace(left, ended=replace(left.ended, evidence=None)), Outcome.HUNG, cause, replay.HEADING)
    end = replace(left.ended, evidence=Evidence(path=tmp_path / "stacks.txt"))
    conclude.keep_cause(replace(left, ended=end), Outcome.HUNG, cause, replay.HEADING)
    text = (tmp_path / "cause.json").read_text()
    assert json.loads(text) == {"outcome": "hung", "cause": "deadlock", "support": ["a"], "versions": {"celery": "5.7.0"}}
    assert text.startswith('{\n  "outcome"')
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("usual_s", "quiet_s", "outcome"),
    [
        (100.0, 121.0, Outcome.SLOW),
        (100.0, 200.0, Outcome.WAITING),
        (0.1, 121.0, Outcome.WAITING),
        (None, 121.0, Outcome.WAITING),
    ],
)
def test_a_request_that_is_not_overdue_at_the_limit_is_slow_and_no_wait(
    left: Left, usual_s: float | None, quiet_s: float, outcome: Outcome
) -> None:
    signs = replace(left.signs, quiet_s=quiet_s, dead=frozenset(), lost=frozenset())
    cut = replace(left, ended=replace(left.ended, by="limit", worker_exit="", partial=None, verdict=None), signs=signs)
    assert classify(seen(replace(cut, usual_s=usual_s)))[0] is outcome
