"""Of all that holds the gravest is the word, and the reason tells every count."""

from __future__ import annotations

from typing import Any

import pytest

from harness.judge.watchdog import State, Verdict
from harness.records.sending import Sending
from tests.test_outcome_words import HUNG, STALLED, ended

MIXED = {
    "requests": 85,
    "ok": 6,
    "wrong": 1,
    "max_error": 2.0,
    "errors": {"KeyError: 'x'": 50, "ValueError: y": 2},
    "unanswered": 26,
}


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        (
            MIXED,
            "wrong",
            "1 of 85 answers differ from the reference by up to 2; 52 of 85 requests raised: 50 x KeyError: 'x'; "
            "2 x ValueError: y; 26 never answered",
        ),
        (
            {**MIXED, "ended_by": "verdict", "verdict": STALLED},
            "wrong",
            "1 of 85 answers differ from the reference by up to 2; 52 of 85 requests raised: 50 x KeyError: 'x'; "
            "2 x ValueError: y; 3 requests wait; 26 never answered",
        ),
        (
            {**MIXED, "ended_by": "verdict", "verdict": HUNG},
            "hung",
            "they wait; 1 answer is wrong; 52 of 85 requests raised: 50 x KeyError: 'x'; 2 x ValueError: y; 26 never answered",
        ),
        (
            {**MIXED, "wrong": 3, "ended_by": "limit", "limit_s": 60.0, "quiet_s": 40.0},
            "waiting",
            "no progress for 40 s; 26 requests are unanswered; cut off at the limit of 60 s; 3 answers are wrong; "
            "52 of 85 requests raised: 50 x KeyError: 'x'; 2 x ValueError: y",
        ),
        (
            {**MIXED, "wrong": 0, "ended_by": "limit", "limit_s": 60.0},
            "errors",
            "52 of 85 requests raised: 50 x KeyError: 'x'; 2 x ValueError: y; 26 never answered",
        ),
        (
            {"ended_by": "limit", "limit_s": 60.0, "dead_children": 2, "lost_requests": 3, "unanswered": 7, "partial": HUNG},
            "crashed",
            "2 child processes died, 3 of their requests unanswered; they wait; 4 never answered",
        ),
        (
            {"ended_by": "worker-exit", "worker_exit": "SIGKILL", "unanswered": 4},
            "crashed",
            "the worker process ended with SIGKILL; 4 never answered",
        ),
        (
            {"errors": {"A": 1}, "unanswered": 10, "sending": Sending(withdrawn=10)},
            "errors",
            "1 of 50 requests raised: 1 x A",
        ),
    ],
)
def test_the_gravest_is_the_word_and_the_reason_tells_all_counts(changes: dict[str, Any], outcome: str, reason: str) -> None:
    assert ended(**changes) == (outcome, reason)


@pytest.mark.parametrize(
    ("unanswered", "reason"),
    [
        (1, "1 of 1 threads stand; 3 more had no request; 1 never answered"),
        (2, "1 of 2 threads stand; 2 more had no request; 2 never answered"),
        (4, "1 of 4 threads stand; 4 never answered"),
        (0, "1 of 4 threads stand"),
    ],
)
def test_an_executor_without_a_request_is_not_counted_among_those_that_could_go_on(unanswered: int, reason: str) -> None:
    hung = Verdict(state=State.HUNG, reason="1 of 4 threads stand", hung=1, executors=4)
    assert ended(ended_by="verdict", verdict=hung, unanswered=unanswered) == ("hung", reason)
