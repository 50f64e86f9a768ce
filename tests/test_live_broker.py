"""What `harness why` reads of a broker's messages and of a worker's place: over a stand-in for Redis, and plain values."""

from __future__ import annotations

import base64
import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
import redis

from harness.errors import NothingMatches
from harness.live import broker_look, choose, find, message, screen, scripts, versions, whereabouts
from harness.live.broker_look import Broker
from harness.live.executor import State
from harness.live.find import Worker
from tests.test_live import child, said, seen

HEADERS = {"id": "a", "task": "shop.price", "eta": None, "argsrepr": "('secret',)"}


def raw(name: str = "a", **headers: Any) -> str:
    return json.dumps({"body": "", "headers": {**HEADERS, "id": name, **headers}, "properties": {}})


class Redis:
    """As much of a server as is asked: lists, one table of what is handed out, results; `clients` as CLIENT LIST has them."""

    def __init__(self, lists: dict[str, list[str]] | None = None, **more: Any) -> None:
        self.lists, self.handed = lists or {}, more.get("handed", {})
        self.results, self.clients, self.fails = more.get("results", {}), more.get("clients", []), more.get("fails")
        #: by prefix, the node whose control queue is bound there; the separator; where a scan goes on, if it never ends
        self.nodes, self.mark, self.cursor = more.get("nodes", {"": ""}), more.get("mark", "\x06\x16"), more.get("cursor", 0)
        self.asked: list[str] = []
        self.queued: list[Any] = []
        self.connection_pool = type("Pool", (), {"connection_kwargs": {"db": 0}})

    def scan(self, cursor: int, match: str, count: int) -> tuple[int, list[bytes]]:
        if self.fails:
            raise self.fails
        keys = [f"{prefix}_kombu.binding.{name}" for prefix in self.nodes for name in ("celery", "celery.pidbox")]
        keys += self.results if "meta" in match else ()
        found = [key.encode() for key in keys if match.strip("*") in key]
        return self.cursor, found

    def type(self, key: bytes | str) -> bytes:
        return b"set" if isinstance(key, bytes) else b"string"

    def smembers(self, key: bytes) -> set[bytes]:
        prefix, mark = key.decode().partition("_kombu")[0], self.mark
        others = tuple(one for one in self.nodes if len(one) > len(prefix))
        lists = [name for name in self.lists if name.startswith(prefix) and not (others and name.startswith(others))]
        names = {name.removeprefix(prefix).partition(mark)[0] for name in lists}
        return {f"{name}{mark}{mark}{name}".encode() for name in names}

    def sismember(self, key: str, member: str) -> bool:
        node = self.nodes.get(key.removesuffix("_kombu.binding.celery.pidbox"), "")
        return bool(node) and member == f"{self.mark}{self.mark}{node}.celery.pidbox"

    def llen(self, key: str) -> int:
        return len(self.lists.get(key, ()))

    def lrange(self, key: str, start: int, end: int) -> list[bytes]:
        found = self.lists.get(key, [])
        self.asked.append(f"lrange {start} {end}")
        return [one.encode() for one in found[max(0, len(found) + start) : len(found) + end + 1]]

    def hscan(self, key: str, cursor: int, count: int) -> tuple[int, dict[bytes, bytes]]:
        return 0, {tag.encode(): text.encode() for tag, text in self.handed.items()}

    def hmget(self, key: str, tags: list[bytes]) -> list[bytes | None]:
        return [self.handed[tag.decode()].encode() for tag in tags]

    def zscore(self, key: str, tag: bytes) -> float:
        return 900.0

    def time(self) -> tuple[int, int]:
        return 1000, 0

    def exists(self, key: str) -> bool:
        return key in self.results or key.removesuffix("_kombu.binding.celery") in self.nodes

    def strlen(self, key: str) -> int:
        return len(self.results[key])

    def get(self, key: str) -> bytes:
        found: bytes = self.results[key]
        return found

    def close(self) -> None:
        pass

    def pipeline(self, transaction: bool) -> Pipeline:
        assert transaction
        return Pipeline(self)


class Pipeline:
    def __init__(self, server: Redis) -> None:
        self.server, self.answers = server, list[Any]()
        self.keys = server.asked

    def client_list(self) -> None:
        self.answers.append(self.server.clients)

    def zrange(self, key: str, start: int, end: int, withscores: bool) -> None:
        self.keys.append(key)
        self.answers.append([(tag.encode(), 900.0) for tag in self.server.handed])

    def zcard(self, key: str) -> None:
        self.answers.append(len(self.server.handed))

    def llen(self, key: str) -> None:
        self.answers.append(self.server.llen(key))

    def execute(self, raise_on_error: bool) -> list[Any]:
        return self.answers


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(server: Redis) -> Redis:
        monkeypatch.setattr(broker_look, "_client", lambda url: server)
        return server

    return start


URL = "redis://:secret@b:6379/0"
IDLE = [said(seen(child()))]
HANDED = {"tag": json.dumps([json.loads(raw()), "", "celery"])}


def test_a_look_counts_every_priority_and_names_what_is_handed_out(serve: Any) -> None:
    clients = [
        {"addr": "1.1.1.1:5", "cmd": "BRPOP", "flags": "b", "idle": "0", "db": "0", "name": ""},
        {"addr": "1.1.1.1:6", "cmd": "get", "flags": "N", "idle": "7", "db": "3", "name": "", "sub": "1", "psub": "2"},
        {"addr": "1.1.1.1:7", "cmd": "client|list", "flags": "N", "name": "harness"},
    ]
    serve(Redis({"celery": [raw()], "celery\x06\x169": [raw(), raw()]}, handed=HANDED, clients=clients))
    look = Broker(URL).look()
    assert (look.answers, dict(look.queues)["celery"], look.unacked) == (True, 3, 1)
    assert [(one.id, one.queue) for one in look.handed] == [("a", "celery")]
    assert [(one.command, one.blocked, one.near, one.subscribed) for one in look.connections] == [
        ("brpop", True, True, 0), ("get", False, False, 3),
    ]  # fmt: skip


def test_the_keys_under_a_prefix_are_counted_there(serve: Any) -> None:
    lists = {"shop:celery": [raw()], "shop:celery\x06\x165": [raw(), raw()]}
    server = serve(Redis(lists, handed=HANDED, nodes={"shop:": ""}))
    look = Broker(URL, ("celery",)).look()
    assert (dict(look.queues), look.unacked, look.prefixed) == ({"celery": 3}, 1, False)
    assert server.asked == ["shop:unacked_index"]
    assert [one.id for one in look.handed] == ["a"]
    assert whereabouts.place("a", IDLE, URL).where == "handed-out"


@pytest.mark.parametrize(
    ("nodes", "counted"),
    [
        ({"": "celery@other", "shop:": "web@box"}, {"celery": 1}),
        ({"": "web@box", "shop:": "celery@other"}, {"celery": 2}),
        ({"": "web@box", "shop:": "web@box"}, None),
        ({"": "", "shop:": ""}, None),
    ],
)
def test_of_several_prefixes_that_counts_under_which_the_workers_node_is_bound(
    nodes: dict[str, str], counted: Any, serve: Any
) -> None:
    serve(Redis({"shop:celery": [raw()], "celery": [raw(), raw()]}, nodes=nodes))
    look = Broker(URL, ("celery",), ("web@box",)).look()
    assert (look.prefixed, look.prefixes) == ((False, ()) if counted else (True, ("", "shop:")))
    assert dict(look.queues) == (counted or {})


def test_a_large_database_in_which_no_binding_was_found_has_no_empty_queue(serve: Any) -> None:
    serve(Redis({"shop:celery": [raw()]}, nodes={}, cursor=7))
    look = Broker(URL, ("celery",), ("web@box",)).look()
    assert (look.prefixed, look.whole) == (True, False)
    serve(Redis({"celery": [raw()]}, nodes={"": "web@box"}, cursor=7))
    look = Broker(URL, ("celery",), ("web@box",)).look()
    assert (look.prefixed, look.whole, dict(look.queues)) == (False, False, {"celery": 1})


def test_what_cannot_be_counted_is_not_shown_as_nothing() -> None:
    told = {"url": "redis://b/0", "answers": True, "queues": None, "unacked": None, "asks": True}
    said_ = screen.broker_of(replace(IDLE[0], broker=told))
    assert said_ == "redis://b/0: what waits for it cannot be told; the worker asks for work"


def test_another_separator_is_told_by_the_bindings(serve: Any) -> None:
    serve(Redis({"celery": [raw()], "celery:9": [raw(), raw()]}, mark=":"))
    assert dict(Broker(URL).look().queues) == {"celery": 3}


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (redis.ConnectionError("Error 111 connecting"), False),
        (redis.TimeoutError("Timeout"), False),
        (redis.ConnectionError("max number of clients reached"), True),
        (redis.AuthenticationError("invalid username-password pair"), True),
        (redis.BusyLoadingError("loading"), True),
    ],
)
def test_an_error_of_the_broker_is_an_answer(serve: Any, error: Exception, refused: bool) -> None:
    serve(Redis(fails=error))
    look = Broker(URL).look()
    assert (look.answers, look.refused, look.why) == (False, refused, str(error))


def test_a_broker_of_another_kind_is_not_asked() -> None:
    assert Broker("amqp://guest@b//").look().answers is None


def test_a_body_is_never_unpickled_and_arguments_are_not_kept() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return pytest.fail, ("it was unpickled",)

    body = base64.b64encode(pickle.dumps(Evil())).decode()
    text = json.dumps({"body": body, "content-type": "application/x-python-serialize", "headers": HEADERS, "properties": {}})
    found = message.parse(text)
    assert found is not None
    assert "secret" not in repr(found)


def test_the_first_protocol_has_the_id_in_its_body() -> None:
    body = base64.b64encode(b'{"id": "old", "task": "shop.price", "args": [1]}').decode()
    text = {"body": body, "content-type": "application/json", "headers": {}, "properties": {"body_encoding": "base64"}}
    found = message.parse(json.dumps(text))
    assert (found.id, found.task) == ("old", "shop.price") if found else None
    assert message.parse(json.dumps({**text, "content-type": "application/x-python-serialize"})) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "{", '{"headers": 7, "body": 7}', "[" * 100_000, "x" * (message.MOST_BYTES + 1)]
)
def test_what_is_no_message_is_left_out(text: str) -> None:
    assert message.parse(text) is None
    assert message.handed(text, None) is None


def test_a_request_that_an_executor_runs_is_told_from_its_report() -> None:
    found = whereabouts.place("id-60", IDLE, "")
    assert (found.where, found.state, "process 60 of worker 50 runs it" in found.said) == ("running", State.STUCK, True)


def test_a_request_that_is_handed_out_is_told_with_its_age(serve: Any) -> None:
    serve(Redis(handed=HANDED))
    found = whereabouts.place("a", IDLE, URL)
    assert (found.where, "100 s ago" in found.said, found.state) == ("handed-out", True, State.WAITING)


def test_a_request_that_waits_has_a_place_in_the_line(serve: Any) -> None:
    server = serve(Redis({"celery": [raw(f"n{number}") for number in range(500)], "celery\x06\x163": [raw("late")]}))
    assert "place 1 of 501" in whereabouts.place("n499", IDLE, URL).said  # BRPOP takes from the end
    assert "place 500 of 501" in whereabouts.place("n0", IDLE, URL).said
    assert "place 501 of 501" in whereabouts.place("late", IDLE, URL).said
    assert server.asked[0] == "lrange -200 -1"


def test_a_long_queue_is_not_read_to_its_end_and_that_is_told(serve: Any) -> None:
    serve(Redis({"celery": ["{}"] * (whereabouts.MOST_MESSAGES + 7)}))
    found = whereabouts.place("a", IDLE, URL)
    assert (found.where, found.unseen) == ("nowhere", ("7 messages of celery",))


@pytest.mark.parametrize(
    ("stored", "where", "words"),
    [
        (b'{"status": "SUCCESS", "result": "secret"}', "done", "its result is stored: SUCCESS"),
        (b"\x80\x04pickled", "done", "its result is stored"),
        (b'{"status": "STARTED"}', "nowhere", "its state is stored: STARTED"),
    ],
)
def test_of_a_result_the_state_alone_is_told(serve: Any, stored: bytes, where: str, words: str) -> None:
    serve(Redis(results={"celery-task-meta-a": stored}))
    found = whereabouts.place("a", IDLE, URL)
    assert (found.where, found.said.startswith(words), "secret" in found.said) == (where, True, False)


def test_a_result_under_a_prefix_is_found(serve: Any) -> None:
    serve(Redis(results={"shop_celery-task-meta-a": b'{"status": "SUCCESS"}'}))
    assert whereabouts.place("a", IDLE, URL).where == "done"


def test_a_request_that_is_nowhere_is_not_called_lost(serve: Any) -> None:
    serve(Redis())
    found = whereabouts.place("a", IDLE, URL)
    assert (found.where, found.state) == ("nowhere", State.UNKNOWN)
    assert "lost, never sent, ended without a result" in found.said
    assert whereabouts.place("a", IDLE, "").unseen == ("the broker: --broker tells its URL",)
    green = said(seen(child(), pool="gevent"))
    assert whereabouts.place("a", [green], URL).unseen == (), "its greenlets are known"
    assert "greenlets of process 50" in whereabouts.place("a", [replace(green, hides=True)], URL).unseen[0]


def test_a_broker_that_fails_is_named_without_its_password(serve: Any) -> None:
    serve(Redis(fails=redis.ConnectionError("refused")))
    found = whereabouts.place("a", IDLE, URL)
    assert any("refused" in one for one in found.unseen)
    assert not any("secret" in one for one in found.unseen)


def test_workers_are_chosen_by_what_their_command_lines_say(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [Worker(main=1, app="shop", hostname="web@%h"), Worker(main=2, app="mail.app", hostname="")]
    monkeypatch.setattr(find, "workers", lambda: known)
    monkeypatch.setattr(find, "described", lambda main: known[main - 1])
    monkeypatch.setattr(scripts, "found", lambda mains: scripts.Scripts(mains=()))
    assert [one.main for one in choose.chosen((), "", "").workers] == [1, 2]
    assert [one.main for one in choose.chosen((), "mail", "").workers] == [2]
    assert [one.main for one in choose.chosen((), "", "web@box").workers] == [1]
    with pytest.raises(NothingMatches) as refused:
        choose.chosen((), "shop", "other")
    assert "1: shop, web@%h; 2: mail.app, no -n" in refused.value.remedy


@pytest.mark.parametrize(
    ("version", "older"), [("5.6.2", True), ("5.7.0rc1", False), ("5.7.0", False), ("5.10.0", False), ("4.6.11", True)]
)
def test_versions_are_compared_by_their_numbers(version: str, older: bool) -> None:
    assert versions.older({"kombu": version}, "kombu", "5.7.0") is older
    assert not versions.older({}, "kombu", "5.7.0")
