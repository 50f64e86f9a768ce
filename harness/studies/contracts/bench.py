"""One worker under test, the client that talks to it as any Celery client would, and a look at where messages are.

A `Stand` is the place of one measurement: environment, pool, a broker database of its own, folders. `Stand.worker`
starts a real worker there (a `Bench`); leaving its `with` block kills whatever is left of it. All waits are bounded and
end early when the user stops the survey. Requests go and answers are read as with Celery's own client.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from celery import Celery

from harness import broker
from harness.broker.rabbitmq import RabbitMQ
from harness.environments import Environment
from harness.errors import Interrupted
from harness.experiment.matrix import Cell, fault_options
from harness.machine import procfs
from harness.machine.processes import signal_name
from harness.observe import diagnosis
from harness.run.interrupt import GO_ON, STOPPED
from harness.studies.contracts import places
from harness.studies.contracts.control import command, said
from harness.texts import portable
from harness.trial import supervisor
from harness.trial.supervisor import LocalWorker, Place
from harness.worker import contract, spec

READY_LIMIT_S = 120.0  # four workers that import TensorFlow at once on two cores need a minute
START_WINDOW_S = 600.0  # a child that is slow to start is not what is measured
BEGIN_LIMIT_S = 30.0
POLL_S = 0.02
WORKER_LOG = "worker.log"
#: From the broker's return, or from the end of the request in flight. kombu 5.7 drops a connection that owes an answer
AWAY_LIMIT_S = 75.0  # after 51 s (its redis transport, health_check_interval), and takes up to 2 s to connect
FINAL = ("SUCCESS", "FAILURE", "REVOKED")  # the states in which Celery's AsyncResult.get returns (celery.states)

T = TypeVar("T")


class CannotSay(Exception):
    """What was to be measured did not come about; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What the worker serves: a backend, where its model is loaded, the call, and a control's fault ('' for none)."""

    backend: str = "faulty"
    placement: str = "first-task"
    call: str = "predict"
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Stand:
    """The place of one measurement. `real_hang`: a predict that hangs here by itself, or None. `worker_url`: the broker as the
    worker is told it, '' if that is `broker_url`. `amqp`: a RabbitMQ instead, so that `url` is the result back end's alone;
    `quorum`: its queue is of that type. `away_limit_s`: how long a worker may take nothing after an outage."""

    environment: Environment
    pool: str
    url: str
    folder: Path
    evidence: Path
    bundle: Path
    real_hang: Workload | None = None
    worker_url: str = ""
    amqp: RabbitMQ | None = None
    quorum: bool = False
    away_limit_s: float = AWAY_LIMIT_S
    stopped: threading.Event = field(default_factory=threading.Event)
    steps: list[str] = field(default_factory=list)
    begun_s: float = field(default_factory=time.monotonic)

    @property
    def broker_url(self) -> str:
        return self.amqp.url if self.amqp is not None else self.url

    @property
    def queue_type(self) -> dict[str, object]:
        """As Celery's settings."""
        return {"task_default_queue_type": "quorum"} if self.quorum else {}

    def note(self, text: str) -> None:
        """One line of the measurement's own history, kept as evidence."""
        self.steps.append(f"{time.monotonic() - self.begun_s:8.3f} s  {text}")

    def keep_steps(self) -> None:
        self.evidence.mkdir(parents=True, exist_ok=True)
        (self.evidence / "steps.txt").write_text(portable("\n".join(self.steps) + "\n"))

    @contextmanager
    def worker(
        self, workload: Workload, arguments: Sequence[str] = (), settings: Mapping[str, object] | None = None, *, name: str = ""
    ) -> Iterator[Bench]:
        """A worker that is ready; `arguments` go to `celery worker`, `settings` to its app. Raises CannotSay."""
        if self.stopped.is_set():
            raise Interrupted(STOPPED, remedy=GO_ON)
        bench = Bench(self, workload, arguments, settings or {}, name)
        try:
            bench.until_ready()
            yield bench
        finally:
            bench.close()


class Bench:
    """A running worker with its client. Requests are numbered from 0; each is sent as Celery's own client sends it."""

    key_prefix = results_prefix = ""  # of all keys in the broker, and in the result back end (`global_keyprefix`)

    def __init__(
        self, stand: Stand, workload: Workload, arguments: Sequence[str], settings: Mapping[str, object], name: str
    ) -> None:
        self.stand, self.workload, self.name = stand, workload, name
        self.folder = supervisor.fresh_folder(stand.folder / (name or "worker"))
        self.queue = f"contracts-{stand.pool}"
        self.events = self.folder / "events"
        self.ids: list[str] = []
        self.connect()
        cell = Cell(
            backend=workload.backend, environment=stand.environment.name, pool=stand.pool, placement=workload.placement,
            call=workload.call,
        )  # fmt: skip
        told = self._spec(cell, settings)
        place = Place(
            environment=stand.environment, folder=self.folder, broker_url=stand.worker_url or stand.broker_url, spec=told,
            result_url=stand.url if stand.amqp is not None else "",
        )  # fmt: skip
        stand.note(f"start of a worker{' ' + name if name else ''}: {workload} {' '.join(arguments)} {dict(settings) or ''}")
        self.worker = LocalWorker(place, command(cell, stand.environment, arguments))

    def connect(self) -> None:
        """A client with connections of its own."""
        self.redis: Any = broker.client(self.stand.url)
        told = {"broker": self.stand.broker_url, "backend": self.stand.url, "task_default_queue": self.queue}
        self.app: Any = Celery("harness-contracts", set_as_current=False, **told, **self.stand.queue_type)

    def _spec(self, cell: Cell, settings: Mapping[str, object]) -> dict[str, object]:
        fault = self.workload.fault
        options = {**fault_options(fault), "folder": str(self.stand.folder)}  # a fresh worker shares the strikes
        return spec.for_worker(
            backend=cell.backend, placement=cell.placement, call=cell.call, parent=cell.parent, batch=cell.batch,
            prefetch=cell.prefetch, bundle=str(self.stand.bundle), cache_dir=str(self.stand.environment.cache_dir),
            events_dir=str(self.events), proc_alive_timeout=START_WINDOW_S, queue=self.queue, options=options if fault else {},
            celery={**self.stand.queue_type, **settings},
        )  # fmt: skip

    def close(self) -> None:
        """Kill what is left, and keep the log's tail."""
        self.worker.stop(at_once=True)
        diagnosis.keep_log(self.stand.evidence / self.name, self.folder / WORKER_LOG)
        self.app.close()
        self.redis.close()

    def until(self, condition: Callable[[], T], limit_s: float) -> T:
        """The condition's first true value, or its last false one after `limit_s`. Raises Interrupted."""
        end = time.monotonic() + limit_s
        while not (value := condition()) and time.monotonic() < end:
            if self.stand.stopped.wait(POLL_S):
                raise Interrupted(STOPPED, remedy=GO_ON)
        return value

    def until_ready(self) -> None:
        self.until(lambda: self._seen(contract.READY) or self.worker.poll() is not None, READY_LIMIT_S)
        if not self._seen(contract.READY):
            code = self.worker.poll()
            how = f"did not get ready within {READY_LIMIT_S:g} s" if code is None else f"ended with {signal_name(code)}"
            raise CannotSay(f"the worker {how}")
        self.stand.note(f"worker {self.pid} is ready")

    def until_ended(self, limit_s: float) -> str:
        """How the worker ended ('exit 0', 'SIGKILL'), '' if it has not after `limit_s`."""
        self.until(lambda: self.worker.poll() is not None, limit_s)
        code = self.worker.poll()
        how = "" if code is None else signal_name(code)
        self.stand.note(f"worker {self.pid}: {how or f'still there after {limit_s:g} s'}")
        return how

    def send(self) -> int:
        """Send one request; its number."""
        return self.put_off(None)

    def put_off(self, seconds: float | None) -> int:
        """Send one that is not to be begun for so many seconds; its number."""
        number, how = len(self.ids), {"queue": self.queue, "serializer": "json", "countdown": seconds}
        self.ids.append(self.app.send_task(contract.PREDICT_TASK, args=[number, 0], **how).id)
        self.stand.note(f"request {number} sent")
        return number

    def stored(self, number: int) -> Any:
        """The request's answer, or news of it, as bytes; None if there is none."""
        return self.redis.get(f"{self.results_prefix}celery-task-meta-{self.ids[number]}")

    def outcome(self, number: int) -> str:
        """'answered', the name of the error its caller gets, or '' while there is no answer that ends its wait."""
        message: dict[str, Any] = json.loads(stored) if (stored := self.stored(number)) else {"status": "PENDING"}
        if message["status"] not in FINAL:
            return ""
        return "answered" if message["status"] == "SUCCESS" else str(message["result"]["exc_type"])

    def state(self, number: int) -> str:
        """Celery's word for the request's state."""
        return str(json.loads(stored)["status"]) if (stored := self.stored(number)) else "PENDING"

    def until_outcome(self, number: int, limit_s: float) -> str:
        outcome = self.until(lambda: self.outcome(number), limit_s)
        self.stand.note(f"request {number}: {outcome or f'no answer after {limit_s:g} s'}")
        return outcome

    def begun(self, number: int) -> list[int]:
        """The processes that began this request, one entry a time it was begun."""
        return self._seen(contract.TASK_BEGIN, number)

    def begin(self) -> int:
        """Send a request and wait until an executor has begun it; its number. Raises CannotSay."""
        number = self.send()
        if not self.until(lambda: self.begun(number), BEGIN_LIMIT_S):
            raise CannotSay(f"request {number} was not begun within {BEGIN_LIMIT_S:g} s")
        self.stand.note(f"request {number} begun in process {self.begun(number)[-1]}")
        return number

    def warm(self) -> None:
        """One request that is answered: the executor has loaded, and works. Raises CannotSay."""
        if (outcome := self.until_outcome(self.send(), BEGIN_LIMIT_S)) != "answered":
            raise CannotSay(f"the first request, before any trouble: {outcome or 'no answer'}")

    def place_of(self, number: int) -> str:
        """Where the broker has the request's message: 'queue', 'unacked', or '' (nowhere)."""
        return self.places([number])[number]

    def places(self, numbers: Iterable[int]) -> dict[int, str]:
        """Of each of these requests, see `place_of`: one look at the broker for all."""
        ids = {one: self.ids[one] for one in numbers}
        if (server := self.stand.amqp) is None or not ids:
            return places.in_valkey(self.redis, self.queue, ids, self.key_prefix)
        if found := self.until(lambda: places.in_rabbitmq(server, self.queue, ids), BEGIN_LIMIT_S):
            return found
        raise CannotSay(f"RabbitMQ did not say within {BEGIN_LIMIT_S:g} s where its messages are")

    @property
    def pid(self) -> int:
        """The worker's main process."""
        return self.worker.process.pid

    def signal(self, number: signal.Signals, pid: int | None = None) -> float:
        """Send a signal to the main process, or to `pid` of ours; when, in seconds of CLOCK_MONOTONIC."""
        target = pid or self.pid
        self.stand.note(f"{number.name} to process {target}")
        os.kill(target, number)
        return time.monotonic()

    def _seen(self, kind: int, number: int | None = None) -> list[int]:
        """Pids of the events of one kind, oldest first; of one request, or of all."""
        found: list[tuple[int, int]] = []
        for path in self.events.glob("*.events"):
            events = contract.unpack(path.read_bytes(), int(path.stem))
            found += [(event.at_ns, event.pid) for event in events if event.kind == kind and number in (None, event.number)]
        return [pid for _, pid in sorted(found)]

    def is_idle(self, pid: int) -> bool:
        """Whether this process spent next to no CPU time during 0.3 s: at most one tick of 10 ms."""
        before = procfs.process(pid)
        self.until(lambda: False, 0.3)
        after = procfs.process(pid)
        idle = before is not None and after is not None and after.own_cpu_s - before.own_cpu_s <= 0.01
        self.stand.note(f"process {pid} is {'idle' if idle else 'not idle'}")
        return idle

    def revoke(self, number: int, with_signal: str) -> str:
        """Celery's `revoke(terminate=True)`; 'ok' or the error that the worker replied within 2 s, '' for nothing."""
        self.stand.note(f"revoke of request {number} with {with_signal}")
        asked = {"terminate": True, "signal": with_signal, "reply": True, "timeout": 2.0, "limit": 1}
        replies = self.app.control.revoke(self.ids[number], **asked)
        reply = "; ".join(said(value) for answer in replies or [] for value in answer.values())
        self.stand.note(f"reply to revoke: {reply or 'none'}")
        return reply

    def ping(self, limit_s: float = 1.0) -> float | None:
        """Celery's `inspect ping`: seconds until the worker's reply, None for none within `limit_s`."""
        begun_s = time.monotonic()
        replies = self.app.control.inspect(timeout=limit_s, limit=1).ping()
        took_s = time.monotonic() - begun_s
        self.stand.note(f"ping: {f'reply after {took_s:.3f} s' if replies else 'no reply'}")
        return took_s if replies else None
