"""Plain facts about a worker's machinery and its broker, for `live.machinery` and `live.consumer` to decide over.

They are gathered by `live.witness`. Times are seconds; ages are as of the moment that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.live.kept import Kept
from harness.live.tasks import Task
from harness.machine.wires import Wire
from harness.observe.looks import Look
from harness.observe.roles import Role

Frames = tuple[tuple[str, str], ...]  # (function, file) each, innermost first


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A client, as the broker lists it."""

    address: str  # the client's own end, 'host:port'
    command: str  # its last one, in small letters
    idle_s: float = 0.0
    blocked: bool = False  # it waits in that command
    subscribed: int = 0  # to how many channels and patterns
    patterns: int = 0  # to how many of these
    near: bool = True  # it uses the queues' database


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message of Celery's, of which the arguments are never looked at."""

    id: str
    task: str
    queue: str = ""
    age_s: float | None = None  # since it was handed out, if it was
    put_off: bool = False  # it has an ETA or a countdown
    redelivered: bool = False


@dataclass(frozen=True, kw_only=True)
class BrokerLook:
    """The broker at one moment."""

    answers: bool | None  # None if it is of a kind that cannot be asked
    refused: bool = False  # it answered with an error
    why: str = ""  # the words of that, or of what failed
    queues: Mapping[str, int] = field(default_factory=dict)  # messages that wait, by queue, empty ones left out
    unacked: int = 0  # messages that are handed out and not acknowledged
    handed: tuple[Message, ...] = ()  # the oldest of them
    connections: tuple[Connection, ...] = ()  # all but ours
    whole: bool = True  # all of its keys were gone through
    prefixed: bool = False  # nobody can tell under which prefix (kombu's global_keyprefix) the worker's keys lie
    prefixes: tuple[str, ...] = ()  # those that there are, if so


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One look at the main process and at the broker."""

    at_s: float
    wires: tuple[Wire, ...] = ()  # of the main process
    main_at: int | None = None  # the one descriptor at which its main thread waits in a read, a write or a connect
    switches: int = 0  # how often its main thread has waited
    children: Mapping[int, str] = field(default_factory=dict)  # of the pool, each with the kernel's letter for its state
    broker: BrokerLook | None = None  # None if no URL is known


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the causes are decided over."""

    main: int
    pool: str
    role: Role  # of the main process
    restart: str = "restart the worker with kill -9"  # what does it
    apart: bool = False  # it is in another network namespace than we
    concurrency: int = 0  # as the command line names it; 0 if it does not, and if the pool scales itself
    queues: tuple[str, ...] = ()  # that the command line names
    gossips: bool = False  # nothing switches gossip off: a loop that turns is then subscribed to what other workers tell
    port: int = 0  # of the broker
    age_s: float = 0.0  # of the worker
    looks: Sequence[Look] = ()  # over the first seconds, see `live.attach`
    busy: int = 0  # executors at a task
    idle: int | None = None  # executors seen idle; None if they cannot be told
    tasks: tuple[Task, ...] = ()  # that ran all the while
    elsewhere: frozenset[str] = frozenset()  # ids of tasks that other workers of this machine run
    frames: tuple[Frames, ...] = ()  # of the main thread, at the first and at the last moment; () if they may not be read
    moments: tuple[Moment, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)  # of packages in the worker's environment
    kept: Kept = field(default_factory=Kept)  # what the main process keeps in its memory
    begun: int | None = None  # tasks that its executors have begun from the first moment to the last; None if that is not known

    @property
    def last(self) -> Moment:
        return self.moments[-1]

    @property
    def span_s(self) -> float:
        """Seconds from the first moment to the last."""
        return self.moments[-1].at_s - self.moments[0].at_s if self.moments else 0.0

    @property
    def brokers(self) -> list[BrokerLook]:
        """The broker's answers; [] if it did not answer at each moment."""
        found = [one.broker for one in self.moments if one.broker is not None and one.broker.answers]
        return found if len(found) == len(self.moments) else []
