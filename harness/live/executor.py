"""The states of an executor and of a worker, and what is said of one executor: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.judge.blocked import How


class State(StrEnum):
    """Of an executor, or of a worker, which is as bad as its worst executor."""

    STUCK = "stuck"  # proved: no progress can come
    WAITING = "waiting"  # it waits for something, and nobody can say that it will not come
    UNKNOWN = "cannot-say"
    WORKS = "works"


WORST = (State.STUCK, State.WAITING, State.UNKNOWN, State.WORKS)
#: what an executor does, for the words
RUNS = "runs a task"
ENDS = "is ending"
DOES = {
    "start": "starts up",
    "end": ENDS,
    "main": "is in a handler of the application's",
    "loop": "is in a call that its own loop has made",
    "stopped": "is stopped",
    "frozen": "is frozen",
}
#: what a halted process waits for, whatever call it was in when it was halted
HALTED = {How.STOPPED: "SIGCONT, for a signal has stopped it", How.FROZEN: "its control group to be thawed"}


@dataclass(frozen=True, kw_only=True)
class Executor:
    """A child, or a thread, that runs a task or starts up. `waits_for`: in words; `owner`: who has what it waits for; `how`:
    of the proof, or of what is one but for the doubt."""

    pid: int
    tid: int
    state: State
    does: str
    task_id: str = ""
    task: str = ""
    since_s: float | None = None  # seconds ago
    waits_for: str = ""
    owner: str = ""
    how: How | None = None
    doubt: str = ""
