"""The application's own messages: what was counted from their making is counted from their sending."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.applications.probe import messages
from harness.applications.probe.learn import Facts
from harness.applications.probe.messages import Template, template
from harness.client import rebase
from harness.errors import BadInput
from harness.trial.application import Limits
from harness.worker import contract

MADE_S = 1_800_000_000.0
OWN = {"soft_s": 30.0, "hard_s": 60.0, "rate_per_s": 0.1, "acks_late": True}


def at(offset_s: float) -> str:
    return datetime.fromtimestamp(MADE_S + offset_s, UTC).isoformat()


def made(utc_offset_s: float = 0.0, **headers: Any) -> Template:
    found = {"headers": {"id": contract.PLACEHOLDER, "eta": None, "expires": None, **headers}, "properties": {}, "body": "b"}
    return template(json.dumps(found).encode(), made_s=MADE_S, utc_offset_s=utc_offset_s)


def headers(one: Template, now_s: float) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rebase.fill(one.text, now_s))["headers"]
    return found


def test_an_expiry_is_counted_from_when_a_message_is_sent() -> None:
    one = made(expires=at(15.0))
    assert headers(one, MADE_S + 600.0) == {"id": contract.PLACEHOLDER, "eta": None, "expires": at(615.0)}
    assert messages.said([one, made(expires=at(15.02))]) == [
        "each message expires 15 s after it is sent, as the application has it"
    ]


def test_a_message_that_is_put_off_is_put_off_again_at_each_send() -> None:
    one = made(eta=at(2.5), expires=at(60.0))
    assert headers(one, MADE_S + 1.0)["eta"] == at(3.5)
    assert "each message is put off for 2.5 s" in "; ".join(messages.said([one]))


def test_a_moment_without_a_zone_is_in_the_applications_own() -> None:
    naive = (datetime.fromtimestamp(MADE_S + 15.0, UTC) + timedelta(hours=2)).replace(tzinfo=None).isoformat()
    assert made(expires=naive, utc_offset_s=7200.0).offsets_s == {"expires": 15.0}


def test_a_message_without_moments_is_sent_as_it_is() -> None:
    one = made(timelimit=[None, None])
    assert rebase.fill(one.text, 5.0) is one.text
    assert (messages.said([one]), messages.least([one])) == ([], {})


def test_an_answer_that_a_message_asks_not_to_store_is_stored() -> None:
    one = made(ignore_result=True)
    assert headers(one, 0.0)["ignore_result"] is False
    assert "an answer that is not stored cannot be checked" in messages.said([one])[0]


def test_limits_that_a_message_brings_win_over_the_tasks_own() -> None:
    brought = messages.least([made(timelimit=[20, None]), made(timelimit=[10, None], expires=at(15.0)), made(eta=at(3.0))])
    facts = Facts(told={"limits": [OWN | brought]}, queue_keys=("celery",), messages=[])
    assert facts.limits_of == (Limits(soft_s=30.0, hard_s=10, rate_per_s=0.1, acks_late=True, expires_s=15.0, put_off_s=3.0),)


def test_what_the_application_puts_on_its_messages_is_kept_and_named() -> None:
    plain = {"headers": {"id": contract.PLACEHOLDER, "tenant": "x", "lang": "py"}, "properties": {"priority": 3}, "body": "b"}
    one = template(json.dumps(plain).encode(), made_s=MADE_S)
    sent = json.loads(rebase.fill(one.text, MADE_S))
    assert (sent["headers"]["tenant"], sent["properties"]["priority"]) == ("x", 3)
    assert messages.said([one]) == [
        "each message is sent with the application's priority: 3",
        "each message is sent with the application's own headers: tenant",
    ]


def test_a_limit_of_the_message_is_named_unless_it_is_the_tasks_own() -> None:
    one = made(timelimit=[9, 7])
    assert messages.said([one], {"hard_s": 9, "soft_s": 8}) == ["each message brings a soft time limit of 7 s, which is kept"]


def test_a_message_of_the_first_protocol_is_refused() -> None:
    with pytest.raises(BadInput, match="no id in their headers"):
        template(b'{"headers": {}, "properties": {}}', made_s=MADE_S)


def test_rows_of_several_queues_are_counted_with_an_example() -> None:
    message = json.dumps({"headers": {"argsrepr": "(3, 'gold')"}}).encode()
    assert messages.queued("gold\x06\x163", [message, message]) == "2 to gold, such as (3, 'gold')"
    assert messages.queued("standard", [b'{"headers": {}}']) == "1 to standard"
