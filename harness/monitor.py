"""CPU, memory and threads of the processes of a trial, by role, seen from outside.

CPU time is the kernel's own: the user and system time of every living process plus that of the descendants it has
waited for. Our keepers are subreapers, so no process's time is lost when it dies, not even a short-lived compiler's.
Living processes are read to the nanosecond, waited-for ones to the clock tick (10 ms) below each living process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness import procfs
from harness.processes import OwnedProcess

ROLES = ("worker", "children", "broker", "client")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One reading. `cpu_s` is cumulative, in seconds, by role; `machine_cpu_s` is that of all cores since boot."""

    at_s: float
    cpu_s: Mapping[str, float]
    machine_cpu_s: float
    steal_s: float
    pids: tuple[int, ...]  # the worker's tree: the worker itself first, then its children
    threads: Mapping[int, int]

    @property
    def worker_tree_cpu_s(self) -> float:
        return self.cpu_s["worker"] + self.cpu_s["children"]


@dataclass
class Monitor:
    """Samples a worker's tree, the broker and the client. A role that is not ours to watch counts as 0."""

    worker: OwnedProcess
    broker: OwnedProcess | None = None
    client: OwnedProcess | None = None
    peak_pss_bytes: int | None = None
    samples: list[Sample] = field(default_factory=list)

    def sample(self) -> Sample:
        """Take and keep a reading."""
        worker, children, stats = self._worker_cpu_s()
        busy_s, steal_s = procfs.machine_cpu_s()
        cpu_s = {
            "worker": worker,
            "children": children,
            "broker": tree_cpu_s(self.broker),
            "client": tree_cpu_s(self.client),
        }
        reading = Sample(
            at_s=time.monotonic(),
            cpu_s=cpu_s,
            machine_cpu_s=busy_s,
            steal_s=steal_s,
            pids=tuple(stat.pid for stat in stats),
            threads={stat.pid: stat.threads for stat in stats},
        )
        self.samples.append(reading)
        return reading

    def measure_memory(self) -> None:
        """Read the worker tree's PSS; dear (milliseconds a process), so not part of every sample."""
        pss = procfs.pss_bytes(stat.pid for stat in procfs.tree(self.worker.keeper_pid))
        if pss is not None:
            self.peak_pss_bytes = max(pss, self.peak_pss_bytes or 0)

    def _worker_cpu_s(self) -> tuple[float, float, list[procfs.ProcessStat]]:
        """CPU seconds of the worker itself, and of everything it ever started."""
        keeper = procfs.process(self.worker.keeper_pid)
        stats = procfs.tree(self.worker.keeper_pid)
        own, others = 0.0, keeper.reaped_cpu_s if keeper else 0.0
        for stat in stats:
            if stat.pid == self.worker.pid:
                own = stat.own_cpu_s
                others += stat.reaped_cpu_s
            else:
                others += stat.own_cpu_s + stat.reaped_cpu_s
        return own, others, stats


def tree_cpu_s(process: OwnedProcess | None) -> float:
    """CPU seconds of a program and everything below it, those that have ended included; its keeper left out."""
    if process is None:
        return 0.0
    keeper = procfs.process(process.keeper_pid)
    if keeper is None:
        return process.kernel_cpu_s or 0.0
    below = procfs.tree(process.keeper_pid)
    return keeper.reaped_cpu_s + sum(stat.own_cpu_s + stat.reaped_cpu_s for stat in below)
