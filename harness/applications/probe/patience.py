"""A hang is paid for once: how long a pool runs after the serial calls hung or waited, and which repeats are spared. Pure.

So is a task that always raises. If every serial call raised, a pool is looked at first, with few requests: only if these do
not all raise alike, too, is it measured as it was asked for, and the others at once. Else, the pools like it are not run.

The serial calls are the first trial. If they hang, or wait to their limit, the task itself does so: each pool is still run,
since its truth may differ, but not for the whole limit. A pool that makes progress under the shorter one is run again with the
whole one. A repeat of what hung with the same proof twice (or once, and the serial calls did, too) would show nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.applications.probe import results
from harness.experiment.pools import POOLS
from harness.records.outcomes import STUCK, Outcome
from harness.records.record import TrialRecord
from harness.worker.their_app import RETURNED

LEAST_S = 30.0  # a worker's first task may take so long where a serial call does not: imports, a fork
TIMES = 3  # the time after which the serial calls' verdict came
SHARE = 0.25  # of the limit, where they waited to its end and no verdict came
PROVED_TWICE = 2


def limit_s(serial: TrialRecord | None, whole_s: float) -> float:
    """How long after READY a pool's trial is cut off; `serial`: the record of the serial calls, `whole_s`: as asked for."""
    if serial is None or serial.outcome not in STUCK:
        return whole_s
    began_s = serial.ended.last_progress_s or 0.0
    if serial.outcome is Outcome.HUNG and serial.ended.verdict_after_s is not None:
        needed_s = TIMES * (began_s + serial.ended.verdict_after_s)
    else:
        needed_s = TIMES * began_s + SHARE * whole_s
    return min(whole_s, max(LEAST_S, needed_s))


def told(serial: TrialRecord, limit: float) -> str:
    return (
        f"the serial calls {_ended(serial)}: this pool was cut off after {limit:.0f} s without progress, and would have been "
        "run for the whole limit if it had made any"
    )


def spared(serial: TrialRecord | None, before: Sequence[TrialRecord]) -> str:
    """Why a repeat shows nothing new; `before`: the trials of the same cell and plan that were run before it."""
    stuck = [record for record in before if record.outcome in STUCK]
    for record in stuck:
        alike = [other for other in stuck if _proof(other) == _proof(record)]
        as_serial = serial is not None and _proof(serial) == _proof(record)
        proved = record.outcome is Outcome.HUNG and len(alike) >= PROVED_TWICE
        if as_serial or proved:
            also = "the serial calls did, too" if as_serial else f"in {len(alike)} trials with the same proof"
            return f"not run: trial {record.trial} {_ended(record)}, {also}; --retry skipped runs it all the same"
    return ""


def fails_in(pool: str, tried: Sequence[TrialRecord], serial_kind: str) -> str:
    """A pool like this one in which every request raised what every serial call did, if none that was tried was better; '' if
    one was: some tasks need a worker's request. `serial_kind`: the name of that exception.

    A pool is like another one if its requests find what the import made in the same way: as a fork copied it, as an import in
    their own child made it, or as it is in the main process, where threads go on and receivers of `worker_ready` have run.
    """
    alike = [one.as_cell.pool for one in tried if _beginning(one.as_cell.pool) == _beginning(pool)]
    return alike[0] if alike and all(raises(one, serial_kind) for one in tried) else ""


def _beginning(pool: str) -> tuple[bool, bool]:
    """(whether its requests have a process of their own, whether that imports the application itself)."""
    return POOLS[pool].executors == "processes", POOLS[pool].spawned


def raises(record: TrialRecord, serial_kind: str) -> bool:
    """Whether every request raised that exception. Of an answer that is not read its name is not known, and what a worker makes
    of an exception that is returned hangs on its serialiser."""
    answers = record.answers
    if record.outcome is not Outcome.ERRORS or answers.ok or answers.wrong:
        return False
    alike = {results.kind(text) for text in answers.errors} <= {serial_kind, results.kind(results.UNREAD)}
    return alike or serial_kind.startswith(RETURNED)


def looks_first(serial_kind: str, tried: Sequence[TrialRecord]) -> bool:
    """Whether a pool gets few requests first: every serial call raised, and none of the pools that were tried answers."""
    return bool(serial_kind) and not any(one.answers.ok or one.answers.wrong for one in tried)


def _proof(record: TrialRecord) -> tuple[Outcome, str]:
    return record.outcome, record.ended.proof


def _ended(record: TrialRecord) -> str:
    return "hung" if record.outcome is Outcome.HUNG else "waited to the limit"
