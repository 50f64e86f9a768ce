"""Ways in which a RabbitMQ goes away or loses its patience, each done to a server of the measurement's own, as in `outages`.

Answers are stored in a Valkey that nothing is done to, so that only the broker is on trial.

The relay between worker and broker acknowledges what it drops, as a proxy does. If packets are dropped altogether, the kernel
ends a connection about a second after something is sent on it (py-amqp sets TCP_USER_TIMEOUT): that is not measured here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from harness.broker import rabbitmq, rabbitmq_view
from harness.broker.rabbitmq import RabbitMQ
from harness.errors import BrokerUnreachable, Interrupted
from harness.run.interrupt import GO_ON, STOPPED
from harness.studies.contracts import outages
from harness.studies.contracts.bench import CannotSay, Stand, Workload
from harness.studies.contracts.measures import ContractAnswer
from harness.studies.contracts.outages import DOWN_S, Between, Outage, pause
from harness.studies.contracts.reconnect import ready

#: RabbitMQ asks for a heartbeat of 60 s, and whoever hears nothing for two of them gives the connection up (py-amqp looks twice
#: per heartbeat): with what it takes to connect.
AWAY_LIMIT_S = 200.0
RESTART_S = DOWN_S + 20.0  # a server that was killed takes so long to answer again, or less
HEARTBEAT_S = 4  # of the contracts about heartbeats: a call takes several of them
BEATS: dict[str, object] = {"broker_heartbeat": HEARTBEAT_S}
LONG_CALL_S = 20.0
#: milliseconds; RabbitMQ's own are half an hour, and a minute between two looks at it
PATIENCE = "{consumer_timeout, 5000}, {channel_tick_interval, 1000}"
ETA_S, SOON_S = 20.0, 8.0
MORE_THAN_PREFETCHED = 6


@contextmanager
def served(stand: Stand, *, more: str = "", quorum: bool = False) -> Iterator[tuple[RabbitMQ, Stand]]:
    """A server and a stand on it; `more`: its settings, see `rabbitmq.embedded`. Raises CannotSay."""
    if reason := rabbitmq.lacking():
        raise CannotSay(reason)
    with ExitStack() as stack:
        try:
            server = stack.enter_context(rabbitmq.embedded(stand.folder / "rabbitmq", stand.stopped.is_set, more=more))
        except BrokerUnreachable as error:
            raise not_there(stand, error) from error
        stand.note(f"RabbitMQ {server.version} answers")
        yield server, replace(stand, amqp=server, quorum=quorum, away_limit_s=AWAY_LIMIT_S)


def not_there(stand: Stand, error: BrokerUnreachable) -> Exception:
    return Interrupted(STOPPED, remedy=GO_ON) if stand.stopped.is_set() else CannotSay(str(error))


@contextmanager
def blip(stand: Stand) -> Iterator[Outage]:
    """The server closes every connection there is, and goes on."""
    with served(stand) as (server, own):

        def strike(_: Between) -> float:
            own.note(f"the server closed {rabbitmq_view.disconnected(server)} connections")
            return time.monotonic()

        yield Outage(stand=own, strike=strike)


@contextmanager
def restart(stand: Stand, *, keeps: bool) -> Iterator[Outage]:
    """SIGKILL to the server, and the same one again, which has its data (`keeps`) or none."""
    with served(stand) as (server, own):

        def strike(_: Between) -> float:
            assert server.process is not None
            server.process.kill()
            own.note("SIGKILL to the server")
            pause(own, DOWN_S)
            try:
                rabbitmq.restarted(server, own.stopped.is_set, keeps=keeps)
            except BrokerUnreachable as error:
                raise not_there(own, error) from error
            own.note("the server answers again")
            return time.monotonic()

        yield Outage(stand=own, strike=strike)


@contextmanager
def partition(stand: Stand) -> Iterator[Outage]:
    """As `outages.partition`."""
    with served(stand) as (server, own), outages.silenced(own, server.url) as found:
        yield found


@contextmanager
def half_open(stand: Stand) -> Iterator[Outage]:
    """As `outages.half_open`."""
    with served(stand) as (server, own), outages.forgotten(own, server.url) as found:
        yield found


@contextmanager
def undisturbed(stand: Stand, *, more: str = "", seconds: float = LONG_CALL_S) -> Iterator[Outage]:
    """Nothing is done to the server; the call goes on for longer than it bears with."""
    with served(stand, more=more) as (_, own), outages.undisturbed(own, seconds=seconds) as found:
        yield found


def on(stand: Stand, *, measure: Callable[[Stand], ContractAnswer]) -> ContractAnswer:
    """What is measured on Valkey, measured on a RabbitMQ."""
    with served(stand) as (_, own):
        return measure(own)


def put_off(stand: Stand, *, quorum: bool) -> ContractAnswer:
    """A request that may be begun meets a worker that has more requests than it may prefetch put off to a later time (ETA)."""
    with served(stand, quorum=quorum) as (_, own), ready(own, Workload(), {}) as bench:
        later = [bench.put_off(ETA_S) for _ in range(MORE_THAN_PREFETCHED)]
        begun_s = time.monotonic()
        pause(own, 2.0)
        now = bench.send()
        sent_s = time.monotonic()
        outcome = bench.until_outcome(now, SOON_S)
        took_s = time.monotonic() - sent_s
        bench.until(lambda: all(map(bench.outcome, later)), ETA_S + SOON_S - (time.monotonic() - begun_s))
        early = sum(1 for one in later if bench.outcome(one))
        late = f"{early} of {len(later)} requests that were put off by {ETA_S:g} s were answered within {ETA_S + SOON_S:g} s"
        rest = bench.until_outcome(now, SOON_S)
    if outcome == "answered" and early == len(later):
        return ContractAnswer(verdict="passes them", seconds=took_s, detail=f"the one that was not: answered; {late}")
    verdict = "waits behind them" if outcome != "answered" else "passes them, they are late"
    told = outcome or f"no answer within {SOON_S:g} s, {f'{rest} later' if rest else 'nor later'}"
    return ContractAnswer(verdict=verdict, detail=f"the one that was not: {told}; {late}")
