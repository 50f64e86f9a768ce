"""A cause that a sibling speaks against is none: what happens without a fork as well, no fork has done. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.experiment.pools import POOLS
from harness.judge.causes import FORKED, SHARED_CONNECTION, SPAWNED, Cause
from harness.records.outcomes import STUCK
from harness.records.record import TrialRecord


def cause(record: TrialRecord, groups: Mapping[str, Sequence[TrialRecord]]) -> Cause:
    """The likely cause on record; 'unknown' if it is the fork and spawned children end so, too. A shared connection is none
    either if any pool that does not fork ends so. `groups`: trials by cell id.
    """
    own = Cause(name=record.ended.cause, support=tuple(record.ended.support))
    if record.as_cell.pool != FORKED or not own.name.startswith("fork-"):
        return own
    others = [pool for pool in POOLS if pool != FORKED] if own.name == SHARED_CONNECTION else [SPAWNED]
    alike = [pool for pool in others if any(_ends_alike(record, one) for one in _of(record, pool, groups))]
    if not alike:
        return own
    where = (text for text in own.support if text.startswith("the stack ends"))
    who = "children that are spawned end" if SPAWNED in alike else f"{alike[0]} ends"
    return Cause(name="unknown", support=(f"{who} so, too: no fork is the cause", *where))


def _of(record: TrialRecord, pool: str, groups: Mapping[str, Sequence[TrialRecord]]) -> Sequence[TrialRecord]:
    """The trials of the sibling in this pool; solo has one executor."""
    cell = replace(record.as_cell, pool=pool)
    return groups.get((replace(cell, concurrency=1) if pool == "solo" else cell).id, ())


def _ends_alike(record: TrialRecord, other: TrialRecord) -> bool:
    return record.outcome is other.outcome or {record.outcome, other.outcome} <= STUCK
