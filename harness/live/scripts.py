"""Workers that a script has started (`app.worker_main`, `manage.py celery worker`): their command lines do not tell.

Their stacks do: Celery's worker stands in that of the main thread. A stack is asked for of few processes only, and without a
stop: of those that run Python, have Celery among the packages of their environment, and belong to no worker that is
known already.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.live import find, versions
from harness.live.limits import WORKER
from harness.machine import procfs
from harness.observe import stacks
from harness.observe.roles import HUB

MOST = 48  # processes whose stacks are asked for, some hundredths of a second each
MOST_ABOVE = 8  # from a process up to its worker's main one


@dataclass(frozen=True, kw_only=True)
class Scripts:
    """`mains`: the workers; `unasked`: processes that may be some, and were not asked, or may not be looked at."""

    mains: tuple[int, ...]
    unasked: tuple[int, ...] = ()


def found(known: Collection[int], most: int = MOST) -> Scripts:
    """All of this machine but those that are `known`; not more than `most` processes are asked."""
    theirs = {os.getpid(), *known, *(stat.pid for main in known for stat in procfs.tree(main))}
    mains, unasked, asked = list[int](), list[int](), 0
    for pid in sorted(procfs.numbers("/proc")):
        if pid in theirs or not _is_python(pid) or not versions.has_celery(pid):
            continue
        runs = _runs(pid) if asked < most else None
        asked += 1
        if runs is None:
            unasked.append(pid)
        elif runs:
            mains.append(main := main_of(pid) or pid)
            theirs |= {main, *(stat.pid for stat in procfs.tree(main))}
    return Scripts(mains=tuple(mains), unasked=tuple(unasked))


def main_of(pid: int) -> int:
    """The uppermost process above this one, itself too, in whose stack a worker stands: a forked child has its parent's; 0 if
    there is none."""
    above = 0
    for _ in range(MOST_ABOVE):
        stat = procfs.process(pid)
        runs = stat is not None and pid != os.getpid() and _is_python(pid) and _runs(pid)
        if stat is None or (above and not runs):
            break
        above, pid = pid if runs else above, stat.parent
    return above


def _is_python(pid: int) -> bool:
    """By what it runs, whatever its title shows."""
    program = procfs.link(f"/proc/{pid}/exe") or (find.command(pid) or [""])[0]
    return bool(find.PYTHON.match(PurePosixPath(program.removesuffix(" (deleted)")).name))


def _runs(pid: int) -> bool | None:
    """Whether Celery's worker stands in a stack of this process; None if it may not be looked at, and if its threads run the
    loop of a green library alone: what greenlets do stands on no thread's stack."""
    threads = stacks.dumped(pid, "--nonblocking")
    if not threads:
        return None
    files = [[frame["filename"] for frame in thread["frames"]] for thread in threads]
    if any(WORKER.search(file) for each in files for file in each):
        return True
    return None if any(each and all(map(HUB.search, each)) for each in files) else False
