"""What the outcomes of one question say together: a fault that every pool has is not the fork's, and one that threads alone
have is of what requests share. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.records.outcomes import ANSWERED, NOT_JUDGED, STUCK, Outcome
from harness.records.record import TrialRecord
from harness.summary.summary import gravest
from harness.texts import few

ANSWERED_BADLY = {Outcome.WRONG, Outcome.ERRORS}
DIES = {Outcome.CRASHED, Outcome.RESPAWNING}
ENDS = STUCK | DIES  # what ends one pool's process may hang another's
#: causes that a row alone may have, in a pool as without Celery; any other one is of this pool's own
OF_A_ROW = ("", "unknown", "lost-message", "respawn-loop")
HUB_BLOCKED = "hub-blocked"
NEVER_CALLED = "was never called"  # in the reason of a trial whose pool has no beginning of a child, see `probe.seen`
MORE_ERRORS, CHANCE = 1.5, 0.1  # by which the share of requests that raise may be larger in a pool than without Celery

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
    ends = {other: found for other, trials in _same_question(cell, groups).items() if (found := worst(trials))}
    own = ends.get(cell)
    if cell.is_control or cell.is_baseline or own is None or serves(own):
        return ""
    alone = next((found for other, found in ends.items() if other.is_baseline and not waits_for_nobody(found)), None)
    pools = {other: found for other, found in ends.items() if not other.is_baseline}
    if alone is not None and _alike(own, alone):
        how = "end so, too" if own.outcome is alone.outcome else f"end badly, too ({alone.outcome})"
        return f"the calls without Celery {how}{_whose(_wholly(pools, [one for one in pools if serves(pools[one])]))}"
    served = [one for one, found in pools.items() if serves(found)]
    good = [*served, *(one for one, found in pools.items() if alone is not None and _alike(found, alone))]
    bad = [one for one in pools if one not in good]
    others = _not_affected(served, [one for one in good if one not in served], bad)
    if needs_main_thread(own):
        return ""  # the reason says it: no data that requests share is at fault
    if any(not _like(pools[one], own) for one in bad):
        return "; ".join(filter(None, [_in_several_ways(bad, good, pools, own), others]))
    if not good:
        return _everywhere(bad, alone)
    # better pools whose cells are like this one otherwise: without any, it need not be the pool
    alike = set(_pools(one for one in good if _otherwise(one) == _otherwise(cell)))
    names = _names(bad, good)
    like_this = f"{few(names, len(names))} {'end' if len(names) > 1 else 'ends'} like this; {others}"
    return (alike and _of_pools(bad, good, alike, own, others)) or like_this


def serves(record: TrialRecord) -> bool:
    """Whether it answered, if slowly."""
    return record.outcome in ANSWERED or (record.outcome is Outcome.SLOW and record.answers.ok > 0)


def _wholly(pools: Collection[Cell], those: Sequence[Cell]) -> list[str]:
    """The pools all of whose cells are among those."""
    return [name for name in _pools(those) if all(one in those for one in pools if one.pool == name)]


def _pools(cells: Iterable[Cell]) -> list[str]:
    return list(dict.fromkeys(one.pool for one in cells))


def _names(cells: Sequence[Cell], others: Sequence[Cell]) -> list[str]:
    """Their pools; with as much of their ids behind it as none of the others has: 'prefork-c1', 'prefork-c2-first-task'."""
    return list(dict.fromkeys(_name(one, others) for one in cells))


def _name(cell: Cell, others: Sequence[Cell]) -> str:
    parts = cell.fields[1:]
    lengths = (many for many in range(1, len(parts)) if all(one.fields[1:][:many] != parts[:many] for one in others))
    return "-".join(parts[: next(lengths, len(parts))])


def _whose(served: Sequence[str]) -> str:
    """Of a fault that the calls without Celery have as well; `served`: the pools that answered all the same."""
    if not served:
        return ": the task itself does it, and no pool can mend that"
    answered = f"{few(served, len(served))} answered"
    return f", but {answered}: look at what the application does there before its first task, or has there alone"


def _same_question(cell: Cell, groups: Mapping[str, Sequence[TrialRecord]]) -> dict[Cell, Sequence[TrialRecord]]:
    """Cells of one model, called in one way; they differ in the pool, and in what else may make the difference."""
    found = {trials[0].as_cell: trials for trials in groups.values() if trials}
    return {other: trials for other, trials in found.items() if _question(other) == _question(cell)}


def _otherwise(cell: Cell) -> tuple[str, ...]:
    """All of it but its pool and the number of its executors."""
    backend, _, _, *rest = cell.fields
    return backend, *rest


def _question(cell: Cell) -> tuple[str, ...]:
    return cell.backend, cell.venv, cell.workload, cell.call, cell.parent, cell.fault


def worst(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The one of the gravest outcome of those that were judged; None if none was."""
    judged = [record for record in trials if record.outcome not in NOT_JUDGED]
    return gravest(judged) if judged else None


def waits_for_nobody(record: TrialRecord) -> bool:
    """Whether the calls without Celery wait for another task of the application, which nobody runs there; for ever, or until a
    time limit of their own."""
    in_vain = record.outcome is Outcome.ERRORS and all("Timeout" in kind for kind in kinds(record))
    return bool(record.answers.backlog) and (record.outcome in ENDS or in_vain)


def _alike(one: TrialRecord, alone: TrialRecord) -> bool:
    """Whether a trial ended badly as the calls without Celery did: in the same way, with the same errors in about as many of
    its requests, or by what ends a process or a wait, unless it has a cause of its own here. A row that ends a process may
    leave a thread or a greenlet of another pool without an answer.
    """
    if serves(one):
        return False
    if one.outcome is alone.outcome:
        return one.outcome is not Outcome.ERRORS or (kinds(one) <= kinds(alone) and not _raises_more(one, alone))
    both = {one.outcome, alone.outcome}
    return both <= ENDS and (one.ended.cause in OF_A_ROW or both == STUCK)


def kinds(record: TrialRecord) -> set[str]:
    """The names of the exceptions that its requests raised."""
    return {text.partition(":")[0] for text in record.answers.errors}


def _raises_more(one: TrialRecord, alone: TrialRecord) -> bool:
    if alone.answers.ok and not one.answers.ok:  # which never comes to what those did, if only in the end
        return True
    share, usual = (sum(each.answers.errors.values()) / max(1, each.answers.requests) for each in (one, alone))
    return share > MORE_ERRORS * usual + CHANCE


def _like(one: TrialRecord, own: TrialRecord) -> bool:
    """Whether two pools did badly in the same way."""
    if Outcome.ERRORS is one.outcome is own.outcome:
        return kinds(one) == kinds(own) or bool(kinds(one) & kinds(own))
    both = {one.outcome, own.outcome}
    return len(both) == 1 or both <= STUCK or both <= DIES


def _not_affected(served: Sequence[Cell], alike: Sequence[Cell], bad: Sequence[Cell]) -> str:
    """In words; `alike`: those that ended badly as the calls without Celery did, and have no fault of their own."""
    names, others = _names(served, [*alike, *bad]), _names(alike, [*served, *bad])
    said = [f"{few(names, len(names))} {'are' if len(names) > 1 else 'is'} not affected"] if names else []
    ends = "end" if len(others) > 1 else "ends"
    return ", ".join([*said, *([f"{few(others, len(others))} {ends} as the calls without Celery do"] if others else [])])


def _in_several_ways(bad: Sequence[Cell], good: Sequence[Cell], pools: Mapping[Cell, TrialRecord], own: TrialRecord) -> str:
    like = [one for one in bad if _like(pools[one], own)]
    rest = [one for one in bad if one not in like]
    names, others = _names(like, [*rest, *good]), _names(rest, [*like, *good])
    how = few(list(dict.fromkeys(_how(pools[one]) for one in rest)))
    told = f"{few(names, len(names))} {'end' if len(names) > 1 else 'ends'} like this; "
    told += f"{few(others, len(others))} {'end' if len(others) > 1 else 'ends'} badly in another way ({how})"
    return told


def _how(record: TrialRecord) -> str:
    return few(sorted(kinds(record))) if record.outcome is Outcome.ERRORS and kinds(record) else str(record.outcome)


def _of_pools(bad: Sequence[Cell], good: Sequence[Cell], alike: Set[str], own: TrialRecord, others: str) -> str:
    """What the ill pools have in common; `alike`: the pools that did better with a cell like this one otherwise."""
    ill, well = set(_pools(bad)), set(_pools(good))
    if told := not ill & well and _of_processes(ill, alike, own, others):
        return told
    well_beside = {one.pool for one in good if one.concurrency > 1}  # a single executor shares its process with no other
    beside = {pool for pool in POOLS if POOLS[pool].executors in ("threads", "greenlets")}
    if ill <= beside and not well_beside & beside:
        first = "what was never called there, then at " if NEVER_CALLED in own.ended.reason else ""
        shared = f"{first}what they share, or what each thread has of its own"
        return f"only requests that share a process do it ({others}): look at {shared}"
    green = {pool for pool in POOLS if POOLS[pool].executors == "greenlets"}
    if own.outcome in STUCK | ANSWERED_BADLY and ill <= green and not well & green and "threads" in alike:
        at_once = ": a wait outside of their loop, as in C code, stops all of them at once"
        share = ": look at what is kept for each thread, such as asyncio's running loop: they share one thread"
        why = share if own.outcome in ANSWERED_BADLY else at_once if own.ended.cause == HUB_BLOCKED else ""
        return f"only greenlets do it ({others}){why}"
    return ""


def _of_processes(ill: Set[str], well: Set[str], own: TrialRecord, others: str) -> str:
    """What only processes do, a kind of them or all; '' if others do it."""
    if ill <= {"prefork"} and "prefork-spawn" in well:
        copied = "copied or shared" if own.outcome is Outcome.WRONG else "copied"
        return f"only a fork does it ({others}): what the main process had made before it is {copied}, and its threads are not"
    if ill == {"prefork-spawn"} and "prefork" in well:
        anew = "each imports the application anew, where multiprocessing starts no process"
        return f"only spawned children do it ({others}): {anew}, and lacks what the main process made after its import"
    if all(POOLS[pool].executors == "processes" for pool in ill):
        does = f"{few(sorted(ill))} {'do' if len(ill) > 1 else 'does'} it"
        return f"only {does} ({others}): look at limits that only processes keep, and at what they share or inherit"
    return ""


def _everywhere(bad: Sequence[Cell], alone: TrialRecord | None) -> str:
    names = _pools(bad)
    if len(names) < 2:
        return "the calls without Celery, one after the other, do not end like this" if alone and serves(alone) else ""
    without = ", but not in the calls without Celery" if alone and serves(alone) else ""
    return f"every pool that was tried ends like this ({few(names, len(names))}){without}"
