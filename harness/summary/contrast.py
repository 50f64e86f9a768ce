"""A cause that a sibling speaks against is none: what a spawned child does as well, no fork did to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.judge.causes import FORKED, SPAWNED, Cause
from harness.records.outcomes import STUCK
from harness.records.record import TrialRecord


def cause(record: TrialRecord, groups: Mapping[str, Sequence[TrialRecord]]) -> Cause:
    """The likely cause on record; 'unknown' if it is the fork and spawned children end so, too. `groups`: trials by cell id."""
    own = Cause(name=record.ended.cause, support=tuple(record.ended.support))
    if record.as_cell.pool != FORKED or not own.name.startswith("fork-"):
        return own
    spawned = groups.get(replace(record.as_cell, pool=SPAWNED).id, ())
    if not any(one.outcome is record.outcome or {one.outcome, record.outcome} <= STUCK for one in spawned):
        return own
    where = (text for text in own.support if text.startswith("the stack ends"))
    return Cause(name="unknown", support=("children that are spawned end so, too: no fork is the cause", *where))
