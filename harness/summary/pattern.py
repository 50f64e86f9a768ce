"""What the outcomes of one question say together: a fault that every pool has is not the fork's, and one that threads alone
have is of what requests share. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.records.outcomes import ANSWERED, NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.texts import few

SERVES = ANSWERED | {Outcome.SLOW}


def across(cell: Cell, groups: Mapping[str, Sequence[TrialRecord]]) -> str:
    """What sets this cell apart from the others of the same question, if it did not end well; '' if nothing can be said.

    `groups`: the trials of each cell of the run, by its id.
    """
    if cell.is_control or cell.is_baseline:
        return ""
    ended = {other: serves(trials) for other, trials in _same_question(cell, groups).items()}
    if ended.get(cell, True) is not False:
        return ""
    baseline = [served for other, served in ended.items() if other.is_baseline and served is not None]
    pools: dict[str, set[bool]] = {}
    for other, served in ended.items():
        if not other.is_baseline and served is not None:
            pools.setdefault(other.pool, set()).add(served)
    bad = [pool for pool, all_served in pools.items() if False in all_served]
    good = [pool for pool, all_served in pools.items() if all_served == {True}]
    if False in baseline:
        return "the calls without Celery do not end well, either: the task itself does it, and no pool can mend that"
    return _of_pools(bad, good) if good else _everywhere(bad, baseline)


def _same_question(cell: Cell, groups: Mapping[str, Sequence[TrialRecord]]) -> dict[Cell, Sequence[TrialRecord]]:
    """Cells that differ in the pool, and in the number of executors, alone."""
    found = {trials[0].as_cell: trials for trials in groups.values() if trials}
    return {other: trials for other, trials in found.items() if _question(other) == _question(cell)}


def _question(cell: Cell) -> tuple[str, ...]:
    return cell.backend, cell.venv, cell.workload, cell.call, cell.parent, cell.fault


def serves(trials: Sequence[TrialRecord]) -> bool | None:
    """Whether every trial that was judged answered, and rightly as far as is known; None if none was."""
    judged = [record.outcome for record in trials if record.outcome not in NOT_JUDGED]
    return all(outcome in SERVES for outcome in judged) if judged else None


def _of_pools(bad: Sequence[str], good: Sequence[str]) -> str:
    others = f"{few(good, len(good))} {'are' if len(good) > 1 else 'is'} not affected"
    if set(bad) <= {"prefork"} and "prefork-spawn" in good:
        return f"only a fork does it ({others}): what the main process had made before it is copied, and its threads are not"
    if all(POOLS[pool].executors == "processes" for pool in bad):
        return (
            f"only {few(bad)} does it ({others}): look at what processes share, or inherit, and at limits that only they keep"
        )
    if all(POOLS[pool].executors in ("threads", "greenlets") for pool in bad):
        return (
            f"only requests that share a process do it ({others}): look at what they share, or what each thread has of its own"
        )
    return f"{few(bad)}: so it ends; {others}"


def _everywhere(bad: Sequence[str], baseline: Sequence[bool]) -> str:
    if len(bad) < 2:
        return ""
    alone = ", but not in the calls without Celery" if True in baseline else ""
    return f"so it ends in every pool that was tried ({few(bad, len(bad))}){alone}"
