"""What may be said from outside of each fault of the catalogue, and of which a proof is promised beforehand. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.experiment.matrix import fault_options
from harness.live.executor import State
from harness.proof.selftest.entry import GREEN, Case

NOT_STUCK = frozenset({State.WORKS, State.WAITING, State.UNKNOWN})
GONE = "ended"  # there is no worker any more

#: faults of a true hang that no look of some seconds proves: the kind, and why
NOT_PROMISED: Mapping[str, str] = {
    "native-spin": "that a computation has no end shows only beside the time that such requests take",
    "endless-loop": "that a computation has no end shows only beside the time that such requests take",
    "endless-search": "that a computation has no end shows only beside the time that such requests take",
    "lost-reply": "no task runs: that an answer is missing, its sender alone knows",
}
IDLE_BESIDE = "other threads of the pool are idle, and the next task in one of them may end the wait"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """`states` that are true; `cause` that a proof names, '' if none is looked at; `promised`: a proof is, and nothing less
    will do; `why` it is not."""

    states: frozenset[State]
    cause: str = ""
    promised: bool = False
    why: str = ""


def of(case: Case, *, deep: bool = True) -> Expected:
    """What is true of this fault in this pool. Without native stacks (`deep`) a fork is no named cause, see `live.answer`."""
    entry, kind = case.entry, str(fault_options(case.entry.fault).get("kind", ""))
    hangs = entry.hangs_in(case.pool)
    if not hangs:
        return Expected(states=NOT_STUCK, why="it ends by itself, or by somebody else's hand")
    why = NOT_PROMISED.get(kind) or _not_seen(case)
    states = NOT_STUCK | {State.STUCK}
    if why or not entry.provable:
        return Expected(states=states, cause=entry.cause, why=why or "its proof needs what the worker itself tells")
    cause = entry.cause if deep or not entry.cause.startswith("fork-") else ""
    return Expected(states=frozenset({State.STUCK}), cause=cause, promised=True)


def _not_seen(case: Case) -> str:
    if case.pool in GREEN:
        return "greenlets cannot be read from outside"
    hung = case.entry.hung if case.pool == "threads" and case.pool in case.entry.counted_in else None
    return IDLE_BESIDE if hung and hung[0] < hung[1] else ""
