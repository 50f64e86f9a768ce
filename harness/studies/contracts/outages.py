"""Ways in which a broker goes away and comes back, each done to a server of the measurement's own.

`around` gives a stand on that server and a function that strikes. It strikes, waits until the broker is there again, and says
when that was. Nothing of the worker is looked at here; `reconnect` measures what becomes of it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import redis

from harness import broker
from harness.errors import HarnessError, Interrupted
from harness.machine.processes import OwnedProcess
from harness.run.interrupt import GO_ON, STOPPED
from harness.studies.contracts.bench import CannotSay, Stand
from harness.trial import outside

DOWN_S = 5.0  # how long a restarted server is away
PARTITION_S = 60.0  # more than the 51 s after which kombu 5.7 drops a connection that owes an answer (its redis transport)
BACK_LIMIT_S = 15.0
LOOK_S = 0.05
Between = Callable[[], None]  # what is done while the broker is away


@dataclass(frozen=True, kw_only=True)
class Outage:
    """`stand`: on a server of its own. `strike`, which can be called again, returns when the broker is there again, in seconds
    of CLOCK_MONOTONIC; meanwhile, if the server itself goes on, it calls what it is given."""

    stand: Stand
    strike: Callable[[Between], float]


@contextmanager
def blip(stand: Stand) -> Iterator[Outage]:
    """The server closes every connection there is, and goes on."""
    with broker.embedded(stand.folder / "own-broker") as own:

        def strike(_: Between) -> float:
            with broker.client(own.url) as connection:
                killed = [int(connection.client_kill_filter(_type=kind)) for kind in ("normal", "pubsub")]
            stand.note(f"the server closed {killed[0]} connections of commands and {killed[1]} of subscribers")
            return time.monotonic()

        yield Outage(stand=replace(stand, url=own.url), strike=strike)


@contextmanager
def restart(stand: Stand, *, keeps: bool) -> Iterator[Outage]:
    """SIGKILL to the server, and a new one on the same port, which has its data (`keeps`) or none."""
    folder = stand.folder / "own-broker"
    with ExitStack() as stack:
        own = stack.enter_context(broker.embedded(folder, keeps=keeps))
        assert own.process is not None
        servers = [own.process]

        def strike(_: Between) -> float:
            servers[-1].kill()
            stand.note("SIGKILL to the server")
            pause(stand, DOWN_S)
            servers.append(stack.enter_context(broker.restarted(folder)))
            return answers_again(stand, own.url)

        yield Outage(stand=replace(stand, url=own.url), strike=strike)


@contextmanager
def partition(stand: Stand) -> Iterator[Outage]:
    """The network between worker and broker drops everything for a while, and says nothing; then all of it arrives."""
    with broker.embedded(stand.folder / "own-broker") as own, silenced(replace(stand, url=own.url), own.url) as found:
        yield found


@contextmanager
def half_open(stand: Stand) -> Iterator[Outage]:
    """What is between worker and broker forgets the connections that there are, and says nothing; new ones work at once."""
    with broker.embedded(stand.folder / "own-broker") as own, forgotten(replace(stand, url=own.url), own.url) as found:
        yield found


@contextmanager
def silenced(stand: Stand, url: str) -> Iterator[Outage]:
    """A partition of the worker from the broker at this URL, whichever that is.

    The worker alone connects through a relay of ours, which is stopped by SIGSTOP and continued (as in `trial.outside.cut`).
    """
    with relayed(url, stand.folder) as (process, far):

        def strike(meanwhile: Between) -> float:
            begun_s = time.monotonic()
            os.kill(process.pid, signal.SIGSTOP)
            stand.note("the network drops everything from now on")
            meanwhile()
            pause(stand, PARTITION_S - (time.monotonic() - begun_s))
            os.kill(process.pid, signal.SIGCONT)
            stand.note(f"the network works again, after {time.monotonic() - begun_s:.1f} s")
            return time.monotonic()

        yield Outage(stand=replace(stand, worker_url=far), strike=strike)


@contextmanager
def forgotten(stand: Stand, url: str) -> Iterator[Outage]:
    """Connections of the worker to the broker at this URL that only their two ends still know of."""
    with relayed(url, stand.folder) as (process, far):

        def strike(_: Between) -> float:
            os.kill(process.pid, signal.SIGUSR1)
            stand.note("the network forgets every connection of the worker")
            return time.monotonic()

        yield Outage(stand=replace(stand, worker_url=far), strike=strike)


@contextmanager
def undisturbed(stand: Stand, *, seconds: float) -> Iterator[Outage]:
    """Nothing is done to the server; the call goes on for longer than it bears with."""

    def strike(_: Between) -> float:
        pause(stand, seconds)
        return time.monotonic()

    yield Outage(stand=stand, strike=strike)


@contextmanager
def relayed(url: str, folder: Path) -> Iterator[tuple[OwnedProcess, str]]:
    """A relay to this server, and the URL by which one goes through it. Raises CannotSay."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(outside.relayed(url, folder))
        except HarnessError as error:
            raise CannotSay(str(error)) from error
        yield found


def answers_again(stand: Stand, url: str) -> float:
    """When the server answered for the first time, with its data read. Raises CannotSay."""
    until = time.monotonic() + BACK_LIMIT_S
    while time.monotonic() < until:
        try:
            with broker.client(url) as connection:
                connection.get("any")  # refused while it loads
            stand.note("the server answers again")
            return time.monotonic()
        except redis.RedisError:
            pause(stand, LOOK_S)
    raise CannotSay(f"the server did not answer within {BACK_LIMIT_S:g} s of its restart")


def pause(stand: Stand, seconds: float) -> None:
    """Raises Interrupted once the user has stopped the survey."""
    if stand.stopped.wait(max(0.0, seconds)):
        raise Interrupted(STOPPED, remedy=GO_ON)
