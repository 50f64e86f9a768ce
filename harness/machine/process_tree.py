"""The processes below one of our keepers, read again and again at a cost that does not grow with their threads.

The kernel lists a process's children thread by thread (/proc/PID/task/TID/children). To read them all is dear where an ML
library keeps dozens of threads in each process. Nearly all children are started by a main thread, so that one is asked
at every reading; all others are asked now and then, and always on request. A process that was seen once is
followed until it ends, whoever started it.
"""

from __future__ import annotations

import time

from harness.machine import procfs
from harness.machine.pacer import Pacer
from harness.machine.procfs import ProcessStat

FEW_THREADS = 4  # ask them all: a plain Celery process has about so many
SCAN_EVERY_S = 2.0
SCAN_SHARE = 0.002  # of a core, at most
TRIES = 3


class ProcessTree:
    """Everything below the process `root`, without it."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.keeper: ProcessStat | None = None  # the root itself, as last read: just before what is below it
        self._known: dict[int, list[int]] = {}  # parent -> children, as last seen
        self._scan = Pacer(every_s=SCAN_EVERY_S, share=SCAN_SHARE)

    def read(self, *, every_thread: bool = False) -> list[ProcessStat]:
        """All processes, parents before children. `every_thread`: a child that another thread just started is not missed.

        A process that ends between its parent's reading and its own would be in neither's CPU time: then, again.
        """
        begin_s = time.thread_time()
        scan = every_thread or self._scan.due()
        for _ in range(TRIES):
            stats, whole = self._walk(scan=scan)
            self._known = {}
            for stat in stats:
                self._known.setdefault(stat.parent, []).append(stat.pid)
            if whole:
                break
        if scan:
            self._scan.spent(time.thread_time() - begin_s)
        return stats

    def _walk(self, *, scan: bool) -> tuple[list[ProcessStat], bool]:
        """(what was found, whether everything that was listed could be read)."""
        found: dict[int, ProcessStat] = {}
        self.keeper = procfs.process(self.root)
        level, whole = self._below(self.root, every_thread=True), True
        while level := [pid for pid in level if pid not in found]:
            stats = [stat for pid in level if (stat := procfs.process(pid))]
            whole = whole and len(stats) == len(level)
            found |= {stat.pid: stat for stat in stats}
            level = [pid for stat in stats for pid in self._below(stat.pid, every_thread=scan or stat.threads <= FEW_THREADS)]
        return list(found.values()), whole

    def _below(self, pid: int, *, every_thread: bool) -> list[int]:
        return list(dict.fromkeys([*procfs.children(pid, every_thread=every_thread), *self._known.get(pid, [])]))
