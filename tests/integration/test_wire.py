"""What a worker gets from our client, does for it, and stores, is what it would for Celery's own."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from celery import Celery

from harness import broker
from harness.client.own_message import MARK
from harness.client.plan import request_id
from harness.client.wire import Wire
from harness.environments import Environment
from harness.proof.instrument import rig
from harness.proof.instrument.rig import QUEUE
from harness.worker import contract
from tests.waiting import wait_until


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """A broker message with what differs from request to request, and from client to client, taken out."""
    body = json.loads(base64.b64decode(message["body"]))
    text = json.dumps({**message, "body": body}, sort_keys=True).replace(message["headers"]["id"], "ID")
    found: dict[str, Any] = json.loads(text)
    found["properties"] |= {"delivery_tag": "TAG", "reply_to": "CLIENT"}
    found["headers"]["origin"] = "CLIENT"
    return found


def shape(value: Any) -> Any:
    """A value's keys and types; numbers of a kind count as equal."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value] if isinstance(value, list) else type(value).__name__


@pytest.fixture
def user(tmp_path: Path) -> Iterator[tuple[str, Celery]]:
    """A broker's URL, and a user's own Celery client on it."""
    with (
        broker.embedded(tmp_path / "broker") as server,
        Celery("user", broker=server.url, backend=server.url, set_as_current=False) as app,
    ):
        yield server.url, app


@pytest.mark.parametrize("kept", [False, True])
def test_the_messages_are_those_that_celerys_own_client_sends(user: tuple[str, Celery], tmp_path: Path, kept: bool) -> None:
    url, app = user
    file = tmp_path / "message.json"
    if kept:  # by a run before this one, on another queue
        Wire(url, "another", kept=str(file)).close()
        assert file.exists()
    wire = Wire(url, "mine", kept=str(file) if kept else "")
    wire.publish([(5, 12)])
    assert wait_until(lambda: wire.take(0.1).confirmed)
    app.send_task(contract.PREDICT_TASK, args=[5, 12], queue="mine", serializer="json")
    ours, theirs = (broker.client(url).rpop("mine") for _ in range(2))
    wire.close()
    assert MARK.encode() not in ours
    assert plain(json.loads(ours)) == plain(json.loads(theirs))


def test_a_burst_is_delivered_in_order_and_withdrawn_whole(user: tuple[str, Celery]) -> None:
    url, _ = user
    wire = Wire(url, "mine")
    wire.publish([(number, 0) for number in range(300)])
    assert wait_until(lambda: wire.queued() == 300)
    first = json.loads(broker.client(url).rpop("mine"))
    assert json.loads(base64.b64decode(first["body"]))[0] == [0, 0]
    assert sorted(wire.withdraw()) == list(range(1, 300))
    assert wire.queued() == 0
    wire.close()


def test_a_broker_that_is_gone_is_an_error_and_no_silence(user: tuple[str, Celery]) -> None:
    url, _ = user
    wire = Wire(url, "mine")
    broker.client(url).client_kill_filter(_type="pubsub", skipme=False)
    with pytest.raises(redis.ConnectionError):
        wait_until(lambda: wire.take(0.1) is None)


def test_what_other_tasks_wait_in_the_broker_is_told_by_queue_and_task(user: tuple[str, Celery]) -> None:
    url, app = user
    wire = Wire(url, "celery")
    wire.publish([(0, 0), (1, 0)])
    assert wait_until(lambda: wire.take(0.1).confirmed)
    for queue, priority in (("celery", 0), ("bulk", 0), ("bulk", 6)):
        app.send_task("shop.index", args=[1], queue=queue, priority=priority)
    connection = broker.client(url)
    connection.lpush("a-list-of-the-application's", "no JSON", "[1]", '{"headers": null}')
    ours = request_id(wire.prefix, 0)[:-8]
    assert {(one.queue, one.task, one.waiting, one.reserved) for one in broker.backlog(connection, ours)} == {
        ("celery", "shop.index", 1, 0),
        ("bulk", "shop.index", 2, 0),
    }
    message = json.loads(connection.rpop("bulk"))
    connection.hset("unacked", "tag", json.dumps([message, "", "bulk"]))
    (bulk,) = [one for one in broker.backlog(connection, ours) if one.queue == "bulk"]
    assert (bulk.waiting, bulk.reserved) == (1, 1)
    wire.close()


def test_an_answer_larger_than_the_server_keeps_for_a_slow_reader_arrives(user: tuple[str, Celery]) -> None:
    """40 MB; Valkey cuts a subscriber off that is 32 MB behind, if it is not told otherwise."""
    url, _ = user
    wire = Wire(url, "mine")
    said = json.dumps({"status": "SUCCESS", "result": "x" * 40_000_000})
    assert broker.client(url).publish(f"celery-task-meta-{request_id(wire.prefix, 7)}", said) == 1
    answers: list[tuple[int, bytes]] = []
    assert wait_until(lambda: answers.extend(wire.take(0.1).answers) or answers)
    wire.close()
    assert [(number, len(json.loads(raw)["result"])) for number, raw in answers] == [(7, 40_000_000)]


class Ear:
    """All commands that the broker gets, (port of the sender, 0 for a script, command), as MONITOR tells them."""

    def __init__(self, url: str) -> None:
        self.heard: list[tuple[int, str]] = []
        self._monitor = redis.Redis.from_url(url).monitor()
        self._monitor.__enter__()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            for one in self._monitor.listen():
                self.heard.append((int(one["client_port"] or 0), one["command"]))
        except redis.RedisError:
            return  # the broker has ended


def by_connection(heard: list[tuple[int, str]], ports: set[int], names: tuple[str, str]) -> list[list[Any]]:
    """What the worker's connections said of one request, each connection's in order, what differs between requests taken out.

    `names`: the request's id, and its delivery's tag. Polls, heartbeats and the like name neither. A transaction that names
    one is kept whole.
    """
    found: dict[int, list[list[str]]] = {}
    for port, text in heard:
        if port in ports:
            groups = found.setdefault(port, [])
            inside = bool(groups) and groups[-1][0] == "MULTI" and groups[-1][-1] != "EXEC"
            groups[-1].append(text) if inside else groups.append([text])
    kept = [[group for group in groups if any(name in text for text in group for name in names)] for groups in found.values()]
    return sorted(([normal(text) for group in groups for text in group] for groups in kept if groups), key=str)


def tag_of(task_id: str, heard: list[tuple[int, str]]) -> str:
    """The delivery's tag in kombu's table of unacknowledged messages."""
    return next(text.split(" ")[2] for _, text in heard if text.startswith("HSET unacked") and task_id in text)


def normal(text: str) -> Any:
    """A command without ids and moments: its JSON by keys and types, a message as `plain` has it."""
    words = text.split(" ")
    if words[0] == "HSET":
        return ["HSET", words[1], plain(json.loads(text.split(" ", 3)[3])[0])]
    if words[0] in ("SETEX", "PUBLISH"):
        key, value = words[1], text[text.index("{") :]
        return [words[0], key.rpartition("meta-")[0], words[2] if words[0] == "SETEX" else "", shape(json.loads(value))]
    return words[:2] if len(words) > 2 else [word.rpartition("meta-")[0] or word for word in words]


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_does_for_our_request_what_it_does_for_a_users(
    pool: str, tmp_path: Path, celery_environment: Environment
) -> None:
    with rig.opened(tmp_path) as bench, bench.worker(celery_environment, pool=pool) as worker:
        ear, connection = Ear(bench.url), broker.client(bench.url)

        def settled() -> bool:
            """The request is acknowledged, and all that was said of it has been heard."""
            time.sleep(0.3)
            return not connection.hlen("unacked") and not connection.llen(QUEUE)

        with Celery("user", broker=bench.url, backend=bench.url, set_as_current=False) as app:
            wire = Wire(bench.url, QUEUE)
            app.send_task(contract.PREDICT_TASK, args=[0, 5], queue=QUEUE).get(timeout=60)  # makes its connections
            assert wait_until(settled)
            begun = len(ear.heard)
            wire.publish([(0, 5)])
            answers: list[tuple[int, bytes]] = []
            assert wait_until(lambda: answers.extend(wire.take(0.1).answers) or answers)
            assert wait_until(settled)
            middle = len(ear.heard)
            theirs = app.send_task(contract.PREDICT_TASK, args=[0, 5], queue=QUEUE, serializer="json")
            told = theirs.get(timeout=60)
            assert wait_until(settled)
            stored = connection.get(f"celery-task-meta-{theirs.id}")
            wire.close()
        family = [psutil.Process(worker.process.pid), *psutil.Process(worker.process.pid).children(recursive=True)]
        ports = {one.laddr.port for process in family for one in process.net_connections(kind="tcp") if one.laddr}
        ours, users = (
            by_connection(heard, ports, (name, tag_of(name, heard)))
            for heard, name in ((ear.heard[begun:middle], request_id(wire.prefix, 0)), (ear.heard[middle:], theirs.id))
        )
    assert {command[0] for commands in ours for command in commands} >= {"HSET", "HDEL", "GET", "SETEX", "PUBLISH"}
    assert ours == users
    assert shape(json.loads(answers[0][1])) == shape(json.loads(stored))
    assert json.loads(answers[0][1])["result"][contract.ANSWER] == told[contract.ANSWER]
