"""`harness why --probe`: whether a supervisor should restart a worker. One line, in well under a second of CPU.

It says yes of a worker that is *proved* to be stuck, and of nothing else: a busy worker that answers no ping, one that waits,
one that may not be looked at, and none at all are no reason to restart anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.errors import NothingMatches
from harness.live import choose, find, quick
from harness.live.answer import WORST, State
from harness.live.find import Worker
from harness.live.limits import WORKER
from harness.machine import containers
from harness.observe import stacks
from harness.texts import visible


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of one worker, or of all: as bad as the worst."""

    state: State
    line: str


def chosen(pids: Sequence[int]) -> list[Worker]:
    """The workers of these processes; all of this container if none is named. Raises NothingMatches: one is no worker's.

    A process that is named may be a worker that a script of the application's has started (`app.worker_main`): its command line
    does not tell, and a probe that fails for it would have a healthy worker restarted. So its main stack is asked then."""
    if not pids:
        return [worker for worker in find.workers() if containers.is_here(worker.main)]
    mains = {pid: find.main_of(pid) or (pid if _runs_worker(pid) else 0) for pid in pids}
    if strange := [pid for pid, main in mains.items() if not main]:
        raise NothingMatches(
            f"process {strange[0]} is no Celery worker that can be recognised, or there is none",
            remedy=choose.hint(strange[0]),
        )
    return [find.described(main) for main in dict.fromkeys(mains.values())]


def _runs_worker(pid: int) -> bool:
    """Whether Celery's worker stands in a stack of this process."""
    if not find.PYTHON.match(PurePosixPath(find.command(pid)[0]).name):
        return False
    threads = stacks.dumped(pid, "--nonblocking") or ()
    return any(WORKER.search(frame["filename"]) for thread in threads for frame in thread["frames"])


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
