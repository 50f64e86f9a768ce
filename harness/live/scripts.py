"""Workers that a script has started (`app.worker_main`, `manage.py celery worker`): their command lines do not tell.

Their stacks do: Celery's worker stands in that of the main thread. A stack is asked for of few processes only, and without a
stop: of those that run Python, have Celery among the packages of their environment, and belong to no worker that is
known already.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.live import find, versions
from harness.live.limits import WORKER
from harness.machine import procfs
from harness.observe import stacks
from harness.observe.roles import HUB

#: what a script calls (celery/app/base.py), some tenths of a second before Celery has loaded its worker
MAIN, APP = re.compile(r"\bworker_main$"), re.compile(r"celery/app/base\.py$")
BEGINS = re.compile(r"<module>$|\b_bootstrap$")  # a program, and a thread of Python's
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
    loop of a green library alone: what greenlets do stands on no thread's stack. A stack that does not reach down to what a
    thread begins with is looked at anew, for the process went on meanwhile."""
    found: list[list[tuple[str, str]]] = []
    for _ in range(stacks.LOOKS):
        found = [
            [(one["name"], one["filename"]) for one in each["frames"]] for each in stacks.dumped(pid, "--nonblocking") or ()
        ]
        if not found:
            return None
        if any(WORKER.search(file) or (MAIN.search(name) and APP.search(file)) for each in found for name, file in each):
            return True
        if all(each and BEGINS.search(each[-1][0]) for each in found):
            return False
    return None if any(each and all(HUB.search(file) for _, file in each) for each in found) else False
