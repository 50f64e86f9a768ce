"""A real RabbitMQ that is started for a run: what is asked of it, what is sent through it, and that nothing of it survives."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import pytest

from harness.broker import Census, rabbitmq, rabbitmq_view, view
from harness.broker.rabbitmq import RabbitMQ
from harness.client.amqp_wire import AmqpWire
from harness.environments import Environment
from harness.machine import procfs
from harness.records.store import RunFolder
from harness.studies.contracts import rows
from harness.worker import contract
from tests.integration.conftest import Harness

pytestmark = pytest.mark.skipif(bool(rabbitmq.lacking()), reason=rabbitmq.lacking() or "-")

PROJECT = Path(__file__).resolve().parent.parent / "probe_projects" / "rabbit"
BRIEF = ("--measure-s", 0.5, "--requests", 10, "--noise-limit", 100, "--stable-limit-s", 0.5)
SHORT = (*BRIEF, "--confirm-s", 1)
LIMIT_S = 20.0
HOLDER = """
import sys, time
from pathlib import Path
from harness.broker import rabbitmq
with rabbitmq.embedded(Path(sys.argv[1])) as server:
    print(server.process.keeper_pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with rabbitmq.embedded(tmp_path_factory.mktemp("rabbitmq")) as found:
        yield found


@pytest.fixture
def channel(server: RabbitMQ) -> Iterator[amqp.Channel]:
    with contextlib.closing(server.connect()) as connection, contextlib.closing(view(server)) as asked:
        yield connection.channel()
        asked.empty()


def until(true: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + LIMIT_S
    while not true() and time.monotonic() < end_s:
        time.sleep(0.05)
    return true()


def put(channel: amqp.Channel, queue: str, *ids: str, task: str = "shop.price") -> None:
    channel.queue_declare(queue, durable=True, auto_delete=False)
    for number in ids:
        found = amqp.Message(
            "[[1], {}, {}]", content_type="application/json", content_encoding="utf-8", correlation_id=number,
            application_headers={"id": number, "task": task}, reply_to="theirs",
        )  # fmt: skip
        channel.basic_publish(found, routing_key=queue)


def test_what_waits_and_what_is_handed_out_is_told_and_what_waits_is_only_looked_at(
    server: RabbitMQ, channel: amqp.Channel
) -> None:
    asked = view(server)
    put(channel, "prices", "aa-1", "aa-2", "bb-3")
    put(channel, "bulk", "bb-4", "bb-5", task="shop.bulk")
    assert channel.basic_get("prices") is not None  # and is not acknowledged
    assert until(lambda: asked.depth("prices") == (2, 1))
    assert until(lambda: asked.depth("bulk") == (2, 0))
    assert asked.census("prices") == Census(answers=True, messages=3)
    assert {(one.queue, one.task, one.waiting, one.reserved) for one in asked.backlog("aa-")} == {
        ("prices", "shop.price", 1, 0), ("bulk", "shop.bulk", 2, 0),
    }  # fmt: skip
    assert until(lambda: asked.depth("bulk") == (2, 0))
    assert [json.loads(one)["headers"]["id"] for one in view(server).taken()["bulk"]] == ["bb-4", "bb-5"]
    asked.forget("prices")
    assert asked.depth("prices") == (0, 0)


def test_requests_are_confirmed_answered_over_rpc_and_taken_back(server: RabbitMQ, channel: amqp.Channel) -> None:
    put(channel, "prices", contract.PLACEHOLDER)
    messages = [one.decode() for one in view(server).taken()["prices"]]
    wire = AmqpWire(server.url, "prices", "a" * 24, messages)
    wire.publish([(number, 0) for number in range(300)])
    confirmed: list[int] = []
    assert until(lambda: confirmed.extend(wire.take(0.05).confirmed) or not wire.unconfirmed)
    assert sorted(confirmed) == list(range(300))
    assert wire.queued() == 300
    for _ in range(2):
        message = channel.basic_get("prices", no_ack=True)
        number, place = message.properties["correlation_id"], message.properties["reply_to"]
        assert message.headers["id"] == number
        for status in ("STARTED", "SUCCESS"):  # the first is news
            said = json.dumps({"status": status, "result": 7, "task_id": number})
            channel.basic_publish(amqp.Message(said, correlation_id=number), routing_key=place)
    answers: list[tuple[int, bytes]] = []
    assert until(lambda: answers.extend(wire.take(0.05).answers) or len(answers) == 2)
    assert [(number, json.loads(raw)["status"]) for number, raw in answers] == [(0, "SUCCESS"), (1, "SUCCESS")]
    assert wire.withdraw() == list(range(2, 300))
    wire.close()


def test_nothing_of_it_outlives_a_driver_that_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "rabbitmq")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())}) as driver:
        assert driver.stdout is not None
        tree = [one.pid for one in procfs.tree(int(driver.stdout.readline()))]
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in tree}
        assert {"beam.smp", "epmd"} <= names
        driver.send_signal(signal.SIGKILL)
    assert until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in tree))


EXPERIMENT = """
name = "brokers"
summary = "RabbitMQ serves cells of a run"
[settings]
controls = false
[[cells]]
backend = ["null"]
environment = ["celery"]
pool = ["prefork"]
broker = ["rabbitmq-quorum"]
[[cells]]
backend = ["null"]
environment = ["celery"]
pool = ["threads"]
broker = ["rabbitmq"]
result_backend = ["redis"]
"""


def test_cells_of_a_run_are_served_by_a_rabbitmq_that_is_named_and_nothing_of_them_is_left_in_it(
    harness: Harness, server: RabbitMQ, celery_environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    ran = harness("run", "mine.toml", "--broker", server.url, "--out", "run", *BRIEF)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = RunFolder(tmp_path / "run")
    found = {record.as_cell.id.partition("predict-")[2]: str(record.outcome) for record in run.latest().values()}
    assert found == {"rabbitmq-quorum": "ok", "rabbitmq-results-redis": "ok"}
    header = run.read_json("run.json")
    assert header["brokers"] == {"rabbitmq": f"amqp://{server.at.host}:{server.at.port}//, rabbitmq {server.version}"}
    assert server.at.password not in json.dumps(header)
    assert not [name for name in rabbitmq_view.queues(server) if name.startswith("harness")]


def test_an_application_on_rabbitmq_is_probed_on_one(harness: Harness, celery_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[[3], {"count": 4, "each": 0.5}]')
    folder = shutil.copytree(PROJECT, tmp_path / "rabbit")
    ran = harness(
        "probe", "--app", "rabbit:app", "--task", "rabbit.price", "--args", "rows.json", "--python", celery_environment.python,
        "--cwd", folder, "--out", "probe", "--pools", "prefork,threads,solo", "--no-first-look", "--traffic",
        "closed-1", *SHORT,  # with more in flight solo stalls now and then, see "Which broker serves" in the guide
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "broker: a private RabbitMQ serves, as the application asks for amqp://" in ran.stdout
    run = RunFolder(tmp_path / "probe")
    records = {record.as_cell.pool: record for record in run.latest().values()}
    ended = {pool: str(record.outcome) for pool, record in records.items()}
    assert ended.pop("solo") in {"ok", "stalled"}, "its hub may wait with acknowledgements in hand, whatever is in flight"
    assert ended == dict.fromkeys(("in-process", "prefork", "threads"), "ok")
    said = "broker: a private RabbitMQ serves, as the application asks for amqp://"
    assert said in records["prefork"].certainty.notes
    header = run.read_json("run.json")
    assert header["broker"].startswith("embedded rabbitmq ")
    assert header["application"]["servers"]["asked"] == {"broker": "amqp", "backend": "rpc"}
    assert "secret" not in json.dumps(header)


def test_a_worker_whose_connections_rabbitmq_closed_runs_a_request_twice_that_it_acknowledges_late(
    harness: Harness, celery_environment: Environment, tmp_path: Path
) -> None:
    ran = harness(
        "contracts", "--broker", "rabbitmq", "--backend", "celery", "--out", "survey", "-s", "celery-prefork-rabbitmq-blip-late"
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (row,) = rows.read(tmp_path / "survey").values()
    assert row.verdict == "consumes again, repeats requests", row
    assert "in flight: 1 of 1 answered, run more than once" in row.detail
    assert "the server closed" in (tmp_path / "survey" / row.evidence).read_text()
