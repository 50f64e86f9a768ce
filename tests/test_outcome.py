"""How a trial is classified, from what was seen of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.judge.outcome import Observations, classify
from harness.judge.unusable import unusable
from harness.judge.watchdog import State, Verdict
from harness.observe.progress import PUT_OFF
from harness.records.answers import Waiting
from harness.records.outcomes import Outcome
from harness.records.sending import Sending
from harness.worker import contract

RETRY, REQUEUE = PUT_OFF[contract.RETRIED], PUT_OFF[contract.REQUEUED]

GOOD = Observations(ended_by="done", was_ready=True, requests=50, ok=50, client_cores=0.2, others_share=0.05)
UNDECIDED = Verdict(state=State.UNDECIDED, reason="thread 7 waits in sleep")


@pytest.mark.parametrize(
    ("changes", "outcome", "word"),
    [
        ({}, Outcome.OK, "50 of 50"),
        ({"ok": 49, "wrong": 1, "max_error": 0.5}, Outcome.WRONG, "1 of 50 answers differ"),
        ({"ok": 40, "errors": {"ValueError: x": 10}}, Outcome.ERRORS, "10 x ValueError: x"),
        ({"ok": 40, "errors": {"WorkerLostError: signal 11 (SIGSEGV)": 10}}, Outcome.CRASHED, "SIGSEGV"),
        ({"ended_by": "worker-exit", "worker_exit": "SIGKILL"}, Outcome.CRASHED, "SIGKILL"),
        ({"ended_by": "worker-exit", "was_ready": False, "log_tail": "no module"}, Outcome.REFUSED, "no module"),
        ({"ended_by": "ready-limit", "was_ready": False, "limit_s": 9.0}, Outcome.REFUSED, "9 s"),
        ({"ended_by": "unsupported", "unsupported": "Foo"}, Outcome.SKIPPED, "Foo"),
        ({"ended_by": "verdict", "verdict": Verdict(state=State.HUNG, reason="futex")}, Outcome.HUNG, "futex"),
        ({"ended_by": "broker-exit"}, Outcome.INVALID, "broker lost: the embedded server ended"),
        ({"ended_by": "broker-silent"}, Outcome.INVALID, "does not answer a PING"),
        ({"ended_by": "client-stopped"}, Outcome.INVALID, "was stopped by a signal"),
        ({"ended_by": "client-exit", "client_exit": "exit 1"}, Outcome.INVALID, "load generator"),
        ({"never_struck": True}, Outcome.INVALID, "too soon"),
        ({"ended_by": "limit", "limit_s": 60.0}, Outcome.SLOW, "60 s"),
        (
            {"ended_by": "limit", "verdict": UNDECIDED, "quiet_s": 30.0, "longest_silence_s": 2.0},
            Outcome.WAITING,
            "not proved to hang: thread 7 waits in sleep",
        ),
        ({"ended_by": "limit", "verdict": UNDECIDED, "quiet_s": 9.0, "longest_silence_s": 10.0}, Outcome.SLOW, "progressing"),
        (
            {"ended_by": "limit", "quiet_s": 50.0, "longest_silence_s": 1.0, "unanswered": 3},
            Outcome.WAITING,
            "3 requests are un",
        ),
        ({"ended_by": "limit", "dead_children": 1, "lost_requests": 1}, Outcome.CRASHED, "unanswered"),
        ({"waiting": Waiting(while_idle=0.9, starved=0.0)}, Outcome.OK, "50 of 50"),  # a broker 20 ms away, say
        ({"waiting": Waiting(while_idle=0.9, starved=0.8)}, Outcome.STALLED, "80%"),
        ({"waiting": Waiting(while_idle=0.9, starved=0.2)}, Outcome.OK, "starved for 20%"),
        (
            {"waiting": Waiting(while_idle=0.9, starved=0.9), "paused": "celery"},
            Outcome.OK,
            "starved for 90% of the time; meanwhile the worker did not consume 'celery', says its log (cancel_consumer)",
        ),
        (
            {"waiting": Waiting(while_idle=0.9, starved=0.8), "waited_in": "they waited 90% in dispatch"},
            Outcome.STALLED,
            "nobody worked; they waited 90% in dispatch",
        ),
        (
            {"waiting": Waiting(while_idle=0.9, starved=0.2), "waited_in": "they waited 70% in the broker"},
            Outcome.OK,
            "starved for 20% of the time; they waited 70% in the broker",
        ),
        ({"waiting": Waiting(while_idle=0.1, starved=0.0), "waited_in": "they waited"}, Outcome.OK, "match the reference"),
        ({"ended_by": "limit", "dead_children": 1, "unanswered": 4}, Outcome.SLOW, "progressing"),
        ({"requests": 0, "ok": 0}, Outcome.INVALID, "could be checked"),
        ({"requests": 50, "ok": 49}, Outcome.INVALID, "could be checked"),
        ({"sending": Sending(sends=1000, late=10, rate_per_s=10.0)}, Outcome.OK, "50 of 50"),
        ({"ok": 40, "sending": Sending(withdrawn=10, cut_off=10, rate_per_s=90.0)}, Outcome.SLOW, "arrivals exceed capacity"),
        (
            {"ok": 40, "sending": Sending(withdrawn=10, peak="12 keep it")},
            Outcome.OK,
            "40 of 40 answers match the reference; 12 k",
        ),
        ({"ok": 39, "sending": Sending(withdrawn=10)}, Outcome.INVALID, "only 39 of 40"),
        (
            {"ended_by": "limit", "quiet_s": 15.0, "longest_silence_s": 1.0, "rate_interval_s": 10.0},
            Outcome.SLOW,
            "own rate limit",
        ),
        ({"ended_by": "limit", "quiet_s": 25.0, "longest_silence_s": 1.0, "rate_interval_s": 10.0}, Outcome.WAITING, "25 s"),
        (
            {"ended_by": "limit", "quiet_s": 25.0, "longest_silence_s": 1.0, "put_off": {RETRY: 4}, "unanswered": 4},
            Outcome.WAITING,
            "no progress for 25 s; 4 requests were put off by a retry, and did not begin again; 4 requests are unanswered",
        ),
        (
            {"ended_by": "limit", "again": {RETRY: (7, 9)}, "unanswered": 2},
            Outcome.SLOW,
            "answers; 2 requests were put off by a retry, 7 to 9 times each; 2 never answered",
        ),
        (
            {"ended_by": "limit", "again": {RETRY: (1,), REQUEUE: (900,)}, "unanswered": 2},
            Outcome.SLOW,
            "; 1 request was put off by a retry, once; 1 request was put back into the queue by its own task (Reject with "
            "requeue), 900 times; ",
        ),
        ({"waiting": Waiting(while_idle=0.9, starved=0.8), "core_wait": 0.5}, Outcome.OK, "80%"),
        ({"copies": (7,)}, Outcome.OK, "; process 7, a fork of the worker inside a task, went on as a worker as well"),
        ({"ended_by": "limit", "copies": (7, 9)}, Outcome.SLOW, "; 2 processes, forks of the worker inside a task, went on"),
        ({"waiting": Waiting(while_idle=0.9, starved=0.8), "others_share": 0.95}, Outcome.STALLED, "80%"),
    ],
)
def test_each_ending_has_its_outcome_and_its_reason(changes: dict[str, object], outcome: Outcome, word: str) -> None:
    got, reason = classify(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert got is outcome
    assert word in reason


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"client_cores": 0.97}, "load generator was the limit"),
        ({"sending": Sending(sends=1000, late=11, rate_per_s=10.0)}, "11 of 1000 requests went out"),
        ({"others_share": 0.8}, "too noisy"),
    ],
)
@pytest.mark.parametrize(
    "ended",
    [{}, {"ended_by": "verdict", "verdict": Verdict(state=State.HUNG, reason="futex")}, {"ended_by": "limit", "limit_s": 9.0}],
)
def test_what_spoils_the_figures_leaves_the_outcome_as_it_is(
    changes: dict[str, object], word: str, ended: dict[str, object]
) -> None:
    seen = replace(GOOD, **ended)  # type: ignore[arg-type]
    spoiled = replace(seen, **changes)  # type: ignore[arg-type]
    assert classify(spoiled) == classify(seen)
    assert word in unusable(spoiled)
    assert unusable(seen) == ""


def test_a_wrong_answer_outweighs_noise() -> None:
    got, _ = classify(replace(GOOD, wrong=1, max_error=1.0, others_share=0.9))
    assert got is Outcome.WRONG
