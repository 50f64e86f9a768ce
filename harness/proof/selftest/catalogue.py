"""The fault catalogue, as data: what is injected, where it can exist, and what may be said of it.

Faults are named as cells name them (`experiment.matrix.FAULT`). An entry's `accepted` outcomes are the true ones: where there
are two, both are true, and which one it is depends on how far the trial came. The entries stand in `hanging`, `passing`,
`elsewhere`, `ending` and `silent`; what they are made of, in `entry`.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import NothingMatches
from harness.proof.selftest.elsewhere import ELSEWHERE
from harness.proof.selftest.ending import ENDING
from harness.proof.selftest.entry import ALL, Case, Entry, ends
from harness.proof.selftest.hanging import HANGING
from harness.proof.selftest.passing import PASSING
from harness.proof.selftest.silent import SILENT
from harness.records.outcomes import Outcome
from harness.run import plan

CATALOGUE: tuple[Entry, ...] = (ends("nothing", "", Outcome.OK), *HANGING, *PASSING, *ELSEWHERE, *ENDING, *SILENT)


def cases(environment: str, pools: Iterable[str] = (), names: Iterable[str] = ()) -> list[Case]:
    """The entries of these names (all) in these pools (all). Raises NothingMatches for a name that there is not."""
    pools, names = list(pools), list(names)
    known = {entry.name: entry for entry in CATALOGUE}
    for wanted, there, what in ((pools, ALL, "pool"), (names, tuple(known), "fault")):
        for one in wanted:
            if one not in there:
                raise NothingMatches(f"no {what} {one!r}", remedy=f"use {', '.join(there)}")
    return [_case(known[name], pool, environment) for name in names or known for pool in pools or ALL]


def _case(entry: Entry, pool: str, environment: str) -> Case:
    cell = entry.cell(pool, environment)
    skip = entry.elsewhere if pool not in entry.pools else plan.why_skipped(cell)
    return Case(entry=entry, pool=pool, cell=cell, skip=skip)
