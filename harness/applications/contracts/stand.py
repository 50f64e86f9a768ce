"""One worker of somebody's own application with one executor, and requests that are messages of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.client import opaque
from harness.client.plan import new_prefix, request_id
from harness.client.wire import Wire
from harness.errors import BadInput, Interrupted
from harness.experiment.matrix import Cell
from harness.run.interrupt import GO_ON, STOPPED
from harness.studies.contracts.bench import FINAL, Bench, CannotSay, Stand
from harness.trial import supervisor
from harness.trial.application import Application
from harness.trial.supervisor import LocalWorker, Place
from harness.worker import contract

ANSWERED = "answered"


@dataclass(frozen=True, kw_only=True)
class OwnStand(Stand):
    """`cell`: its pool with one executor; `messages`: one a row, as the application sends them; `usual_s`: what a call takes
    without Celery, `longest_s`: the longest; `raises`: names of the errors that such calls raised."""

    application: Application
    cell: Cell
    messages: Sequence[str]
    usual_s: float
    longest_s: float
    raises: frozenset[str] = frozenset()

    @contextmanager
    def own_worker(self, *, name: str = "", limits: tuple[float | None, float | None] | None = None) -> Iterator[OwnBench]:
        """A worker that is ready. `limits`: (hard, soft) time limits that each message brings, in seconds. Raises CannotSay.

        BadInput if nobody would take the requests: then no contract tells anything.
        """
        if self.stopped.is_set():
            raise Interrupted(STOPPED, remedy=GO_ON)
        bench = OwnBench(self, name, limits)
        try:
            bench.until_ready()
            if none := self.application.no_consumer(self.application.consumed(bench.events)):
                raise BadInput(none, remedy="the -Q of your own worker's line names the queues that it needs")
            if why := self.application.unfit(bench.events, self.cell):
                raise CannotSay(why)
            yield bench
        finally:
            bench.close()


class OwnBench(Bench):
    """Like that of our own tasks; requests are sent as the load generator of a trial sends them."""

    def __init__(self, stand: OwnStand, name: str, limits: tuple[float | None, float | None] | None) -> None:
        self.stand, self.name = stand, name
        self.folder = supervisor.fresh_folder(stand.folder / (name or "worker"))
        self.events, self.queue, self.ids = self.folder / "events", stand.application.queue_keys[0], []
        self.key_prefix, self.results_prefix = stand.application.key_prefix, stand.application.results_prefix
        self.connect()
        prefix, messages = new_prefix(), [limited(text, limits) if limits else text for text in stand.messages]
        self.wire = Wire(stand.url, self.queue, prefix, messages, self.results_prefix)
        told = stand.application.spec(prefix=prefix, events=self.events)
        place = Place(
            environment=stand.environment, folder=self.folder, broker_url=stand.url, spec=told, application=stand.application
        )
        stand.note(f"start of a worker{' ' + name if name else ''}: {stand.cell.id}")
        self.worker = LocalWorker(place, stand.application.worker_command(stand.cell))

    def send(self) -> int:
        return self.burst(1)[0]

    def burst(self, count: int) -> list[int]:
        """Send so many at once, the rows in turn; their numbers."""
        begin = len(self.ids)
        numbers = list(range(begin, begin + count))
        self.ids += [request_id(self.wire.prefix, number) for number in numbers]
        self.wire.publish([(number, number % len(self.own.messages)) for number in numbers])
        while self.wire.unconfirmed:
            self.wire.take(1.0)
        self.stand.note(f"requests {begin} to {begin + count - 1} sent")
        return numbers

    @property
    def own(self) -> OwnStand:
        assert isinstance(self.stand, OwnStand)
        return self.stand

    def times(self, number: int) -> int:
        """How often it was run. A task that puts itself off, by a retry or a requeue, has not been run again by its worker."""
        put_off = len(self._seen(contract.RETRIED, number)) + len(self._seen(contract.REQUEUED, number))
        return len(self.begun(number)) - put_off

    def runs(self, number: int) -> bool:
        """Whether an executor is in it, as far as is known: of a child that died in it, no end is seen."""
        return len(self.begun(number)) > len(self._seen(contract.TASK_END, number))

    def ran_s(self, number: int) -> float:
        """For how long it ran at the longest, as far as it has ended; 0 if it has not."""
        begins, ends = (self._moments(kind, number) for kind in (contract.TASK_BEGIN, contract.TASK_END))
        return max(((end - begin) / 1e9 for begin, end in zip(begins, ends, strict=False)), default=0.0)

    def _moments(self, kind: int, number: int) -> list[int]:
        found = [
            event.at_ns
            for path in self.events.glob("*.events")
            for event in contract.unpack(path.read_bytes(), int(path.stem))
            if event.kind == kind and event.number == number
        ]
        return sorted(found)

    def outcome(self, number: int) -> str:
        """Of an answer that only the application can read (a pickle), that it came."""
        stored = self.stored(number)
        if not stored:
            return ""
        message = opaque.read(stored)
        if message is None:
            return ANSWERED
        if message["status"] not in FINAL:
            return ""
        return ANSWERED if message["status"] == "SUCCESS" else _kind(message)

    def state(self, number: int) -> str:
        stored = self.stored(number)
        message = opaque.read(stored) if stored else {"status": "PENDING"}
        return str(message["status"]) if message else "SUCCESS"

    def close(self) -> None:
        super().close()
        self.wire.close()


def _kind(message: Mapping[str, Any]) -> str:
    result = message.get("result")
    return str(result.get("exc_type") or message["status"]) if isinstance(result, Mapping) else str(message["status"])


def limited(message: str, limits: tuple[float | None, float | None]) -> str:
    """A message that brings these time limits, (hard, soft).

    >>> limited('{"headers": {"id": "x", "timelimit": [null, null]}}', (3, None))
    '{"headers": {"id": "x", "timelimit": [3, null]}}'
    """
    found = json.loads(message)
    found["headers"] = {**found["headers"], "timelimit": list(limits)}
    return json.dumps(found)
