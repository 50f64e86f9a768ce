"""The JSON of `harness why`, schema 1: a contract. `Answer.model_validate_json` reads it; a test holds what is written to it.

A field is never removed, and never means another thing, as long as the number stays. New fields may come: who reads it
should pass over what he does not know. Seconds are seconds ago, at the time of the last look.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from harness.live.executor import State


class Part(BaseModel):
    """What is written has these fields, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Wait(Part):
    """What an executor waits for."""

    what: str  # in words: 'TCP 10.0.0.5:5432 (established), with no time limit, in recv (ssl.py:9)'
    owner: str  # who holds the lock that it waits for, in words; '' if there is none, or nobody can tell


class Executor(Part):
    """A process or thread that runs a task or starts up. Idle ones are not listed."""

    pid: int  # its process
    tid: int  # its thread: the process's number if it is the main one
    state: State  # its own
    task_id: str  # of the task that it runs; '' if it runs none, or it cannot be told
    task: str  # the task's name, likewise
    since_s: float | None  # how long it has been at this, seconds; null if it cannot be told
    waits_for: list[Wait]  # [] if it waits for nothing, or its state is 'works'


class Broker(Part):
    """What the broker says. {} if its address is not known: it is in the command line, in the environment, or in --broker."""

    url: str = ""  # without its password
    answers: bool | None = None  # whether it does; if not, 'why' stands beside it, and the other fields are missing
    why: str | None = None  # why it does not answer, in words
    queues: dict[str, int] | None = None  # messages that wait, by queue, empty ones left out; null if its keys cannot be told
    unacked: int | None = None  # messages that workers were given and have not acknowledged, of all queues
    others: bool | None = False  # whether other workers are connected that ask for messages; null if that is not known
    asks: bool | None = None  # whether this worker waits for a message now; null if its connections cannot be told from others


class Worker(Part):
    """One worker, as bad as its worst executor."""

    pid: int  # of its main process
    app: str  # as its command line names it; '' if that does not
    pool: str  # 'prefork', 'threads', 'solo', 'gevent', 'eventlet'; '' if it cannot be told
    concurrency: int  # of prefork, its children now; else as its command line says, 0 if that does not
    state: State  # of the worker
    reason: str  # one sentence: how many, which, since when, what for
    cause: str  # a name of docs/reference/causes.md, or 'unknown'; '' unless it is stuck
    support: list[str]  # what speaks for that cause
    since_s: float | None  # of the executor that the state is taken from, seconds; null if there is none
    now: str  # what frees it, and what that costs; '' if nothing has to be done
    for_good: str  # what keeps it from coming back; '' if nobody knows
    executors: list[Executor]  # those that are at something, the oldest first
    broker: Broker  # what its broker says
    unseen: list[str]  # what could not be looked at


class Answer(Part):
    """All of it."""

    schema_: Literal[1]  # written as 'schema'
    state: State  # of all workers: 'stuck' is worse than 'waiting', then 'cannot-say', then 'works'; the exit code says it, too
    workers: list[Worker]  # by process number, or in the order in which they were named

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=lambda name: name.rstrip("_"))
