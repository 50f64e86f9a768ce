"""What the client costs, and how much it can do, beside Celery's own `send_task` and `AsyncResult.get` loop.

Every ratio is of two things measured side by side in one run, in turns, and is the median of these turns; the heartbeats that
the client leaves are part of its cost. CPU is the client process's own, of the measured phase.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.client.flow import Flow
from harness.environments import Environment
from harness.errors import HarnessError
from harness.experiment.matrix import Cell
from harness.machine import cores
from harness.proof.instrument import rig
from harness.proof.instrument.rig import NS, QUEUE, Ran, Rig

CPU_BOUND = 0.2  # of Celery's CPU a request
CAPACITY_BOUND = 5.0  # times Celery's
DRAIN_BOUND = 0.97  # of the worker's own drain rate
TURNS = 3
IN_FLIGHT = 64
SPELL = 400  # requests of one kind of traffic before it is the other's turn: half a second, since a machine's pace wanders
SPELLS, FEW_SPELLS = 120, 40
CELERY_LIMIT_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Side:
    """One client's figures in one turn."""

    requests: int
    per_s: float
    cpu_s: float  # of one request


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Our client and Celery's, turn by turn: `ours[i]` and `celerys[i]` followed each other."""

    ours: tuple[Side, ...]
    celerys: tuple[Side, ...]

    @property
    def cpu_ratio(self) -> float:
        """Our CPU a request over Celery's; the median of the turns."""
        return statistics.median(one.cpu_s / other.cpu_s for one, other in zip(self.ours, self.celerys, strict=True))

    @property
    def capacity_ratio(self) -> float:
        """Our requests per second over Celery's; the median of the turns."""
        return statistics.median(one.per_s / other.per_s for one, other in zip(self.ours, self.celerys, strict=True))


@dataclass(frozen=True, kw_only=True)
class Drains:
    """One real worker with a no-op task, turn by turn: closed traffic, and a backlog that is drained.

    Rates are requests per second. `least_waiting`: of the closed traffic, how many requests were in the broker's queue at the
    least. Where it is above none, the worker never waited for the client.
    """

    closed_per_s: tuple[float, ...]
    drain_per_s: tuple[float, ...]
    least_waiting: int

    @property
    def ratios(self) -> list[float]:
        """Closed over drained, turn by turn."""
        return [closed / drained for closed, drained in zip(self.closed_per_s, self.drain_per_s, strict=True)]

    @property
    def ratio(self) -> float:
        """Their geometric mean; a median would need half as many turns again to be as certain."""
        return statistics.geometric_mean(self.ratios)


@dataclass(frozen=True, kw_only=True)
class Spell:
    """SPELL requests of one kind of traffic; `least_left`: in flight at the least while there were more to send."""

    per_s: float
    least_left: int


def cpu_per_request(folder: Path, environment: Environment, *, seconds: float = 3.0, turns: int = TURNS) -> Comparison:
    """One request at a time, on the same real worker (null backend, threads): CPU seconds a request of both clients."""
    with rig.opened(folder) as bench, bench.worker(environment, pool="threads"):
        return _compared(bench, "single", 1, seconds, turns)


def cpu_on_rabbitmq(folder: Path, environment: Environment, *, seconds: float = 3.0, turns: int = TURNS) -> Comparison:
    """The same on RabbitMQ, with answers over RPC."""
    with rig.on_rabbitmq(folder) as bench, bench.worker(environment, pool="threads"):
        return _compared(bench, "single", 1, seconds, turns)


def capacity(folder: Path, *, seconds: float = 3.0, turns: int = TURNS) -> Comparison:
    """IN_FLIGHT requests at a time against a responder that answers at once: requests per second of both clients."""
    with rig.opened(folder) as bench, bench.responder(service_s=0.0):
        return _compared(bench, f"closed-{IN_FLIGHT}", IN_FLIGHT, seconds, turns)


def drains(folder: Path, environment: Environment, *, pool: str, concurrency: int = 1, turns: int = SPELLS) -> Drains:
    """A real worker (null backend), by turns kept supplied and given a backlog of as many requests; either comes first."""
    spells: dict[int, list[Spell]] = {IN_FLIGHT: [], SPELL: []}
    with rig.opened(folder) as bench, bench.worker(environment, pool=pool, concurrency=concurrency), bench.flow() as flow:
        _spell(flow, IN_FLIGHT)
        for turn in range(turns):
            for in_flight in sorted(spells, reverse=turn % 2 == 1):
                spells[in_flight].append(_spell(flow, in_flight))
    closed, drained = spells[IN_FLIGHT], spells[SPELL]
    holds = Cell(backend="null", pool=pool, concurrency=concurrency).prefetch * concurrency + concurrency
    return Drains(
        closed_per_s=tuple(one.per_s for one in closed), drain_per_s=tuple(one.per_s for one in drained),
        least_waiting=min(one.least_left for one in closed) - holds,
    )  # fmt: skip


def roomy() -> tuple[str, int]:
    """(pool, concurrency) of a worker whose processes leave a core to the client and the broker.

    On a machine that a worker fills, what publishing costs the broker and the client is taken from it, whoever the client is:
    with prefork and a child, which are two processes, closed traffic reached 96 % to 100 % of the drain rate on 2 cores.
    """
    children = cores.to_fill() - 2
    return ("prefork", children) if children > 0 else ("solo", 1)


def _spell(flow: Flow, in_flight: int) -> Spell:
    """SPELL requests with at most so many in flight; the rate is that of answers, from the first to the last.

    Answers that come while more are being sent are counted when they are taken next: so those of two takings in a row
    are missing at the least moment.
    """
    first, sent, before, least = len(flow.log), in_flight, 0, in_flight
    flow.send(in_flight)
    while sent < SPELL:
        taken = len(flow.take())
        least, before = min(least, in_flight - before - taken), taken
        more = min(taken, SPELL - sent)
        flow.send(more)
        sent += more
    flow.settle()
    received = flow.log.received[first:]
    return Spell(per_s=(SPELL - 1) / ((max(received) - min(received)) * NS), least_left=least)


def _compared(bench: Rig, traffic: str, in_flight: int, seconds: float, turns: int) -> Comparison:
    ours, celerys = list[Side](), list[Side]()
    for _ in range(turns):
        ours.append(_our_side(bench.client(traffic, measure_s=seconds, in_flight=in_flight)))
        celerys.append(_celerys_side(bench, in_flight, seconds))
    return Comparison(ours=tuple(ours), celerys=tuple(celerys))


def _our_side(ran: Ran) -> Side:
    count = int(ran.measured.sum())
    return Side(requests=count, per_s=ran.rate_per_s(), cpu_s=(ran.sending.cpu_s or 0.0) / count)


def _celerys_side(bench: Rig, in_flight: int, seconds: float) -> Side:
    spec = {
        "url": bench.url, "backend": bench.result_url or bench.url, "queue": QUEUE, "in_flight": in_flight, "seconds": seconds,
    }  # fmt: skip
    log = bench.folder / "celery-loop.log"
    log.unlink(missing_ok=True)
    with _celery_loop(bench, spec) as code:
        if code != 0:
            raise HarnessError("Celery's client failed beside ours", evidence=str(log))
    told = json.loads(log.read_text().strip().splitlines()[-1])
    return Side(
        requests=told["requests"], per_s=told["requests"] / told["seconds"], cpu_s=told["cpu_s"] / told["requests"]
    )  # fmt: skip


@contextmanager
def _celery_loop(bench: Rig, spec: dict[str, object]) -> Iterator[int | None]:
    """Its exit code, once it has ended."""
    with bench.program("celery-loop", ["-m", "harness.proof.selfcost.celery_loop"], json.dumps(spec)) as process:
        yield process.wait(CELERY_LIMIT_S)
