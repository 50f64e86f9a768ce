"""What is said of a worker whose broker went away and came back, and which such contracts there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.broker import rabbitmq_view
from harness.broker.rabbitmq import RabbitMQ
from harness.studies.contracts import outages, places, rabbit
from harness.studies.contracts.catalogue import CONTRACTS, IN_A_ROW
from harness.studies.contracts.fates import (
    AGAIN,
    ANSWERED,
    DIED,
    LOST,
    NEVER,
    NO_ANSWER,
    STOPS,
    TWICE,
    VERDICTS,
    Seen,
    detail,
    fate_of,
    gravest,
    verdict,
)
from harness.studies.contracts.reconnect import Batch, first_after
from harness.trial import outside

WELL = Seen(
    taken_s=0.5, after_the_running_one=False, died="", replies=True, fates={"in flight": [ANSWERED], "queued": [ANSWERED] * 2}
)
NAMES = ("blip", "restart-kept", "restart-lost", "partition", "half-open")


def fates(**words: list[str]) -> Seen:
    return replace(WELL, fates={name.replace("_", " "): found for name, found in words.items()})


@pytest.mark.parametrize(
    ("outcome", "runs", "place", "fate"),
    [
        ("answered", 1, "", ANSWERED),
        ("answered", 1, "unacked", ANSWERED),
        ("answered", 2, "", TWICE),
        ("WorkerLostError", 1, "", "raised WorkerLostError"),
        ("", 0, "queue", "left in the queue"),
        ("", 0, "unacked", "left unacknowledged"),
        ("", 1, "unacked", "left unacknowledged"),
        ("", 0, "", LOST),
        ("", 1, "", NO_ANSWER),
    ],
)
def test_a_request_has_one_fate(outcome: str, runs: int, place: str, fate: str) -> None:
    assert fate_of(outcome, runs, place) == fate


GRAVE = {
    DIED: replace(WELL, died="exit 1", replies=None),
    NEVER: replace(WELL, taken_s=None),
    STOPS: fates(prefetched=[LOST], queued=["left in the queue"]),
    f"{AGAIN}, loses requests": fates(prefetched=[ANSWERED, LOST, TWICE]),
    f"{AGAIN}, leaves requests behind": fates(prefetched=[ANSWERED, TWICE, "left unacknowledged"]),
    f"{AGAIN}, repeats requests": fates(in_flight=[TWICE], queued=["raised KeyError"]),
    f"{AGAIN}, requests fail": replace(fates(in_flight=["raised KeyError"]), replies=False),
    f"{AGAIN}, no control": replace(WELL, replies=False),
    AGAIN: WELL,
}


@pytest.mark.parametrize("word", VERDICTS)
def test_the_gravest_that_holds_is_the_verdict(word: str) -> None:
    assert verdict(GRAVE[word]) == word


def test_a_request_that_was_begun_and_has_no_answer_yet_is_not_called_lost() -> None:
    assert verdict(fates(in_flight=[NO_ANSWER])) == f"{AGAIN}, leaves requests behind"


def test_what_only_the_server_had_is_not_held_against_the_worker_if_the_server_lost_it() -> None:
    queued, held = fates(queued=[LOST], prefetched=[ANSWERED]), fates(queued=[ANSWERED], prefetched=[LOST])
    assert verdict(replace(queued, server_lost_its_data=True)) == AGAIN
    assert verdict(queued) == f"{AGAIN}, loses requests"
    assert verdict(replace(held, server_lost_its_data=True)) == f"{AGAIN}, loses requests"
    assert "queued: 1 of 1 lost" in detail(replace(queued, server_lost_its_data=True)), "it is told all the same"


def test_of_outages_in_a_row_the_gravest_counts_and_the_slowest_of_those() -> None:
    quick, slow, never = replace(WELL, taken_s=0.1), replace(WELL, taken_s=9.0), replace(WELL, taken_s=None)
    assert gravest([quick, slow, quick]) == replace(slow, outages=3)
    assert gravest([slow, never]) == replace(never, outages=2)


def test_the_words_say_what_was_seen_of_each_place_and_leave_out_what_there_was_not() -> None:
    said = detail(replace(fates(in_flight=[ANSWERED], prefetched=[], sent_after=[ANSWERED, LOST]), after_the_running_one=True))
    assert said == (
        "it consumed again once the request in flight had ended; in flight: 1 of 1 answered; "
        "sent after: 1 of 2 answered, 1 of 2 lost; ping: answered"
    )
    silent = detail(replace(WELL, taken_s=None, replies=False, outages=2))
    assert silent.startswith("2 outages in a row; nothing was taken from the broker within 75 s")
    assert silent.endswith("ping: no reply to 3")
    assert "ping" not in detail(GRAVE[DIED])


def test_a_moment_after_the_brokers_return_is_looked_for_and_none_before_it() -> None:
    assert first_after([1.0, 2.0, 3.0], 2.0) == 3.0
    assert first_after([], 2.0) is None


def test_a_batch_without_a_request_in_flight_has_no_number_for_it() -> None:
    assert Batch(after=[4, 5]).all == [4, 5]
    assert Batch(running=0, queued=[1]).all == [0, 1]


def test_every_outage_meets_an_idle_worker_and_busy_ones_that_acknowledge_early_and_late() -> None:
    for name in NAMES:
        idle, early, late = (CONTRACTS[wanted].measure.keywords for wanted in (f"idle-{name}", name, f"{name}-late"))  # type: ignore[attr-defined]
        assert (early["settings"], late["settings"]) == ({}, {"task_acks_late": True})
        assert idle["forgets"] is early["forgets"] is late["forgets"] is (name == "restart-lost")
        assert idle["in_a_row"] == (1 if name in ("partition", "half-open") else IN_A_ROW)


def test_the_request_in_flight_outlasts_the_outage() -> None:
    longest = {"blip": 0.0, "restart-kept": outages.DOWN_S, "restart-lost": outages.DOWN_S, "partition": outages.PARTITION_S}
    longest["half-open"] = 0.0
    assert set(longest) == set(NAMES)
    for name, away_s in longest.items():
        assert CONTRACTS[name].measure.keywords["run_s"] > away_s + 5.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_rabbitmq_has_the_same_outages_and_waits_for_longer_than_its_heartbeats_take(name: str) -> None:
    for suffix, settings in (("", {}), ("-late", {"task_acks_late": True})):
        found = CONTRACTS[f"rabbitmq-{name}{suffix}"].measure.keywords  # type: ignore[attr-defined]
        assert found["settings"] == settings
        assert found["forgets"] is (name == "restart-lost")
    assert f"rabbitmq-idle-{name}" in CONTRACTS
    assert rabbit.AWAY_LIMIT_S > 3 * 60.0


def test_a_call_outlasts_what_rabbitmq_bears_with() -> None:
    for name in ("ack-timeout", "ack-timeout-late", "heartbeat", "heartbeat-late"):
        found = CONTRACTS[f"rabbitmq-{name}"].measure.keywords  # type: ignore[attr-defined]
        assert 3 * rabbit.HEARTBEAT_S < found["run_s"] < rabbit.LONG_CALL_S
    assert CONTRACTS["rabbitmq-heartbeat"].measure.keywords["settings"] == {"broker_heartbeat": 4}  # type: ignore[attr-defined]


class Table:
    """A Valkey with one message in the queue and one that was handed out."""

    def lrange(self, *_: object) -> list[bytes]:
        return [b'{"id": "a"}']

    def hvals(self, *_: object) -> list[bytes]:
        return [b'[{"id": "b"}, "", "q"]']


@pytest.mark.parametrize(("handed_out", "elsewhere"), [(1, "unacked"), (0, "")])
def test_where_a_message_is_is_told_by_id_or_by_what_is_handed_out_at_all(
    handed_out: int, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {0: "a", 1: "b", 2: "c"}
    assert places.in_valkey(Table(), "q", ids) == {0: "queue", 1: "unacked", 2: ""}
    server = RabbitMQ("amqp://mq//")
    monkeypatch.setattr(rabbitmq_view, "waiting", lambda *_: ["a"])
    monkeypatch.setattr(rabbitmq_view.View, "depth", lambda *_: (1, handed_out))
    assert places.in_rabbitmq(server, "q", ids) == {0: "queue", 1: elsewhere, 2: elsewhere}

    def lost(*_: object) -> list[str]:
        raise OSError

    monkeypatch.setattr(rabbitmq_view, "waiting", lost)
    assert places.in_rabbitmq(server, "q", ids) is None


def test_a_relay_keeps_the_user_and_the_password() -> None:
    assert outside.through("user:p@ss@127.0.0.1:6379", 7000) == "user:p@ss@127.0.0.1:7000"
