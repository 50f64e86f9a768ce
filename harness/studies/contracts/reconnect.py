"""What a worker does when its broker goes away and comes back: whether it consumes again, what is lost, what runs twice.

Each request has a place when the outage begins: *in flight* (the only executor runs it), *prefetched* (the worker was given
it and has not acknowledged it), *queued* (the broker alone has it). Some are sent during a partition (*sent meanwhile*), and
some when the broker is back (*sent after*). The worker's own stamps tell when it took which, its signs of life how often each
was run, and the broker who has what is left; `fates` says what that means.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import redis
from kombu import pools

from harness.machine import processes
from harness.places import home
from harness.studies.contracts.bench import Bench, CannotSay, Stand, Workload
from harness.studies.contracts.fates import LEFT, PINGS, Seen, detail, fate_of, gravest, verdict
from harness.studies.contracts.measures import SETTLE_S, ContractAnswer
from harness.studies.contracts.outages import Outage
from harness.texts import portable
from harness.trial import worker_log
from harness.worker import contract

WAITING = 6  # more than the worker prefetches
SENT_MEANWHILE = 2
SENT_AFTER = 2
SETTLED_LIMIT_S = 180.0
QUIET_S = 6.0  # nothing is in the queue, nothing runs, nothing begins: what has no answer by then is told without one
LOOK_S = 0.2
ANEW_S = 1.0
PING_LIMIT_S = 2.0
FRESH_S = 1.5  # RabbitMQ's number of messages that are handed out may be half a second old
WHY_LIMIT_S = 60.0
#: Asks `harness why` about one worker; the broker's URL has a password, and stands on no command line.
WHY = """\
import contextlib, os, sys, typer
from harness.live.command import why
with contextlib.suppress(typer.Exit):
    why([int(sys.argv[1])], broker=os.environ["WHY_BROKER"])
"""


@dataclass(kw_only=True)
class Batch:
    """The numbers of the requests, by the place that each had when the outage began, or by when it was sent."""

    running: int | None = None
    prefetched: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    meanwhile: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)

    @property
    def places(self) -> dict[str, list[int]]:
        return {
            "in flight": [] if self.running is None else [self.running], "prefetched": self.prefetched, "queued": self.queued,
            "sent meanwhile": self.meanwhile, "sent after": self.after,
        }  # fmt: skip

    @property
    def all(self) -> list[int]:
        return [number for numbers in self.places.values() for number in numbers]


def idle(
    stand: Stand,
    *,
    outage: Callable[[Stand], AbstractContextManager[Outage]],
    in_a_row: int,
    forgets: bool,
    settings: dict[str, object],
) -> ContractAnswer:
    """Outages, one after the other, meet a worker that has nothing to do. `forgets`: the server has lost its data each time."""
    row: list[Seen] = []
    with outage(stand) as away, ready(away.stand, Workload(), settings) as bench:
        while len(row) < in_a_row and not (row and (row[-1].died or row[-1].taken_s is None)):
            bench.until(lambda: False, SETTLE_S)
            row.append(met(bench, away, Batch(), 0.0, forgets))
    return answer(gravest(row))


def busy(
    stand: Stand,
    *,
    outage: Callable[[Stand], AbstractContextManager[Outage]],
    run_s: float,
    settings: dict[str, object],
    forgets: bool,
    fault: str = "sleep",
) -> ContractAnswer:
    """An outage meets a worker with one request in flight, some prefetched and some queued. `run_s`: how long the one in flight
    takes, longer than the outage; `fault`: what it does. `forgets`: the server has lost its data when it is back."""
    workload = Workload(fault=f"{fault}:{run_s:g}@1x1")
    with outage(stand) as away, ready(away.stand, workload, settings) as bench:
        seen = met(bench, away, placed(bench), run_s, forgets)
    return answer(seen)


def answer(seen: Seen) -> ContractAnswer:
    return ContractAnswer(verdict=verdict(seen), seconds=seen.taken_s, detail=detail(seen))


@contextlib.contextmanager
def ready(stand: Stand, workload: Workload, settings: dict[str, object]) -> Iterator[Bench]:
    """A worker that works, and can be controlled. Raises CannotSay."""
    with stand.worker(workload, settings=settings) as bench:
        bench.warm()
        if bench.ping(5.0) is None:
            raise CannotSay("an idle worker did not answer ping within 5 s, before any trouble")
        try:
            yield bench
        finally:
            let_go(bench)


def met(bench: Bench, away: Outage, batch: Batch, run_s: float, forgets: bool) -> Seen:
    """One outage, and what became of the worker and its requests."""
    back_s = away.strike(lambda: batch.meanwhile.extend(bench.send() for _ in range(SENT_MEANWHILE)))
    anew(bench)
    batch.after.extend(bench.send() for _ in range(SENT_AFTER))
    return watched(bench, batch, back_s, run_s, forgets)


def placed(bench: Bench) -> Batch:
    """One request in flight, the others where they are when all is at rest. Raises CannotSay."""
    running = bench.begin()
    waiting = [bench.send() for _ in range(WAITING)]
    bench.until(lambda: False, SETTLE_S)
    if bench.outcome(running):
        raise CannotSay("the request in flight ended before the outage")
    held = bench.places(waiting)
    queued = [number for number in waiting if held[number] == "queue"]
    batch = Batch(running=running, queued=queued, prefetched=[number for number in waiting if number not in queued])
    bench.stand.note(f"in flight: {running}; prefetched: {batch.prefetched}; queued: {queued}")
    return batch


def anew(bench: Bench) -> None:
    """Our own connections have met the outage, too."""
    let_go(bench)
    bench.connect()


def let_go(bench: Bench) -> None:
    """Close our own connections to this server; kombu keeps them by URL, for any app, and each server has a URL of its own."""
    asked = bench.app.connection_for_write()
    for group in (pools.producers, pools.connections):
        with contextlib.suppress(KeyError):
            group[asked].force_close_all()
            del group[asked]
    with contextlib.suppress(redis.RedisError):
        bench.app.backend.result_consumer.stop()
    bench.app.backend.client.connection_pool.disconnect()
    bench.app.close()
    bench.redis.connection_pool.disconnect()


def watched(bench: Bench, batch: Batch, back_s: float, run_s: float, forgets: bool) -> Seen:
    """The worker, from the broker's return on until nothing more happens."""
    taken = taken_at(bench, batch, back_s, run_s)
    if taken is not None:
        settle(bench, batch)
    if died := bench.until_ended(0.0):
        died = ", ".join(filter(None, [died, worker_log.last_error(worker_log.read(bench.worker.log))]))
    replies = None if died else any(bench.ping(PING_LIMIT_S) is not None for _ in range(PINGS))
    bench.until(lambda: False, FRESH_S)
    fates = {name: [fate(bench, number) for number in numbers] for name, numbers in batch.places.items()}
    if not died and (taken is None or any(LEFT["queue"] in words for words in fates.values())):
        ask_why(bench)
    bench.stand.note(f"how often each was run: { {number: len(bench.begun(number)) for number in batch.all} }")
    ended_s = None if batch.running is None else first_after(times(bench, contract.TASK_END, batch.running), back_s)
    return Seen(
        taken_s=None if taken is None else taken - back_s, died=died, replies=replies, fates=fates,
        server_lost_its_data=forgets, after_the_running_one=bool(taken and ended_s and taken >= ended_s),
        limit_s=bench.stand.away_limit_s,
    )  # fmt: skip


def taken_at(bench: Bench, batch: Batch, back_s: float, run_s: float) -> float | None:
    """When the worker took the first request after the broker's return, in seconds of CLOCK_MONOTONIC; None if it took none
    within the stand's limit, from the end of the request in flight if that comes later. There is always one to take: the
    server hands requests to connections that are dead, too, and what is gone is sent anew."""
    until, running = back_s + run_s + bench.stand.away_limit_s, batch.running
    while time.monotonic() < until and bench.worker.poll() is None:
        if (taken := first_after(times(bench, contract.WORKER_RECEIVED), back_s)) is not None:
            bench.stand.note(f"a request was taken {taken - back_s:.3f} s after the broker's return")
            return taken
        if running is not None and (ended_s := first_after(times(bench, contract.TASK_END, running), 0.0)) is not None:
            until = min(until, max(back_s, ended_s) + bench.stand.away_limit_s)
        if "queue" not in bench.places(batch.all).values():
            batch.after.append(bench.send())
            bench.until(lambda: False, ANEW_S)
        bench.until(lambda: False, LOOK_S)
    bench.stand.note("no request was taken")
    return None


def settle(bench: Bench, batch: Batch) -> None:
    """Wait until every request is answered and none is held or run any more; or nothing happens any more."""
    until = time.monotonic() + SETTLED_LIMIT_S
    before, since = -1, time.monotonic()
    while time.monotonic() < until and bench.worker.poll() is None:
        begun, ended = (len(times(bench, kind)) for kind in (contract.TASK_BEGIN, contract.TASK_END))
        if begun != before or begun != ended:
            before, since = begun, time.monotonic()
        held = list(bench.places(batch.all).values())
        quiet_s = time.monotonic() - since
        if quiet_s > (bench.stand.away_limit_s if "queue" in held else QUIET_S) or (
            quiet_s > 1.0 and not any(held) and all(map(bench.outcome, batch.all))
        ):
            return
        bench.until(lambda: False, LOOK_S)


def fate(bench: Bench, number: int) -> str:
    return fate_of(bench.outcome(number), len(bench.begun(number)), bench.place_of(number))


def times(bench: Bench, kind: int, number: int | None = None) -> list[float]:
    """When events or stamps of a kind were left, of one request or of all; seconds of CLOCK_MONOTONIC, oldest first."""
    ending = "stamps" if kind == contract.WORKER_RECEIVED else "events"
    return sorted(
        event.at_ns / 1e9
        for path in bench.events.glob(f"*.{ending}")
        for event in contract.unpack(path.read_bytes(), int(path.stem))
        if event.kind == kind and number in (None, event.number)
    )


def first_after(moments: Sequence[float], begin: float) -> float | None:
    """The first moment after `begin`.

    >>> first_after([1.0, 2.0, 3.0], 1.5), first_after([1.0], 1.5)
    (2.0, None)
    """
    return next((moment for moment in moments if moment > begin), None)


def ask_why(bench: Bench) -> None:
    """Keep, as evidence, what `harness why` says of a worker that takes nothing."""
    url = bench.stand.url if bench.stand.amqp is None else ""  # it asks no RabbitMQ
    variables = {**os.environ, "HARNESS_HOME": str(home()), "WHY_BROKER": url}
    try:
        done = processes.run([sys.executable, "-P", "-c", WHY, str(bench.pid)], env=variables, limit_s=WHY_LIMIT_S)
        said = portable(done.stdout or done.stderr)
    except subprocess.TimeoutExpired:
        said = f"no answer within {WHY_LIMIT_S:g} s\n"
    bench.stand.evidence.mkdir(parents=True, exist_ok=True)
    (bench.stand.evidence / "why.txt").write_text(said)
