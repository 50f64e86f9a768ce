"""`harness why --probe`: whether a supervisor should restart a worker. One line, in well under a second of CPU.

It says yes of a worker that is *proved* to be stuck, and of nothing else: a busy worker that answers no ping, one that waits,
one that may not be looked at, and none at all are no reason to restart anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.errors import NothingMatches
from harness.live import choose, find, quick, scripts
from harness.live.executor import WORST, State
from harness.live.find import Worker
from harness.machine import containers
from harness.texts import visible

AT_MOST = 4  # processes of which stacks are asked to find a worker of a script: a probe costs little


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of one worker, or of all: as bad as the worst."""

    state: State
    line: str


def chosen(pids: Sequence[int]) -> list[Worker]:
    """The workers of these processes; all of this container if none is named. Raises NothingMatches: one is no worker's.

    A process that is named may be one above workers (the first of a container: a shell, `tini`), or one that a script of the
    application's has started (`app.worker_main`): its command line does not tell, and a probe that fails for it would have a
    healthy worker restarted. Without a number, stacks are asked for only if no command line is a worker's."""
    if not pids:
        known = [worker.main for worker in find.workers()] or scripts.found((), AT_MOST).mains
        return [find.described(main) for main in known if containers.is_here(main)]
    mains = {pid: choose.mains_of(pid) for pid in pids}
    if strange := [pid for pid, found in mains.items() if not found]:
        raise NothingMatches(
            f"process {strange[0]} is no Celery worker that can be recognised, or there is none",
            remedy=choose.hint(strange[0]),
        )
    return [find.described(main) for main in dict.fromkeys(main for found in mains.values() for main in found)]


def verdict(workers: Sequence[Worker], of: Callable[[Worker], Verdict | None] | None = None) -> Verdict:
    """Of these workers together; one that ends meanwhile is left out."""
    found = [one for worker in workers if (one := (of or of_worker)(worker))]
    if not found:
        return Verdict(state=State.UNKNOWN, line="cannot-say: no Celery worker is seen from here")
    worst = min(found, key=lambda one: WORST.index(one.state))
    others = f" ({len(found)} workers were looked at)" if len(found) > 1 else ""
    return Verdict(state=worst.state, line=f"{worst.state}: {worst.line}{others}")


def of_worker(worker: Worker) -> Verdict | None:
    """Of one worker; None once it has ended."""
    seen = quick.first(worker)
    if seen is None:
        return None
    named = ", ".join(part for part in (worker.app, worker.hostname) if part)
    who = visible(f"worker {worker.main}{f' ({named})' if named else ''}")
    if worker.main in seen.hidden and not seen.suspects:
        why = "its system calls may not be read; 'harness doctor' says what is missing"
        return Verdict(state=State.UNKNOWN, line=f"{who}: {why}")
    judged = quick.worst(seen, seen.suspects - seen.outside)
    report = judged.report if judged else None
    if report is not None and report.state is not State.WORKS:
        return Verdict(state=report.state, line=visible(f"{who}: {report.reason}"))
    if seen.outside:
        waits = "1 process stands" if len(seen.outside) == 1 else f"{len(seen.outside)} processes stand"
        return Verdict(state=State.WAITING, line=f"{who}: {waits} still at a peer, which may yet answer")
    return Verdict(state=State.WORKS, line=f"{who}: nothing in it is stuck for good")
