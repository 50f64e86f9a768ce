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

from harness.environments import Environment
from harness.errors import HarnessError
from harness.instrument import rig
from harness.instrument.rig import QUEUE, Ran, Rig

CPU_BOUND = 0.2  # of Celery's CPU a request
CAPACITY_BOUND = 5.0  # times Celery's
DRAIN_BOUND = 0.97  # of the worker's own drain rate
TURNS = 3
IN_FLIGHT = 64
DRAINED = 2000
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
    def ratio(self) -> float:
        """Closed over drained, each the median of its turns."""
        return statistics.median(self.closed_per_s) / statistics.median(self.drain_per_s)


def cpu_per_request(folder: Path, environment: Environment, *, seconds: float = 3.0, turns: int = TURNS) -> Comparison:
    """One request at a time, on the same real worker (null backend, threads): CPU seconds a request of both clients."""
    with rig.opened(folder) as bench, bench.worker(environment, pool="threads"):
        return _compared(bench, "single", 1, seconds, turns)


def capacity(folder: Path, *, seconds: float = 3.0, turns: int = TURNS) -> Comparison:
    """IN_FLIGHT requests at a time against a responder that answers at once: requests per second of both clients."""
    with rig.opened(folder) as bench, bench.responder(service_s=0.0):
        return _compared(bench, f"closed-{IN_FLIGHT}", IN_FLIGHT, seconds, turns)


def drains(
    folder: Path, environment: Environment, *, pool: str = "prefork", concurrency: int = 2, turns: int = TURNS
) -> Drains:
    """A real worker (null backend), by turns kept supplied and given a backlog of as many requests."""
    closed, drained = list[float](), list[float]()
    with rig.opened(folder) as bench, bench.worker(environment, pool=pool, concurrency=concurrency):
        for _ in range(turns):
            for traffic, rates in ((f"closed-{IN_FLIGHT}", closed), ("drain", drained)):
                ran = bench.client(traffic, measure_s=0.1, requests=DRAINED, in_flight=2 * concurrency, executors=concurrency)
                rates.append(ran.rate_per_s())
    return Drains(closed_per_s=tuple(closed), drain_per_s=tuple(drained))


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
