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

from harness import cores
from harness.client.flow import Flow
from harness.environments import Environment
from harness.errors import HarnessError
from harness.instrument import rig
from harness.instrument.rig import NS, QUEUE, Ran, Rig

CPU_BOUND = 0.2  # of Celery's CPU a request
CAPACITY_BOUND = 5.0  # times Celery's
DRAIN_BOUND = 0.97  # of the worker's own drain rate
TURNS = 3
IN_FLIGHT = 64
SPELL = 400  # requests of one kind of traffic before it is the other's turn: half a second, since a machine's pace wanders
SPELLS = 120
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
    """Requests per second of one real worker with a no-op task, turn by turn: closed traffic, and a backlog that is drained."""

    closed_per_s: tuple[float, ...]
    drain_per_s: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Closed over drained, turn by turn."""
        return [closed / drained for closed, drained in zip(self.closed_per_s, self.drain_per_s, strict=True)]

    @property
    def ratio(self) -> float:
        """Their geometric mean; a median would need half as many turns again to be as certain."""
        return statistics.geometric_mean(self.ratios)


def cpu_per_request(folder: Path, environment: Environment, *, seconds: float = 3.0, turns: int = TURNS) -> Comparison:
    """One request at a time, on the same real worker (null backend, threads): CPU seconds a request of both clients."""
    with rig.opened(folder) as bench, bench.worker(environment, pool="threads"):
        return _compared(bench, "single", 1, seconds, turns)


def capacity(folder: Path, *, seconds: float = 3.0, turns: int = TURNS) -> Comparison:
    """IN_FLIGHT requests at a time against a responder that answers at once: requests per second of both clients."""
    with rig.opened(folder) as bench, bench.responder(service_s=0.0):
        return _compared(bench, f"closed-{IN_FLIGHT}", IN_FLIGHT, seconds, turns)


def drains(
    folder: Path, environment: Environment, *, pool: str = "prefork", concurrency: int | None = None, turns: int = SPELLS
) -> Drains:
    """A real worker (null backend), by turns kept supplied and given a backlog of as many requests; either comes first.

    It has an executor less than there are cores. On a machine that it fills, what publishing costs the broker and the client is
    taken from the worker, whoever the client is: there, closed traffic reached 97 % of the drain rate on 2 cores.
    """
    concurrency = concurrency or max(1, len(cores.AVAILABLE) - 1)
    rates: dict[int, list[float]] = {IN_FLIGHT: [], SPELL: []}
    with rig.opened(folder) as bench, bench.worker(environment, pool=pool, concurrency=concurrency), bench.flow() as flow:
        _spell(flow, IN_FLIGHT)
        for turn in range(turns):
            for in_flight in sorted(rates, reverse=turn % 2 == 1):
                rates[in_flight].append(_spell(flow, in_flight))
    return Drains(closed_per_s=tuple(rates[IN_FLIGHT]), drain_per_s=tuple(rates[SPELL]))


def _spell(flow: Flow, in_flight: int) -> float:
    """SPELL requests with at most so many in flight: answers per second, from the first to the last."""
    first, sent = len(flow.log), in_flight
    flow.send(in_flight)
    while sent < SPELL:
        more = min(len(flow.take()), SPELL - sent)
        flow.send(more)
        sent += more
    flow.settle()
    received = flow.log.received[first:]
    return (SPELL - 1) / ((max(received) - min(received)) * NS)


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
    spec = {"url": bench.url, "queue": QUEUE, "in_flight": in_flight, "seconds": seconds}
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
    with bench.program("celery-loop", ["-m", "harness.selfcost.celery_loop"], json.dumps(spec)) as process:
        yield process.wait(CELERY_LIMIT_S)
