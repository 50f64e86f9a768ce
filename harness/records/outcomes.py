"""How a trial can end: the words, by which records, tables and exit codes name it. What decides is `harness.judge.outcome`."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    ERRORS = "errors"
    HUNG = "hung"
    WAITING = "waiting"
    STALLED = "stalled"
    SLOW = "slow"
    UNCHECKED = "unchecked"
    CRASHED = "crashed"
    RESPAWNING = "respawning"
    REFUSED = "refused"
    SKIPPED = "skipped"
    INVALID = "invalid"


#: Everything was answered, and no answer is known to be wrong: the figures stand. Of `unchecked`, nothing was compared.
ANSWERED = frozenset({Outcome.OK, Outcome.UNCHECKED})
#: Outcomes whose trials count as failed, for `harness run --retry failed`.
FAILED = frozenset(Outcome) - ANSWERED - {Outcome.SKIPPED}
STUCK = frozenset({Outcome.HUNG, Outcome.WAITING})  # no progress, whether that is proved or not
NOT_JUDGED = frozenset({Outcome.SKIPPED, Outcome.INVALID})  # these say nothing of the cell
#: The gravest first. If trials of one cell end differently, its row shows the gravest of those that say something of the cell.
GRAVITY = (
    Outcome.CRASHED, Outcome.RESPAWNING, Outcome.HUNG, Outcome.WAITING, Outcome.WRONG, Outcome.ERRORS, Outcome.STALLED,
    Outcome.REFUSED, Outcome.SLOW, Outcome.INVALID, Outcome.UNCHECKED, Outcome.OK, Outcome.SKIPPED,
)  # fmt: skip
