"""Faults that leave every answer in place: found in facts that are read anyway, and named as doubts. Pure.

    pinned        two or more executors, more than one core, and 80 % of what they computed was done by threads that may use
                  one core alone, the same one (`Cpus_allowed_list`, proc(5)). An engine that pins each of its threads to a core
                  of its own is not meant
    oversubscribed   `cpu_verdict` says over-subscribed, and more threads than cores were busy: executors, and threads of an
                  engine, which did a quarter of the work or more; on a machine that others leave to us
    lost threads  children were forked from a main process that had native threads, which they lack; alone, threads of the
                  engine did a fifth of the work or more; in the children, a fiftieth at most
    one job       a library said in the worker's log that it goes on with one job (joblib, `_parallel_backends.py`)
    crash at end  everything was answered, and then the worker crashed as it stopped
    equal random numbers   two or more processes whose answers are off by amounts that vary, and that are the same one after
                  the other in each process, though the rows are not: a seed from before the fork. What depends on the row,
                  as dropout does, is not found

A doubt rests on what was seen, and says no more: an executor that is pinned on purpose is pinned, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.experiment.matrix import OWN_APP
from harness.measure.cpu_verdict import CpuWord
from harness.measure.doubt import Doubt
from harness.measure.thread_clocks import ThreadUse
from harness.records.cpu import CpuFacts
from harness.records.record import TrialRecord
from harness.records.silent import Silent

PINNED, CRASH, EQUAL = "pinned", "crash at end", "equal random numbers"
ONE_JOB, OVERSUBSCRIBED, LOST = "one job", "oversubscribed", "lost threads"
NAMES = (PINNED, CRASH, EQUAL, ONE_JOB, OVERSUBSCRIBED, LOST)

PINNED_SHARE = 0.8
ENGINE_SHARE = 0.25
ALONE_SHARE, LEFT_SHARE = 0.20, 0.02
BUSY_SHARE = 0.05  # of a core
LEAST_EQUAL, MOST_EQUAL = 8, 50  # answers of each process that are compared
ALIKE, COARSE = 1e-6, 1e-3  # relative
Executor = tuple[int, int]  # (pid, tid) of a thread that ran a request


def of_threads(uses: Sequence[ThreadUse], span_s: float, executors: frozenset[Executor]) -> Silent:
    """What the threads of the processes that ran requests show; main threads count only if they ran requests themselves."""
    processes = {pid for pid, _ in executors}
    counted = [one for one in uses if one.pid in processes and (one.tid != one.pid or (one.pid, one.tid) in executors)]
    ran = [one for one in counted if (one.pid, one.tid) in executors]
    engine = [one for one in counted if (one.pid, one.tid) not in executors]
    whole_s = sum(one.cpu_s for one in counted)
    core, share = _pinned(counted, whole_s)
    return Silent(
        processes=len(processes & {one.pid for one in uses}),
        executors=len(ran),
        pinned_core=core,
        pinned_share=share,
        busy_executors=_busy(ran, span_s),
        busy_engine=_busy(engine, span_s),
        engine_share=sum(one.cpu_s for one in engine) / whole_s if whole_s else 0.0,
        engine_core=_one_core([one for one in engine if _is_busy(one, span_s)]),
    )


def _busy(uses: Sequence[ThreadUse], span_s: float) -> int:
    return sum(_is_busy(one, span_s) for one in uses)


def _is_busy(one: ThreadUse, span_s: float) -> bool:
    return one.cpu_s + one.wait_s >= BUSY_SHARE * span_s


def _one_core(uses: Sequence[ThreadUse]) -> int | None:
    """The core to which all of these are pinned, if they are of more than one process."""
    cpus, processes = {one.cpus for one in uses}, {one.pid for one in uses}
    return int(min(cpus)) if len(cpus) == 1 and len(processes) > 1 and min(cpus).isdigit() else None


def _pinned(uses: Sequence[ThreadUse], whole_s: float) -> tuple[int | None, float]:
    """(the core, share of the CPU time of threads that may use it alone); of the core with the largest share."""
    found: dict[int, float] = {}
    for one in uses:
        if one.cpus.isdigit():
            found[int(one.cpus)] = found.get(int(one.cpus), 0.0) + one.cpu_s
    core = max(found, key=lambda each: found[each], default=None)
    return (core, found[core] / whole_s) if core is not None and whole_s else (None, 0.0)


def alone_share(seen: CpuFacts | None) -> float | None:
    """Of the CPU time of an in-process baseline, what threads of the engine used; None if nothing tells. All but its main
    thread's is theirs, also of those that have `ended`: a session may go, with its threads, before the last reading.
    """
    whole_s = sum(seen.thread_cpu_s.values()) if seen is not None else 0.0
    return 1.0 - seen.thread_cpu_s.get("worker python", 0.0) / whole_s if seen is not None and whole_s else None


def equal_errors(pids: npt.NDArray[np.int64], begins: npt.NDArray[np.int64], errors: npt.NDArray[np.float64]) -> int:
    """How many processes have the same sequence of errors, see above; arrays (n,) of answered requests. 0 if no two have."""
    order = np.argsort(begins, kind="stable")
    by_process = [errors[order][pids[order] == pid] for pid in np.unique(pids)]
    known = [one[:MOST_EQUAL] for one in by_process if len(one) >= LEAST_EQUAL]
    alike = [sum(_same(one, other) for other in known) for one in known if _varies(one)]
    most = max(alike, default=0)
    return most if most > 1 else 0


def _varies(errors: npt.NDArray[np.float64]) -> bool:
    """An answer that is off by the same amount each time is not random; nor is the last digit of that amount."""
    if not np.isfinite(errors).all() or not errors.max():
        return False
    return len(np.unique(np.round(errors / errors.max() / COARSE))) > len(errors) / 2


def _same(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    size = min(len(one), len(other))
    return bool(np.allclose(one[:size], other[:size], rtol=ALIKE, atol=0.0))


def doubts(record: TrialRecord) -> list[Doubt]:
    """Of one trial; the names are those of NAMES."""
    found = [_pin(record), _oversubscribed(record), _lost(record), *_told(record.silent)]
    return [one for one in found if one is not None]


def _pin(record: TrialRecord) -> Doubt | None:
    seen, cpu = record.silent, record.cpu.use
    if cpu is None or cpu.cores < 2 or seen.executors < 2 or seen.pinned_share < PINNED_SHARE:
        return None
    who = f"{seen.executors} processes" if seen.processes > 1 else f"{seen.executors} threads"
    return Doubt(
        name=PINNED,
        what=f"{who} share core {seen.pinned_core}, to which {seen.pinned_share:.0%} of what they computed was pinned, and "
        f"{cpu.cores} cores may be used",
        next_step="load the model in the first task, and look for what sets the affinity (OMP_PROC_BIND, GOMP_CPU_AFFINITY or "
        "the engine's own pinning)",
    )


def _oversubscribed(record: TrialRecord) -> Doubt | None:
    seen, cpu = record.silent, record.cpu.use
    if cpu is None or not record.cpu.verdict.startswith(CpuWord.OVER_SUBSCRIBED) or seen.engine_share < ENGINE_SHARE:
        return None
    if seen.busy_executors + seen.busy_engine <= cpu.usable or record.certainty.unusable:  # others make threads wait, too
        return None
    where = f", and all engine threads are pinned to core {seen.engine_core}" if seen.engine_core is not None else ""
    how = "OMP_NUM_THREADS=1 and its like, in --env-file" if record.as_cell.backend == OWN_APP else "engine_threads 1x1"
    return Doubt(
        name=OVERSUBSCRIBED,
        what=f"{_counted(seen.busy_executors, 'executor')} and {_counted(seen.busy_engine, 'engine thread')} want "
        f"{cpu.usable:g} cores{where}",
        next_step=f"give the engine as many threads as there are cores for each executor, often one ({how})",
    )


def _lost(record: TrialRecord) -> Doubt | None:
    seen = record.silent
    if not seen.left_behind or not seen.busy_executors or (seen.alone_share or 0.0) < ALONE_SHARE:
        return None
    if seen.engine_share > LEFT_SHARE:
        return None
    return Doubt(
        name=LOST,
        what=f"{_counted(len(seen.left_behind), 'native thread')} stayed in the main process at the fork, and "
        "each child computes without them in one thread, though in one process without Celery the engine's threads do "
        f"{seen.alone_share:.0%} of the work",
        next_step="load the model in the first task, or limit the engine to one thread if that is what you want",
    )


def _told(seen: Silent) -> list[Doubt | None]:
    """What needs no figures."""
    serial = Doubt(
        name=ONE_JOB,
        what=f"a library goes on with one job, for its log says '{plain(seen.serial)}'",
        next_step="use threads there (joblib's prefer='threads'), set n_jobs=1 yourself, or use the pool threads",
    )
    crash = Doubt(
        name=CRASH,
        what=f"everything was answered, and then its process ended with {seen.end} as it stopped",
        next_step="close the engine's session before the interpreter ends (worker_shutdown), and do not trust its exit code",
    )
    equal = Doubt(
        name=EQUAL,
        what=f"{seen.equal_errors} processes answer with the same random numbers one after the other",
        next_step="seed in worker_process_init, not before the fork",
    )
    return [serial if seen.serial else None, crash if seen.end else None, equal if seen.equal_errors else None]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def plain(text: str) -> str:
    """Without what separates doubts, and their parts."""
    return text.replace("; ", ", ").replace(": ", " - ")
