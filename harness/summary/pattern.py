"""What the outcomes of one question say together: a fault that every pool has is not the fork's, and one that threads alone
have is of what requests share. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.records.outcomes import ANSWERED, NOT_JUDGED, STUCK, Outcome
from harness.records.record import TrialRecord
from harness.summary.summary import gravest
from harness.texts import few

SERVES = ANSWERED | {Outcome.SLOW}
ANSWERED_BADLY = {Outcome.WRONG, Outcome.ERRORS}
ENDS = {Outcome.HUNG, Outcome.WAITING, Outcome.CRASHED, Outcome.RESPAWNING}  # what ends one pool's process may hang another's

#: signal.signal and signal.set_wakeup_fd (Modules/signalmodule.c), by which asyncio's loops take signals, too
MAIN_THREAD = re.compile(r"only works in (the )?main thread")


def needs_main_thread(record: TrialRecord) -> bool:
    """Whether Python refused requests of this trial what only the main thread of a process may do."""
    return any(MAIN_THREAD.search(text) for text in record.answers.errors)


def across(cell: Cell, groups: Mapping[str, Sequence[TrialRecord]]) -> str:
    """What sets this cell apart from the others of the same question, if it did not end well; '' if nothing can be said.

    `groups`: the trials of each cell of the run, by its id. A pool that ends as the calls without Celery do has no fault of its
    own, so that it counts as one that is not affected.
    """
    same = _same_question(cell, groups)
    own = worst(same.get(cell, ()))
    if cell.is_control or cell.is_baseline or own is None or own.outcome in SERVES:
        return ""
    alone = next((_alone(found) for other, trials in same.items() if other.is_baseline and (found := worst(trials))), None)
    pools: dict[str, list[TrialRecord]] = {}
    for other, trials in same.items():
        if not other.is_baseline and (ended := worst(trials)) is not None:
            pools.setdefault(other.pool, []).append(ended)
    if _alike(own, alone):
        how = "end so, too" if own.outcome is alone else f"end badly, too ({alone})"
        served = [pool for pool, ends in pools.items() if all(one.outcome in SERVES for one in ends)]
        return f"the calls without Celery {how}{_whose(served)}"
    spared = {pool: all(one.outcome in SERVES or _alike(one, alone) for one in ends) for pool, ends in pools.items()}
    good = [pool for pool, is_spared in spared.items() if is_spared]
    bad = [pool for pool in spared if pool not in good]
    if needs_main_thread(own):
        return ""  # the reason says it: no data that requests share is at fault
    return _of_pools(bad, good, own.outcome) if good else _everywhere(bad, alone)


def _whose(served: Sequence[str]) -> str:
    """Of a fault that the calls without Celery have as well; `served`: the pools that answered all the same."""
    if not served:
        return ": the task itself does it, and no pool can mend that"
    answered = f"{few(served, len(served))} answered"
    return f", but {answered}: look at what the application does there before its first task, or has there alone"


def _same_question(cell: Cell, groups: Mapping[str, Sequence[TrialRecord]]) -> dict[Cell, Sequence[TrialRecord]]:
    """Cells that differ in the pool, and in the number of executors, alone."""
    found = {trials[0].as_cell: trials for trials in groups.values() if trials}
    return {other: trials for other, trials in found.items() if _question(other) == _question(cell)}


def _question(cell: Cell) -> tuple[str, ...]:
    return cell.backend, cell.venv, cell.workload, cell.call, cell.parent, cell.fault


def worst(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The one of the gravest outcome of those that were judged; None if none was."""
    judged = [record for record in trials if record.outcome not in NOT_JUDGED]
    return gravest(judged) if judged else None


def _alone(record: TrialRecord) -> Outcome | None:
    """How the calls without Celery ended; None if they wait for another task of the application, which nobody runs there."""
    return None if record.answers.backlog and record.outcome in ENDS else record.outcome


def _alike(one: TrialRecord, alone: Outcome | None) -> bool:
    """Whether a trial ended badly as the calls without Celery did: in the same way, or by what ends a process or a wait, unless
    a fork did it here. A row that ends a process may leave a thread or a greenlet of another pool without an answer.
    """
    if one.outcome in SERVES:
        return False
    by_fork = one.ended.cause.startswith("fork-") and {one.outcome, alone} != {Outcome.HUNG, Outcome.WAITING}
    return one.outcome is alone or ({one.outcome, alone} <= ENDS and not by_fork)


def _of_pools(bad: Sequence[str], good: Sequence[str], own: Outcome) -> str:
    others = f"{few(good, len(good))} {'are' if len(good) > 1 else 'is'} not affected"
    if set(bad) <= {"prefork"} and "prefork-spawn" in good:
        copied = "copied or shared" if own is Outcome.WRONG else "copied"
        return f"only a fork does it ({others}): what the main process had made before it is {copied}, and its threads are not"
    if set(bad) == {"prefork-spawn"} and "prefork" in good:
        anew = "each imports the application anew, where multiprocessing starts no process"
        return f"only spawned children do it ({others}): {anew}, and lacks what the main process made after its import"
    if all(POOLS[pool].executors == "processes" for pool in bad):
        return f"only {few(bad)} does it ({others}): look at limits that only processes keep, and at what they share or inherit"
    beside = {pool for pool in POOLS if POOLS[pool].executors in ("threads", "greenlets")}
    if set(bad) <= beside and not set(good) & beside:
        return (
            f"only requests that share a process do it ({others}): look at what they share, or what each thread has of its own"
        )
    green = {pool for pool in POOLS if POOLS[pool].executors == "greenlets"}
    if own in STUCK | ANSWERED_BADLY and set(bad) <= green and not set(good) & green and "threads" in good:
        at_once = "a wait outside of their loop, as in C code, stops all of them at once"
        share = "look at what is kept for each thread, such as asyncio's running loop: they share one thread"
        return f"only greenlets do it ({others}): {at_once if own in STUCK else share}"
    return f"{few(bad, len(bad))} {'end' if len(bad) > 1 else 'ends'} like this; {others}"


def _everywhere(bad: Sequence[str], alone: Outcome | None) -> str:
    if len(bad) < 2:
        return "the calls without Celery, one after the other, do not end like this" if alone in SERVES else ""
    without = ", but not in the calls without Celery" if alone in SERVES else ""
    return f"every pool that was tried ends like this ({few(bad, len(bad))}){without}"
