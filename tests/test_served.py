"""Which broker and result back end serve an application, by what its settings ask for, and what is said of each difference."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from celery import Celery
from kombu import Queue

from harness.applications.probe import served, serving
from harness.applications.probe.served import RABBITMQ, REDIS, RPC, VALKEY
from harness.applications.probe.worker_line import parse
from harness.broker import rabbitmq, rabbitmq_view
from harness.broker.valkey import queue_of
from harness.client import amqp_frames, amqp_wire
from harness.client.plan import request_id
from harness.experiment.experiment import Settings
from harness.machine.processes import OwnedProcess
from harness.records.store import RunFolder
from harness.run.source import Desk
from harness.trial.application import Application
from harness.worker import app_facts, contract, own_broker
from tests.test_run_loop import NoBroker

NOT_INSTALLED = "no rabbitmq-server is installed here"
OURS = "redis://:word@127.0.0.1:7/0"


def asked(broker: str, backend: str = "redis", **more: Any) -> dict[str, Any]:
    return {"broker": broker, "backend": backend, "quorum": False, "no_redis": "", **more}


@pytest.mark.parametrize(
    ("given", "no_rabbitmq", "broker", "results", "said"),
    [
        (asked("redis"), "", VALKEY, REDIS, []),
        (asked("redis", "?"), "", VALKEY, REDIS, []),
        (asked("amqp", "rpc"), "", RABBITMQ, RPC, ["a private RabbitMQ serves, as the application asks for amqp://"]),
        (asked("pyamqp", "redis"), "", RABBITMQ, REDIS, ["a private RabbitMQ serves"]),
        (asked("amqps", "rpc"), "", RABBITMQ, RPC, ["without encryption"]),
        (asked("amqp", "redis", no_redis="none"), "", RABBITMQ, RPC, ["a private RabbitMQ", "in redis://, and in the trial"]),
        (asked("amqp", "rpc"), NOT_INSTALLED, VALKEY, REDIS, [f"Valkey serves instead, for {NOT_INSTALLED}", "messages (rpc://)"]),
        (asked("amqp", ""), "", RABBITMQ, RPC, ["a private RabbitMQ", "stores no answers"]),
        (asked("amqp", "db+postgresql"), "", RABBITMQ, RPC, ["a private RabbitMQ", "db+postgresql://, and in the trial"]),
        (asked("redis", "db+sqlite"), "", VALKEY, REDIS, ["db+sqlite://, and in the trial they go into a private Valkey"]),
        (asked("redis", "django-db"), "", VALKEY, REDIS, ["its answers in django-db, and"]),
        (asked("redis", "disabled"), "", VALKEY, REDIS, ["stores no answers"]),
        (asked("sqs"), "", VALKEY, REDIS, ["sqs://, and a private Valkey serves instead; not shown: its pace"]),
        (asked("sentinel", "sentinel"), "", VALKEY, REDIS, ["not shown: a failover", "not shown: a failover"]),
        (asked("rediss", "rediss"), "", VALKEY, REDIS, ["not shown: its encryption", "not shown: its encryption"]),
        (asked(""), "", VALKEY, REDIS, ["no setting names one"]),
        (asked("?"), "", VALKEY, REDIS, ["reads CELERY_BROKER_URL itself"]),
        (asked("redis", quorum=True), "", VALKEY, REDIS, ["quorum queues are ordinary ones here"]),
        (asked("amqp", "rpc", quorum=True), "", RABBITMQ, RPC, ["a private RabbitMQ"]),
        (asked("a\x1b[31mb"), "", VALKEY, REDIS, [r"a\x1b[31mb://"]),
    ],
)  # fmt: skip
def test_the_own_kind_serves_where_it_can_and_each_difference_is_one_line(
    given: dict[str, Any], no_rabbitmq: str, broker: str, results: str, said: list[str]
) -> None:
    found = served.of(given, no_rabbitmq)
    assert (found.broker, found.results) == (broker, results)
    assert len(found.said) == len(said)
    for line, words in zip(found.said, said, strict=True):
        assert words in line
        assert "\n" not in line
    assert found.needs_redis == (results == REDIS)


@pytest.mark.parametrize(
    ("settings", "own", "broker", "backend"),
    [
        ({"broker_url": "amqp://me:secret@mq//", "result_backend": "rpc://"}, {}, "amqp", "rpc"),
        ({"broker_url": ["sentinel://a;sentinel://b"], "result_backend": "db+sqlite:///r.db"}, {}, "sentinel", "db+sqlite"),
        ({"broker_url": "amqp://a;amqp://b", "result_backend": "cache+memcached://m"}, {}, "amqp", "cache+memcached"),
        ({}, {}, "", ""),
        ({"broker_url": OURS, "result_backend": OURS}, {}, "?", "?"),
        ({"broker_url": "redis://a", "result_backend": "disabled"}, {"broker": "amqp"}, "amqp", "disabled"),
    ],
)
def test_what_the_settings_ask_for_is_seen_behind_the_variables_that_name_ours(
    settings: dict[str, Any], own: dict[str, str], broker: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in own_broker.VARIABLES.values():
        monkeypatch.setenv(name, OURS)
    with Celery("shop", set_as_current=False) as app:
        app.conf.update(settings)
        assert app.conf.broker_url == app.conf.result_backend == OURS
        found = own_broker.asked(app.conf, own)  # type: ignore[no-untyped-call]
    assert (found["broker"], found["backend"]) == (broker, backend)
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize(
    ("settings", "quorum"),
    [
        ({}, False),
        ({"task_queues": [Queue("a"), Queue("b", queue_arguments={"x-queue-type": "quorum"})]}, True),
        ({"task_queues": {"a": {"queue_arguments": {"x-queue-type": "quorum"}}, "b": {}}}, True),
        ({"task_default_queue_type": "quorum"}, True),
    ],
)
def test_a_quorum_queue_is_seen(settings: dict[str, Any], quorum: bool) -> None:
    with Celery("shop", set_as_current=False) as app:
        app.conf.update(settings)
        assert own_broker.quorum(app.conf) is quorum  # type: ignore[no-untyped-call]


def test_variables_and_a_pasted_line_name_the_kind_and_nothing_else() -> None:
    named = own_broker.named({"CELERY_BROKER_URL": "redis://a", "BROKER_URL": "amqp://me:secret@b", "RESULT_BACKEND": "rpc://"})
    assert named == {"broker": "amqp", "backend": "rpc"}
    assert own_broker.named({"CELERY_BROKER_URL": "", "HOME": "/"}) == {}
    line = parse("celery -A p -b amqp://me:secret@mq// --result-backend rpc:// worker")
    assert line.servers == {"broker": "amqp", "backend": "rpc"}


def test_the_options_of_a_redis_are_kept_but_for_a_sentinels_and_what_names_lists() -> None:
    with Celery("shop", set_as_current=False) as app:
        given = {"global_keyprefix": "shop-", "sep": ":", "master_name": "m", "visibility_timeout": 9}
        app.conf.update(broker_transport_options=given, result_backend_transport_options={"global_keyprefix": "shop"})
        values, said = app_facts.settings(app.conf)  # type: ignore[no-untyped-call]
        prefixes = [app_facts.prefix(app.conf, name) for name in app_facts.TRANSPORT_OPTIONS]  # type: ignore[no-untyped-call]
    assert values["broker_transport_options"] == {"global_keyprefix": "shop-", "visibility_timeout": 9}
    assert values["result_backend_transport_options"] == {"global_keyprefix": "shop"}
    assert [line for line in said if "without" in line] == [
        "broker_transport_options without master_name: they are for a sentinel, or another machine",
        "broker_transport_options without sep: in the private broker, lists of a priority have the names that kombu gives them",
    ]
    assert prefixes == ["shop-", "shop_"]
    assert queue_of("shop-celery\x06\x163", "shop-") == "celery"


def test_a_worker_is_led_to_its_broker_and_its_back_end() -> None:
    own = {"BROKER_URL": "amqp://theirs", "RESULT_BACKEND": "db+sqlite:///theirs", "MODE": "fast"}
    here = Path("/somewhere")
    application = Application(app="a", tasks=("t",), python=here, folder=here, own_variables=own, rows=here, results="rpc://")
    found = application.variables("amqp://ours")
    assert "theirs" not in json.dumps(found)
    assert (found["CELERY_BROKER_URL"], found["BROKER_URL"]) == ("amqp://ours", "amqp://ours")
    assert (found["CELERY_RESULT_BACKEND"], found["RESULT_BACKEND"]) == ("rpc://", "rpc://")
    assert application.stored_in == ""


@pytest.mark.parametrize("held", [False, True], ids=["a verb that starts nothing", "a server that does not start"])
def test_where_no_rabbitmq_can_be_started_valkey_serves_and_it_is_said_why(
    held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "rabbitmq-server"
    script.write_text("#!/bin/sh\necho no Erlang; exit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(rabbitmq, "program", lambda: script)
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        desk = Desk(
            folder=RunFolder(tmp_path), scratch=tmp_path, server=NoBroker(), settings=Settings(), say=said.append,
            interrupted=bool, held=stack if held else None,
        )  # fmt: skip
        found = serving.opened(asked("amqp", "rpc"), desk)
    assert found.broker is desk.server
    assert found.served.broker == VALKEY
    assert (found.shown, found.key) == ("embedded valkey", {})
    why = serving.NOT_STARTED if held else serving.NOT_HERE
    assert any(f"a private Valkey serves instead, for {why}" in line for line in said)
    assert found.as_json["said"] == list(found.served.said)


class Started:
    """What is known of a RabbitMQ, and a process of its own kind: it runs until it is killed."""

    version = "3.10.8"

    def __init__(self, folder: Path) -> None:
        self.process = OwnedProcess(["sleep", "60"], log=folder / "log", env={"PATH": os.environ["PATH"]})
        self.url = "amqp://ours"


def test_one_rabbitmq_serves_all_runs_of_a_search_and_another_one_if_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Path, Started]] = []

    @contextlib.contextmanager
    def embedded(folder: Path, stopped: object) -> Iterator[Started]:
        started.append((folder, server := Started(folder)))
        try:
            yield server
        finally:
            server.process.kill()

    monkeypatch.setattr(rabbitmq, "embedded", embedded)
    monkeypatch.setattr(rabbitmq, "lacking", lambda: "")
    said: list[str] = []

    def desk(run: contextlib.ExitStack) -> Desk:
        return Desk(
            folder=RunFolder(tmp_path), scratch=tmp_path / "scratch", server=NoBroker(), settings=Settings(), say=said.append,
            interrupted=bool, held=run,
        )  # fmt: skip

    with contextlib.ExitStack() as search:
        with contextlib.ExitStack() as run:
            first = serving.opened(asked("amqp", "rpc"), desk(run), search)
        with contextlib.ExitStack() as run:
            second = serving.again(first, desk(run), search)
        assert (second.broker, len(started), len(said)) == (first.broker, 1, 2), "it is said once, too"
        assert tmp_path / "scratch" not in started[0][0].parents, "the scratch folder of a run goes with the run"
        started[0][1].process.kill()
        with contextlib.ExitStack() as run:
            serving.again(second, desk(run), search)
        assert len(started) == 2
    assert all(server.process.poll() is not None and not folder.exists() for folder, server in started)


def message(headers: dict[str, Any], body: bytes = b"[[1], {}, {}]") -> amqp.Message:
    found = amqp.Message(
        body, content_type="application/json", content_encoding="utf-8", application_headers=headers, delivery_mode=2,
        priority=3, correlation_id=contract.PLACEHOLDER, reply_to="theirs",
    )  # fmt: skip
    found.delivery_info = {"exchange": "shop", "routing_key": "prices"}
    return found


@pytest.mark.parametrize("body", [b"[[1], {}, {}]", b"", b"\x00\xff" * 100_000], ids=["small", "empty", "many frames"])
def test_a_message_of_a_rabbitmq_is_published_as_it_was_found_but_for_its_id_and_where_it_is_answered(body: bytes) -> None:
    headers = {"id": contract.PLACEHOLDER, "task": "shop.price", "timelimit": [None, 2], "eta": None, "own": {"a": 1}}
    text = rabbitmq_view.enveloped(message(headers, body)).decode()
    assert base64.b64decode(json.loads(text)["body"]) == body
    connection = SimpleNamespace(frame_max=131_072, bytes_sent=0)
    frames = amqp_wire.framed(connection, text.replace(contract.PLACEHOLDER, amqp_wire.STAND_IN), "replies")
    number = request_id("a" * 24, 7)
    found = read(frames.replace(amqp_wire.STAND_IN.encode(), number.encode()))
    assert found.headers == {**headers, "id": number}
    assert (found.body.encode() if isinstance(found.body, str) else bytes(found.body)) == body
    kept = {name: found.properties[name] for name in ("correlation_id", "reply_to", "delivery_mode", "priority")}
    assert kept == {"correlation_id": number, "reply_to": "replies", "delivery_mode": 2, "priority": 3}


def read(frames: bytes) -> amqp.Message:
    """What py-amqp makes of the frames of a basic.publish."""
    from amqp.method_framing import frame_handler

    came: list[amqp.Message] = []
    connection = SimpleNamespace(bytes_recv=0)
    handle = frame_handler(connection, lambda channel, method, payload, content: came.append(content))
    at = 0
    while at < len(frames):
        kind, channel, size = amqp_frames.HEADER.unpack_from(frames, at)
        payload = frames[at + 7 : at + 7 + size]
        if kind == 1:  # a client handles no publish: its content is told like that of a delivery
            payload = payload[:2] + b"\x00\x3c" + payload[4:]
        handle((kind, channel, payload))
        assert frames[at + 7 + size] == 0xCE
        at += 8 + size
    (found,) = came
    return found


def test_without_a_server_or_erlang_it_is_said_why_there_is_no_rabbitmq(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rabbitmq, "SCRIPTS", tmp_path)
    monkeypatch.setattr(rabbitmq, "ELSEWHERE", str(tmp_path))
    assert rabbitmq.lacking() == NOT_INSTALLED
    script = tmp_path / "rabbitmq-server"
    script.touch(mode=0o755)
    assert (rabbitmq.program() == script) == (os.path.exists("/usr/bin/erl") or os.path.exists("/usr/local/bin/erl"))
