"""Of all that holds the gravest is the word, and the reason tells every count."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.judge.blocked import How
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


def hung(count: int, kind: str = "threads", how: How = How.FUTEX, rest: str = "") -> Verdict:
    """As `watchdog` words it."""
    reason = f"{count} of 4 {kind} that run requests made no progress inside request for 1.7 s: they {how.value}{rest}"
    return Verdict(state=State.HUNG, reason=reason, hung=count, executors=4)


FUTEX = How.FUTEX.value


@pytest.mark.parametrize(
    ("count", "unanswered", "reason"),
    [
        (
            1, 1, "1 thread of 4 had requests, and hangs: it made no progress inside request for 1.7 s, and waits in a private "
            "futex that no thread of its own will release, without using CPU; 1 never answered",
        ),
        (
            1, 2, "2 threads of 4 had requests, and 1 of them hangs: it made no progress inside request for 1.7 s, and waits "
            "in a private futex that no thread of its own will release, without using CPU; 2 never answered",
        ),
        (
            2, 2, f"2 threads of 4 had requests, and hang: they made no progress inside request for 1.7 s, and {FUTEX}; "
            "2 never answered",
        ),
        (1, 4, f"{hung(1).reason}; 4 never answered"),
        (1, 0, hung(1).reason),
    ],
)  # fmt: skip
def test_an_executor_without_a_request_is_not_counted_among_those_that_could_go_on(
    count: int, unanswered: int, reason: str
) -> None:
    assert ended(ended_by="verdict", verdict=hung(count), unanswered=unanswered) == ("hung", reason)


@pytest.mark.parametrize("how", [how for how in How if how is not How.LOST])
def test_what_one_does_is_said_of_one(how: How) -> None:
    verdict = hung(1, "processes", how, "; the others go on")
    _, reason = ended(ended_by="verdict", verdict=verdict, unanswered=1)
    assert reason.startswith("1 process of 4 had requests, and hangs: it made no progress inside request for 1.7 s, and ")
    assert reason.endswith("; the others go on; 1 never answered")
    assert not {"they", "their", "theirs", "wait", "are", "have", "lack", "compute"} & set(
        re.findall(r"(?<!not )\b\w+", reason)
    )
