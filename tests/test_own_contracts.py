"""What is said of requests of somebody's own task that was limited, revoked, shut down or killed: by their fates alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from harness.applications.contracts import measures, stand, survey, words
from harness.applications.contracts.measures import (
    CONTRACTS,
    killed_verdict,
    limit_verdict,
    shutdown_verdict,
    why_not,
    worker_verdict,
)
from harness.applications.contracts.stand import OwnBench, limited
from harness.errors import BadInput
from harness.records.store import RunFolder
from harness.studies.contracts import rows
from harness.studies.contracts.bench import CannotSay
from harness.worker import contract
from tests.test_application import SHOP, cell
from tests.test_contracts import row

ANSWERED, BACK, LEFT, LOST = "answered", "back in the queue", "left unacknowledged", "lost (state PENDING)"
ERROR, TWICE = "raised WorkerLostError", "answered, begun 2 times"
OWN = "of itself raised KeyError"


@pytest.mark.parametrize(
    ("fates", "verdict"),
    [
        ((ANSWERED, ANSWERED), "finishes"),
        ((ANSWERED, BACK, BACK), "finishes"),
        ((BACK, BACK), "requeues"),
        ((ANSWERED, LEFT), "leaves unacknowledged"),
        ((TWICE, ANSWERED), "runs requests twice"),
        ((ANSWERED, ERROR), "ends with an error"),
        ((ANSWERED, ERROR, LOST), "loses requests"),
        ((ANSWERED, OWN, BACK), "finishes"),
        ((OWN, OWN, BACK), "finishes"),
    ],
)
def test_of_a_shutdown_the_gravest_fate_of_any_request_is_told(fates: tuple[str, ...], verdict: str) -> None:
    assert shutdown_verdict(dict(enumerate(fates)), 0) == verdict


@pytest.mark.parametrize(
    ("fates", "killed", "worker"),
    [
        ((ERROR, ANSWERED), "error to the caller", "loses none"),
        ((TWICE, ANSWERED), "runs it again", "loses none"),
        ((ANSWERED, ANSWERED), "not met", "loses none"),
        ((ERROR, LEFT), "serves no more", "left unacknowledged"),
        ((LOST, ANSWERED), "loses requests", "loses requests"),
        ((TWICE, OWN), "runs it again", "loses none"),
    ],
)
def test_of_a_kill_the_gravest_fate_of_any_request_is_told(fates: tuple[str, ...], killed: str, worker: str) -> None:
    found = dict(enumerate(fates))
    assert (killed_verdict(found), worker_verdict(found)) == (killed, worker)


def test_an_error_of_the_task_itself_is_not_put_down_to_what_was_done_to_its_worker() -> None:
    found = {1: "raised OSError", 2: "raised OSError, begun 2 times", 3: "raised KeyError", 4: ERROR}
    assert words.themselves(found, [1, 2, 3], 1) == {
        1: "of itself raised OSError", 2: "of itself raised OSError, begun 2 times", 3: "of itself raised KeyError", 4: ERROR
    }  # fmt: skip
    assert words.themselves(found, [1, 2], 3)[3] == "raised KeyError", "it was in flight, and no other one raised that"
    with pytest.raises(CannotSay, match="without the revoke"):
        words.revoke_verdict("OSError", "answered")


def test_a_limit_that_could_not_strike_says_nothing() -> None:
    with pytest.raises(CannotSay, match=r"no call ran for longer than 0\.4 s, and the limit is 3 s"):
        limit_verdict([ANSWERED, ANSWERED], 0.4, 3.0, soft=False)
    assert limit_verdict([ANSWERED, "SoftTimeLimitExceeded"], 3.1, 3.0, soft=True) == "cut off"
    assert limit_verdict([ANSWERED], 9.0, 3.0, soft=True) == "not cut off"  # it swallowed the exception, or never got it
    assert limit_verdict([ANSWERED], 3.2, 3.0, soft=True) == "ends in time"  # it cleaned up, and answered
    assert limit_verdict([ANSWERED, "no answer"], 9.0, 3.0, soft=False) == "no answer"


def test_a_limit_stands_in_the_message_as_celery_writes_it() -> None:
    message = json.dumps({"headers": {"id": "x", "timelimit": [None, 60]}, "body": "…"})
    assert json.loads(limited(message, (2.5, None))) == {"headers": {"id": "x", "timelimit": [2.5, None]}, "body": "…"}


def test_what_cannot_be_met_is_not_tried() -> None:
    assert why_not(CONTRACTS["child-killed"], "threads", 9.0) == "the pool has no child processes"
    assert why_not(CONTRACTS["child-killed"], "prefork", 0.001) == ""
    short = why_not(CONTRACTS["hard-limit"], "prefork", 0.05)
    assert short.startswith("the longest call takes 0.05 s, too short to be met: name rows that take ")
    assert why_not(CONTRACTS["hard-limit"], "prefork", 9.0) == ""


def test_a_burst_is_some_seconds_of_work_whatever_a_call_takes() -> None:
    for usual_s in (0.001, 0.01, 0.5, 7.0):
        count = measures.size(usual_s)
        assert measures.LEAST <= count <= measures.MOST
        assert count in (measures.LEAST, measures.MOST) or count * usual_s == pytest.approx(measures.LASTS_S, rel=0.05)


def test_answers_of_other_code_are_set_aside_and_not_shown_as_those_of_this_one(tmp_path: Path) -> None:
    folder, said = RunFolder(tmp_path), list[str]()
    assert survey.on_record(folder, "old", said.append) == {}
    rows.append(tmp_path, kept := row())
    assert survey.on_record(folder, "old", said.append) == {kept.key: kept}
    assert said == []
    assert survey.on_record(folder, "new", said.append) == {}
    assert said[0].startswith("the answers on record are of other code, rows or variables: set aside")
    assert rows.read(tmp_path) == {}
    assert rows.from_text((tmp_path / survey.BEFORE).read_text()) == {kept.key: kept}
    assert survey.on_record(folder, "new", said.append) == {}
    assert len(said) == 1


class Keys:
    """A Valkey's keys, read as a bench reads them."""

    def __init__(self, **held: Any) -> None:
        self.held = held

    def get(self, key: str) -> bytes | None:
        return self.held.get(key)

    def lrange(self, key: str, begin: int, end: int) -> list[bytes]:
        return list(self.held.get(key, ()))

    def hvals(self, key: str) -> list[bytes]:
        return list(self.held.get(key, ()))


def test_what_has_a_prefix_before_all_keys_is_found_behind_it() -> None:
    bench: Any = object.__new__(OwnBench)
    bench.stand = SimpleNamespace(amqp=None)
    bench.ids, bench.queue, bench.key_prefix, bench.results_prefix = ["id-0", "id-1", "id-2"], "shop-celery", "shop-", "shop_"
    answer = b'{"status": "SUCCESS", "result": 6}'
    bench.redis = Keys(**{"shop-celery": [b"id-0"], "shop-unacked": [b"id-1"], "shop_celery-task-meta-id-2": answer})
    assert bench.places(range(3)) == {0: "queue", 1: "unacked", 2: ""}
    assert [bench.outcome(number) for number in range(3)] == ["", "", "answered"]
    assert (bench.state(2), bench.state(0)) == ("SUCCESS", "PENDING")


def test_a_task_that_puts_itself_off_is_not_run_twice_by_its_worker(tmp_path: Path) -> None:
    bench = OwnBench.__new__(OwnBench)
    bench.events = tmp_path
    begin, end, retried = contract.TASK_BEGIN, contract.TASK_END, contract.RETRIED
    of_child = [
        (begin, 0),
        (retried, 0),
        (end, 0),
        (begin, 1),
        (begin, 2),
        (end, 2),
        (begin, 3),
        (contract.REQUEUED, 3),
        (end, 3),
    ]
    again = [(begin, 0), (end, 0), (begin, 1), (begin, 3)]
    for pid, events in ((7, of_child), (8, again)):
        (tmp_path / f"{pid}.events").write_bytes(
            b"".join(contract.pack(kind, 1, one, at) for at, (kind, one) in enumerate(events))
        )
    assert [bench.times(number) for number in range(5)] == [1, 2, 1, 1, 0]
    assert [bench.runs(number) for number in range(5)] == [False, True, False, True, False]


def test_a_worker_that_does_not_take_the_requests_ends_the_survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The route of a task leads to a queue of its own, which no `--queue` names."""
    (tmp_path / contract.QUEUES).write_text('["celery"]')
    ended: list[str] = []
    bench = SimpleNamespace(events=tmp_path, until_ready=lambda: None, close=lambda: ended.append("closed"))
    monkeypatch.setattr(stand, "OwnBench", lambda *_: bench)
    application = replace(SHOP, queue_keys=("images",))
    one: Any = SimpleNamespace(stopped=Event(), application=application, cell=cell("solo"))
    with (
        pytest.raises(BadInput, match=r"no consumer for queue 'images'.*--queue images makes it consume"),
        stand.OwnStand.own_worker(one),
    ):
        pass
    assert ended == ["closed"]
