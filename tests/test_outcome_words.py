"""The whole sentence of each ending, the order of the questions, and each threshold from both sides."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from harness.judge.blocked import How
from harness.judge.outcome import Observations, classify, counted
from harness.judge.unusable import unusable
from harness.judge.watchdog import State, Verdict
from harness.records.answers import Waiting
from harness.records.outcomes import Outcome
from harness.records.sending import Sending

GOOD = Observations(ended_by="done", was_ready=True, requests=50, ok=50, client_cores=0.2, others_share=0.05)
LIMIT = {"ended_by": "limit", "limit_s": 60.0, "ok": 7}
HUNG = Verdict(state=State.HUNG, reason="they wait")
AT_WORK = Verdict(state=State.UNDECIDED, reason="it runs", doubt="it runs", computing=True)
BEREFT = Verdict(state=State.HUNG, how=How.BEREFT, reason="they lack threads")
RESPAWNS = Verdict(state=State.RESPAWNING, reason="died")
STALLED = Verdict(state=State.STALLED, reason="3 requests wait")
LOST = Verdict(state=State.HUNG, reason="answers never came", how=How.LOST)
UNSURE = Verdict(state=State.UNDECIDED, reason="no progress, but it sleeps")
OPEN = Sending(sends=1000, late=11, rate_per_s=10.0)


def ended(**changes: Any) -> tuple[str, str]:
    outcome, reason = classify(replace(GOOD, **changes))
    return outcome.value, reason


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({}, "ok", "50 of 50 answers match the reference"),
        ({"duplicates": 3}, "ok", "50 of 50 answers match the reference; 3 answers came twice"),
        (
            {"sending": Sending(withdrawn=10, peak="12 keep it"), "ok": 40},
            "ok",
            "40 of 40 answers match the reference; 12 keep it",
        ),
        (
            {
                "duplicates": 1,
                "waiting": Waiting(while_idle=0.2, starved=0.1),
                "waited_in": "in transit",
                "sending": Sending(peak="p"),
            },
            "ok",
            "50 of 50 answers match the reference; 1 answers came twice; starved for 10% of the time; in transit; p",
        ),
        ({"ended_by": "broker-exit"}, "invalid", "broker lost: the embedded server ended during the trial"),
        ({"ended_by": "broker-silent"}, "invalid", "broker lost: it runs, and does not answer a PING"),
        (
            {"ended_by": "broker-cut"},
            "invalid",
            "the broker runs, and closed the load generator's connection: answers may be larger than it keeps for a reader "
            "that is behind (client-output-buffer-limit pubsub), or connections were killed",
        ),
        ({"ended_by": "client-stopped"}, "invalid", "the load generator was stopped by a signal"),
        ({"ended_by": "client-exit", "client_exit": "exit 1"}, "invalid", "the load generator ended early (exit 1)"),
        (
            {"never_struck": True},
            "invalid",
            "the fault that was to be done from outside was not: the trial was over too soon",
        ),
        ({"ended_by": "unsupported", "unsupported": "LSTM"}, "skipped", "the backend cannot build the layer LSTM"),
        ({"ended_by": "no-consumer", "no_consumer": "nobody takes them"}, "refused", "nobody takes them"),
        (
            {"ended_by": "worker-exit", "was_ready": False, "worker_exit": "exit 2", "log_tail": "no module"},
            "refused",
            "the worker ended before it was ready (exit 2): no module",
        ),
        ({"ended_by": "worker-exit", "worker_exit": "SIGKILL"}, "crashed", "the worker process ended with SIGKILL"),
        (
            {"ended_by": "ready-limit", "was_ready": False, "limit_s": 9.5, "log_tail": "loading"},
            "refused",
            "the worker was not ready within 9.5 s: loading",
        ),
        (
            {"ended_by": "ready-limit", "was_ready": False, "limit_s": 9.5, "log_tail": "loading", "waits": ("it waits",)},
            "refused",
            "the worker was not ready within 9.5 s: loading; it waits",
        ),
        ({"ended_by": "verdict", "verdict": HUNG, "waited_in": "in transit"}, "hung", "they wait"),
        ({"ended_by": "verdict", "verdict": HUNG, "at_lock": True}, "hung", "they wait"),
        (
            {"ended_by": "limit", "verdict": AT_WORK, "quiet_s": 60.0, "limit_s": 60.0},
            "slow",
            "progressing, computing for 60 s without an answer, cut off at the limit of 60 s with 50 answers",
        ),
        (
            {"ended_by": "limit", "verdict": AT_WORK, "quiet_s": 60.0, "limit_s": 60.0, "ok": 0},
            "slow",
            "computing for 60 s without an answer, cut off at the limit of 60 s with 0 answers",
        ),
        ({"ended_by": "verdict", "verdict": BEREFT}, "hung", "they lack threads"),
        (
            {"ended_by": "verdict", "verdict": BEREFT, "at_lock": True},
            "waiting",
            "they lack threads; not proved: it waits for a lock, which a native thread may release",
        ),
        (
            {"ended_by": "verdict", "verdict": RESPAWNS, "log_error": "E: x"},
            "respawning",
            "died; the last error in its log: E: x",
        ),
        (
            {"ended_by": "worker-exit", "worker_exit": "exit 1", "log_error": "E: x"},
            "crashed",
            "the worker process ended with exit 1; the last error in its log: E: x",
        ),
        ({"ended_by": "verdict", "verdict": STALLED, "waited_in": "in transit"}, "stalled", "3 requests wait; in transit"),
        ({"ended_by": "verdict", "verdict": STALLED}, "stalled", "3 requests wait"),
        ({"ended_by": "verdict", "verdict": Verdict(state=State.RESPAWNING, reason="died")}, "respawning", "died"),
        ({"ended_by": "verdict", "verdict": LOST}, "hung", "answers never came"),
        (
            {"ended_by": "verdict", "verdict": LOST, "dead_children": 2, "lost_requests": 3},
            "crashed",
            "2 child processes died, 3 of their requests unanswered",
        ),
        (
            {"ended_by": "verdict", "verdict": HUNG, "dead_children": 2, "lost_requests": 3},
            "crashed",
            "2 child processes died, 3 of their requests unanswered; they wait",
        ),
        ({"partial": HUNG}, "hung", "they wait"),
        ({"ended_by": "limit", "partial": HUNG, "verdict": STALLED}, "hung", "they wait"),
        ({"ended_by": "verdict", "partial": HUNG, "verdict": STALLED}, "hung", "they wait; 3 requests wait"),
        ({"verdict": HUNG}, "ok", "50 of 50 answers match the reference"),
        (
            {**LIMIT, "dead_children": 2, "lost_requests": 3},
            "crashed",
            "2 child processes died, 3 of their requests unanswered",
        ),
        ({"lost_requests": 3}, "ok", "50 of 50 answers match the reference"),
        (
            {"errors": {"WorkerLostError: signal 11": 4, "ValueError: x": 9}},
            "crashed",
            "child processes died: 4 x WorkerLostError: signal 11; 9 of 50 requests raised: 9 x ValueError: x",
        ),
        ({"errors": {"ValueError: WorkerLostError": 4}}, "errors", "4 of 50 requests raised: 4 x ValueError: WorkerLostError"),
        ({"wrong": 2, "max_error": 0.12345}, "wrong", "2 of 50 answers differ from the reference by up to 0.123"),
        ({"errors": {"A": 1, "B": 3}}, "errors", "4 of 50 requests raised: 3 x B; 1 x A"),
        ({**LIMIT}, "slow", "progressing, cut off at the limit of 60 s with 7 answers"),
        (
            {**LIMIT, "rate_interval_s": 2.0},
            "slow",
            "progressing, held back by the task's own rate limit, cut off at the limit of 60 s with 7 answers",
        ),
        ({**LIMIT, "quiet_s": 30.2}, "waiting", "no progress for 30 s; cut off at the limit of 60 s"),
        (
            {**LIMIT, "quiet_s": 30.2, "unanswered": 4, "verdict": UNSURE},
            "waiting",
            "no progress for 30 s, and not proved to hang: no progress, but it sleeps; 4 requests are unanswered; cut off at "
            "the limit of 60 s",
        ),
        (
            {**LIMIT, "quiet_s": 30.2, "verdict": replace(UNSURE, doubt="it sleeps")},
            "waiting",
            "no progress for 30 s, and not proved to hang: it sleeps; cut off at the limit of 60 s",
        ),
        ({**LIMIT, "quiet_s": 30.2, "verdict": STALLED}, "waiting", "no progress for 30 s; cut off at the limit of 60 s"),
        (
            {"ok": 40, "sending": Sending(withdrawn=10, cut_off=10, rate_per_s=90.0)},
            "slow",
            "arrivals exceed capacity: 10 of the requests sent at 90 per second still waited in the queue long after the last "
            "was sent, and were withdrawn",
        ),
        (
            {"waiting": Waiting(while_idle=0.0, starved=0.61), "waited_in": "in transit"},
            "stalled",
            "for 61% of the time requests waited, in spells of 0.5 s or more, and nobody worked; in transit",
        ),
        ({"waiting": Waiting(while_idle=0.92, starved=0.0)}, "ok", "50 of 50 answers match the reference"),
        ({"ok": 49}, "invalid", "could not judge: only 49 of 50 answers could be checked"),
        ({"ok": 0, "requests": 0}, "invalid", "could not judge: only 0 of 0 answers could be checked"),
    ],
)
def test_the_sentence_of_each_ending(changes: dict[str, Any], outcome: str, reason: str) -> None:
    assert ended(**changes) == (outcome, reason)


#: From the first question to the last: each of these is asked before all that follow.
ORDER: list[tuple[dict[str, Any], str]] = [
    ({"ended_by": "broker-exit"}, "invalid"),
    ({"unsupported": "LSTM"}, "skipped"),
    ({"no_consumer": "nobody"}, "refused"),
    ({"errors": {"WorkerLostError": 1}}, "crashed"),
    ({"partial": HUNG}, "hung"),
    ({"wrong": 1, "max_error": 1.0}, "wrong"),
    ({"errors": {"ValueError": 1}}, "errors"),
    ({"waiting": Waiting(while_idle=0.9, starved=0.9)}, "stalled"),
    ({"sending": Sending(cut_off=1)}, "slow"),
    ({"ok": 1}, "invalid"),
]


@pytest.mark.parametrize(("first", "then"), [(i, k) for i in range(len(ORDER)) for k in range(i + 1, len(ORDER))])
def test_the_questions_are_asked_in_this_order(first: int, then: int) -> None:
    both = {**ORDER[then][0], **ORDER[first][0]}
    assert ended(**both)[0] == ORDER[first][1]


@pytest.mark.parametrize(
    ("below", "above", "outcomes"),
    [
        ({"waiting": Waiting(while_idle=0.0, starved=0.49)}, {"waiting": Waiting(while_idle=0.0, starved=0.5)}, "ok stalled"),
        (
            {"waiting": Waiting(while_idle=0.0, starved=0.8), "core_wait": 0.41},
            {"waiting": Waiting(while_idle=0.0, starved=0.8), "core_wait": 0.39},
            "ok stalled",
        ),
        ({**LIMIT, "quiet_s": 4.0}, {**LIMIT, "quiet_s": 4.1}, "slow waiting"),
        (
            {**LIMIT, "quiet_s": 15.0, "longest_silence_s": 10.0},
            {**LIMIT, "quiet_s": 15.1, "longest_silence_s": 10.0},
            "slow waiting",
        ),
        (
            {**LIMIT, "quiet_s": 20.0, "rate_interval_s": 10.0},
            {**LIMIT, "quiet_s": 20.1, "rate_interval_s": 10.0},
            "slow waiting",
        ),
    ],
)
def test_a_threshold_from_both_sides(below: dict[str, Any], above: dict[str, Any], outcomes: str) -> None:
    assert f"{ended(**below)[0]} {ended(**above)[0]}" == outcomes


@pytest.mark.parametrize("by", ["done", "limit", "verdict"])
def test_only_a_trial_that_went_on_stalls_by_its_pace(by: str) -> None:
    waited = {"waiting": Waiting(while_idle=0.9, starved=0.9), "verdict": HUNG}
    assert ended(ended_by=by, **waited)[0] == ("hung" if by == "verdict" else "stalled")


def test_without_a_measured_window_nothing_is_said_to_stall() -> None:
    assert ended(waiting=None)[0] == "ok"


def test_a_fault_that_never_struck_matters_only_where_all_went_well() -> None:
    assert ended(never_struck=True, **LIMIT)[0] == "slow"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"client_cores": None, "others_share": None}, ""),
        ({"client_cores": 0.9, "others_share": 0.5}, ""),
        ({"client_cores": 0.914}, "the load generator was the limit: it used 0.91 of one core"),
        ({"others_share": 0.51}, "machine too noisy: others used 51% of the cores that we may use"),
        ({"others_share": 0.51, "noise_limit": 0.6}, ""),
        ({"others_share": 0.9, "needs_cores": 0.02}, ""),
        (
            {"others_share": 0.9, "needs_cores": 0.03},
            "machine too noisy: others used 90% of the cores that we may use",
        ),
        (
            {"sending": OPEN},
            "the load generator was late: 11 of 1000 requests went out more than a tenth of the mean gap (or 1 ms) after they "
            "were meant to, 1% is allowed",
        ),
        ({"sending": replace(OPEN, late=10)}, ""),
        ({"sending": Sending(late=5)}, ""),
    ],
)
def test_what_takes_the_figures_away(changes: dict[str, Any], words: str) -> None:
    assert unusable(replace(GOOD, **changes)) == words


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ({}, ""),
        ({"A": 1}, "1 x A"),
        ({"A": 1, "B": 2}, "2 x B; 1 x A"),
        ({"A": 1, "B": 2, "C": 3}, "3 x C; 2 x B; and 1 more kinds"),
        ({"A": 1, "B": 2, "C": 3, "D": 4}, "4 x D; 3 x C; and 2 more kinds"),
    ],
)
def test_errors_are_counted_the_most_frequent_first(errors: dict[str, int], words: str) -> None:
    assert counted(errors) == words
    assert counted(errors, most=9) == "; ".join(f"{errors[name]} x {name}" for name in sorted(errors, reverse=True))


def test_what_was_not_seen_counts_for_nothing() -> None:
    told = dataclasses.asdict(Observations(ended_by="done"))
    assert {name: value for name, value in told.items() if value} == {"ended_by": "done", "noise_limit": 0.5}
    assert classify(Observations(ended_by="done"))[0] is Outcome.INVALID
    zero = {name for name, value in told.items() if value == 0 and value is not False and not isinstance(value, str | dict)}
    assert zero == {
        "dead_children", "lost_requests", "requests", "ok", "wrong", "unanswered", "duplicates", "quiet_s", "longest_silence_s",
        "core_wait",
        "limit_s", "rate_interval_s",
    }  # fmt: skip
