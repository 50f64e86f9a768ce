"""The load generator: an unpatched process of its own that publishes requests and takes their answers.

Run by `trial` as `python -m harness.loadgen PLAN.json`. It sends by name, as JSON, the message that Celery's own client
sends: one is published through Celery to a side queue, read back, and used as the template. Answers come over one
pattern subscription on the result channels, which the worker publishes to anyway. Both cost a small part of what
`send_task` and `AsyncResult.get` cost, and leave the worker's work as it is.

It connects, waits until a file `go` appears beside its plan, leaves an event as each phase begins, stops early at
SIGTERM, and writes every request's stamps and answer to the plan's `result` (.npz, see `contract.REQUEST_FIELDS`).
Latency counts from the publishing of a request, which in closed traffic is the moment it was meant to be sent.
"""

from __future__ import annotations

import base64
import json
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import redis

from harness.broker import OUR_NAME
from harness.traffic import DRAIN_REQUESTS, Traffic, parse
from harness.worker import contract, heartbeat

POLL_S = 0.05
WARMUP_REQUESTS = 10
WARMUP_ENOUGH_S = 3.0  # once every executor has answered, warm-up this long is enough even for slow requests
EXIT_BROKER_LOST = 4
GO = "go"  # a file beside the plan
MARK = "harness-template-argument"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to send, from the trial. `executors`: how many distinct executors must have answered in warm-up."""

    url: str
    queue: str
    traffic: str
    rows: int
    batch: int
    measure_s: float
    requests: int
    warmup_limit_s: float
    executors: int
    by_thread: bool
    in_flight_warmup: int
    events_dir: str
    result: str
    prefix: str


def new_prefix() -> str:
    return uuid.uuid4().hex[:24]


def request_id(prefix: str, number: int) -> str:
    """Celery's task id of a request.

    >>> request_id("0" * 24, 255)
    '00000000-0000-0000-0000-0000000000ff'
    """
    return f"{prefix[:8]}-{prefix[8:12]}-{prefix[12:16]}-{prefix[16:20]}-{prefix[20:24]}{number:08x}"


class Wire:
    """Publishing and receiving on one broker. Request n's id is a fixed prefix and n, so ids need no table."""

    def __init__(self, url: str, queue: str, prefix: str = "") -> None:
        self.prefix = prefix or new_prefix()
        self.queue = queue
        self.connection = redis.Redis.from_url(url, client_name=OUR_NAME)
        self.template = _template(url, self.connection, queue)
        self.channel = f"celery-task-meta-{request_id(self.prefix, 0)[:-8]}"
        self.subscription = self.connection.pubsub(ignore_subscribe_messages=True)
        self.subscription.psubscribe(self.channel + "*")
        self.done: list[str] = []

    def message(self, number: int, row: int) -> str:
        """The broker message of one request, as kombu writes it."""
        task_id = request_id(self.prefix, number)
        body = [[number, row], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
        encoded = base64.b64encode(json.dumps(body).encode()).decode()
        head, tail = self.template
        return (head + encoded + tail).replace("TASK-ID", task_id).replace(f"'{MARK}'", f"{number}, {row}")

    def publish(self, requests: list[tuple[int, int]]) -> None:
        """Send requests in one round trip; a worker sees either none of a burst or all of it."""
        self.connection.lpush(self.queue, *(self.message(number, row) for number, row in requests))

    def receive(self, limit_s: float) -> tuple[int, bytes] | None:
        """(number, raw answer) of the next answer, or None after `limit_s`."""
        message = self.subscription.get_message(timeout=limit_s)
        if message is None or message["type"] != "pmessage":
            return None
        key = message["channel"].decode()
        self.done.append(key)
        if len(self.done) >= 256:
            self.forget()
        return int(key[-8:], 16), message["data"]

    def forget(self) -> None:
        """Drop the stored results of answers that were taken."""
        if self.done:
            self.connection.unlink(*self.done)
            self.done.clear()

    def close(self) -> None:
        self.forget()
        self.subscription.close()
        self.connection.close()


def _template(url: str, connection: redis.Redis, queue: str) -> tuple[str, str]:
    """The text before and after the body of a message that Celery's own client sends for our task."""
    from celery import Celery

    side_queue = f"{queue}-template"
    with Celery("harness-client", broker=url, backend=url, set_as_current=False) as app:
        app.send_task(
            contract.PREDICT_TASK, args=[MARK], task_id="TASK-ID", queue=side_queue, serializer="json",
        )  # fmt: skip
    raw = cast("bytes | None", connection.rpop(side_queue))
    if raw is None:
        raise RuntimeError("Celery's own message did not arrive in the broker")
    message = json.loads(raw)
    properties = message["properties"]
    # the tag is the delivery's name in the broker's list of unacknowledged messages: it must differ by request
    properties["delivery_tag"] = "TASK-ID"
    properties["delivery_info"]["routing_key"] = queue
    head, _, tail = json.dumps({**message, "body": "THE-BODY"}).partition("THE-BODY")
    return head, tail


@dataclass
class Log:
    """Every request's stamps; answers stay raw until the run is over."""

    published: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    phase: list[int] = field(default_factory=list)
    raw: list[bytes | None] = field(default_factory=list)

    def add(self, phase: int) -> int:
        self.published.append(-1)
        self.received.append(-1)
        self.phase.append(phase)
        self.raw.append(None)
        return len(self.raw) - 1


class Generator:
    """Carries out a plan, phase by phase; `stopped` ends it early."""

    def __init__(self, plan: Plan, wire: Wire) -> None:
        self.plan, self.wire = plan, wire
        self.traffic: Traffic = parse(plan.traffic)
        self.log = Log()
        self.in_flight = 0
        self.duplicates = 0
        self.stopped = threading.Event()
        self._phase = 0

    def run(self) -> None:
        self._first()
        self._warm_up()
        self._measure()
        self._phase_begins("drain")
        self._settle()
        self._phase_begins("done")

    def _phase_begins(self, name: str) -> None:
        if not self.stopped.is_set():
            self._phase = contract.PHASES.index(name)
            heartbeat.emit(contract.PHASE, self._phase)

    def _first(self) -> None:
        self._phase_begins("first")
        self._send(1)
        self._settle()

    def _warm_up(self) -> None:
        """Bursts until every executor has answered, and a few requests more; bounded by warmup_limit_s."""
        self._phase_begins("warmup")
        begun, start = time.monotonic(), len(self.log.raw)
        while not self.stopped.is_set():
            elapsed, done = time.monotonic() - begun, len(self.log.raw) - start
            warm = self._executors_seen() >= self.plan.executors
            if elapsed >= self.plan.warmup_limit_s or (warm and (done >= WARMUP_REQUESTS or elapsed >= WARMUP_ENOUGH_S)):
                return
            self._send(self.plan.in_flight_warmup)
            self._settle()

    def _measure(self) -> None:
        if self.traffic.backlog:
            self._phase_begins("measure")
            self._send(max(self.plan.requests, DRAIN_REQUESTS))
            self._settle()
            return
        self._phase_begins("measure")
        begun, done = time.monotonic(), 0
        self._send(self.traffic.in_flight)
        while not self.stopped.is_set():
            received = self._take()
            done += received
            if done >= self.plan.requests and time.monotonic() - begun >= self.plan.measure_s:
                return
            if received:
                self._send(received)

    def _send(self, count: int) -> None:
        if self.stopped.is_set():
            return
        first = len(self.log.raw)
        numbers = [self.log.add(self._phase) for _ in range(count)]
        rows = [(number, number * self.plan.batch % self.plan.rows) for number in numbers]
        now = time.monotonic_ns()
        for number in numbers:
            self.log.published[number] = now
            heartbeat.emit(contract.PUBLISHED, number)
        self.wire.publish(rows)
        self.in_flight += len(self.log.raw) - first

    def _settle(self) -> None:
        while self.in_flight and not self.stopped.is_set():
            self._take()

    def _take(self) -> int:
        """Take the answers that are there, waiting a little for the first; how many."""
        taken, limit_s = 0, POLL_S
        while (answer := self.wire.receive(limit_s)) is not None:
            number, raw = answer
            if self.log.raw[number] is None:
                self.log.received[number], self.log.raw[number] = time.monotonic_ns(), raw
                heartbeat.emit(contract.RECEIVED, number)
                self.in_flight -= 1
                taken += 1
            else:
                self.duplicates += 1
            limit_s = 0.0
            if taken >= 64:
                break
        return taken

    def _executors_seen(self) -> int:
        seen = set()
        for raw in self.log.raw:
            result = json.loads(raw).get("result") if raw else None
            if isinstance(result, dict) and contract.PID in result:
                seen.add((result[contract.PID], result[contract.TID] if self.plan.by_thread else 0))
        # a request that raised says nothing of who ran it; such a cell is as warm as it will get
        raised = any(raw and json.loads(raw).get("status") == "FAILURE" for raw in self.log.raw)
        return self.plan.executors if raised else len(seen)


def table(log: Log, plan: Plan) -> dict[str, Any]:
    """The log as the columns of contract.REQUEST_FIELDS."""
    n = len(log.raw)
    columns: dict[str, Any] = {name: np.full(n, -1, dtype=np.int64) for name in contract.REQUEST_FIELDS[:10]}
    columns["number"] = np.arange(n)
    columns["row"] = np.arange(n) * plan.batch % plan.rows
    columns["phase"] = np.array(log.phase, dtype=np.int64)
    columns["published"] = np.array(log.published, dtype=np.int64)
    columns["received"] = np.array(log.received, dtype=np.int64)
    errors = [""] * n
    answers: list[Any] = [None] * n
    for number, raw in enumerate(log.raw):
        if raw is None:
            continue
        message = json.loads(raw)
        result = message["result"]
        if message["status"] != "SUCCESS":
            errors[number] = _error_text(result, message.get("traceback") or "")
            continue
        answers[number] = np.ravel(result[contract.ANSWER])
        stamps = result[contract.STAMPS]
        for name, value in zip(("begin", "predict_begin", "predict_end"), stamps, strict=True):
            columns[name][number] = value
        columns["pid"][number], columns["tid"][number] = result[contract.PID], result[contract.TID]
    width = max((answer.size for answer in answers if answer is not None), default=0)
    nothing = np.full(width, np.nan)
    columns["error"] = np.array(errors, dtype=f"<U{contract.ERROR_LENGTH}")
    columns["answers"] = np.array([nothing if a is None or a.size != width else a for a in answers], dtype=np.float64)
    return columns


def _error_text(result: Any, traceback: str) -> str:
    """'ValueError: what it said'. TensorFlow's errors keep their text out of `args`, so the traceback may have to tell."""
    if not isinstance(result, dict) or "exc_type" not in result:
        return str(result)[: contract.ERROR_LENGTH]
    name, message = result["exc_type"], result.get("exc_message")
    text = " ".join(map(str, message)) if isinstance(message, list) else str(message or "")
    if not text:
        named = [line.partition(f"{name}: ")[2] for line in traceback.splitlines() if f"{name}: " in line]
        text = named[-1] if named else ""
    return " ".join(f"{name}: {text}".split())[: contract.ERROR_LENGTH]


def main(path: Path) -> int:
    plan = Plan(**json.loads(path.read_text()))
    heartbeat.open_in(plan.events_dir)
    generator = Generator(plan, Wire(plan.url, plan.queue, plan.prefix))
    signal.signal(signal.SIGTERM, lambda *_: generator.stopped.set())
    while not path.with_name(GO).exists() and not generator.stopped.is_set():
        time.sleep(0.005)
    code = 0
    try:
        generator.run()
    except redis.RedisError as error:
        print(f"broker lost: {error}", flush=True)
        code = EXIT_BROKER_LOST
    path.with_name("duplicates").write_text(str(generator.duplicates))
    np.savez(plan.result, **table(generator.log, plan))
    if code == 0:
        generator.wire.close()
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
