"""Plain facts about a worker's machinery and its broker, for `live.machinery` and `live.consumer` to decide over.

They are gathered by `live.witness`. Times are seconds; ages are as of the moment that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.live.tasks import Task
from harness.machine.wires import Wire
from harness.observe.looks import Look
from harness.observe.roles import Role

Frames = tuple[tuple[str, str], ...]  # (function, file) each, innermost first


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A client, as the broker lists it. `address`: the client's own end, 'host:port'; `command`: its last one; `blocked`: it
    waits in that command; `subscribed`: to how many channels and patterns, `patterns`: to how many of these; `near`: it uses
    the queues' database."""

    address: str
    command: str
    idle_s: float = 0.0
    blocked: bool = False
    subscribed: int = 0
    patterns: int = 0
    near: bool = True


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message of Celery's, of which the arguments are never looked at. `age_s`: since it was handed out, if it was;
    `put_off`: it has an ETA or a countdown."""

    id: str
    task: str
    queue: str = ""
    age_s: float | None = None
    put_off: bool = False
    redelivered: bool = False


@dataclass(frozen=True, kw_only=True)
class BrokerLook:
    """The broker at one moment. `answers`: None if it is of a kind that cannot be asked; `refused`: it answered with an error,
    and `why` has its words. `queues`: messages that wait, by queue, empty ones left out; `unacked`: how many are handed out and
    not acknowledged, `handed`: the oldest of them; `whole`: all keys of the broker were gone through."""

    answers: bool | None
    refused: bool = False
    why: str = ""
    queues: Mapping[str, int] = field(default_factory=dict)
    unacked: int = 0
    handed: tuple[Message, ...] = ()
    connections: tuple[Connection, ...] = ()
    whole: bool = True


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One look at the main process and at the broker. `wires`: of the main process; `main_at`: the descriptor at which its main
    thread waits in a read, a write or a connect, None if it waits in none, `switches`: how often it has waited; `children`:
    direct ones, by the kernel's letter; `broker`: None if no URL is known."""

    at_s: float
    wires: tuple[Wire, ...] = ()
    main_at: int | None = None
    switches: int = 0
    children: Mapping[int, str] = field(default_factory=dict)
    broker: BrokerLook | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the causes are decided over."""

    main: int
    pool: str
    role: Role
    """of the main process"""
    concurrency: int = 0
    """as the command line names it; 0 if it does not, and if the pool scales itself"""
    queues: tuple[str, ...] = ()
    """that the command line names"""
    port: int = 0
    """of the broker"""
    age_s: float = 0.0
    """of the worker"""
    looks: Sequence[Look] = ()
    """over the first seconds, see `live.attach`"""
    busy: int = 0
    """executors at a task"""
    idle: int | None = None
    """executors seen idle; None if they cannot be told"""
    tasks: tuple[Task, ...] = ()
    """that ran all the while"""
    elsewhere: frozenset[str] = frozenset()
    """ids of tasks that other workers of this machine run"""
    frames: tuple[Frames, ...] = ()
    """of the main thread, at the first and at the last moment; () if they may not be read"""
    moments: tuple[Moment, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    """of packages in the worker's environment"""

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
