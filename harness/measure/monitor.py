"""CPU, memory and threads of the processes of a trial, by role, seen from outside.

CPU time is the kernel's own: the user and system time of every living process plus that of the descendants it has
waited for. Our keepers are subreapers, so no process's time is lost when it dies, not even a short-lived compiler's.
Living processes are read to the nanosecond, waited-for ones to the clock tick (10 ms) below each living process.

A reading costs a few files a process. What costs more (all threads of a process, its pages) is read at the ends of the
measured phase, and between them at a pace that keeps its share of a core bounded, whatever the tree: see the shares below.
`harness.proof.selfcost.sampler` measures all of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from harness.machine import cores, cpu_quota
from harness.machine.cpu_quota import Throttle
from harness.machine.pacer import Pacer
from harness.machine.process_tree import ProcessTree
from harness.machine.processes import OwnedProcess
from harness.machine.procfs import ProcessStat
from harness.measure import memory
from harness.measure.memory import MemoryReading, Pages
from harness.measure.thread_clocks import ThreadLedger, ThreadUse

ROLES = ("worker", "children", "broker", "client")
MEMORY_EVERY_S = 2.0
MEMORY_SHARE = 0.003  # of a core, at most
THREADS_EVERY_S = 4.0
THREADS_SHARE = 0.002
SLOW_S = 0.05  # a reading of the counters that took longer, as on a machine that is full, is made again
TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One reading. `cpu_s` is cumulative, in seconds, by role; `cores_busy_s` is that of each core available, since boot,
    whoever used it, with what the hypervisor stole (`steal_s`, all of these cores). `throttles`: what CPU quotas have done so
    far; read in the measured phase and at its ends."""

    at_s: float  # the middle of the reading of the counters
    phase: str
    cpu_s: Mapping[str, float]
    cores_busy_s: tuple[float, ...]
    steal_s: float
    pids: tuple[int, ...]  # the worker's tree: the worker itself first, then its children
    threads: Mapping[int, int]
    memory: MemoryReading | None = None
    throttles: tuple[Throttle, ...] = ()
    took_s: float = 0.0  # the reading of the counters: each was read at some moment of it

    @property
    def worker_tree_cpu_s(self) -> float:
        return self.cpu_s["worker"] + self.cpu_s["children"]

    @property
    def machine_cpu_s(self) -> float:
        return sum(self.cores_busy_s)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """All that a monitor read of a trial. `uses`: what each thread of the worker's tree used in `uses_span_s`, which is about
    the measured phase; () where threads were not read twice."""

    worker: int  # the pid of the worker itself
    samples: tuple[Sample, ...] = ()
    uses: tuple[ThreadUse, ...] = ()
    uses_span_s: float = 0.0
    broker_watched: bool = False
    broker_spread: bool = False  # over threads: no single core bounds it, as one bounds a Redis or Valkey

    @property
    def peak_memory(self) -> MemoryReading | None:
        """The reading with the largest PSS of the worker's tree; None where nothing could be read."""
        readings = [sample.memory for sample in self.samples if sample.memory is not None]
        return max(readings, key=lambda one: one.pss_bytes, default=None)


class Program:
    """One of our programs and everything below it; nothing, where it is not ours to watch."""

    def __init__(self, owned: OwnedProcess | None) -> None:
        self.owned = owned
        self.tree = ProcessTree(owned.keeper_pid) if owned is not None else None

    def cpu_s(self) -> float:
        """CPU seconds of the program and everything below it, those that have ended included; its keeper left out."""
        if self.owned is None or self.tree is None:
            return 0.0
        stats, keeper = self.tree.read(), self.tree.keeper
        if keeper is None:
            return self.owned.kernel_cpu_s or 0.0
        return keeper.reaped_cpu_s + sum(stat.own_cpu_s + stat.reaped_cpu_s for stat in stats)


@dataclass
class Monitor:
    """Samples a worker's tree, the broker and the client. A role that is not ours to watch counts as 0."""

    worker: OwnedProcess
    broker: OwnedProcess | None = None
    broker_spread: bool = False
    client: OwnedProcess | None = None
    samples: list[Sample] = field(default_factory=list)
    ledger: ThreadLedger = field(default_factory=ThreadLedger)

    def __post_init__(self) -> None:
        self._tree = ProcessTree(self.worker.keeper_pid)
        self._beside = {"broker": Program(self.broker), "client": Program(self.client)}
        self._quotas = cpu_quota.here()
        self._memory = Pacer(every_s=MEMORY_EVERY_S, share=MEMORY_SHARE)
        self._threads = Pacer(every_s=THREADS_EVERY_S, share=THREADS_SHARE)

    def sample(self, phase: str = "", *, edge: bool = False) -> Sample:
        """Take and keep a reading. `phase`: the client's, '' before the worker is ready. `edge`: the measured phase begins
        or ends with this reading, which therefore takes in everything."""
        for _ in range(TRIES):
            reading, stats = self._counters(phase, edge=edge)
            if reading.took_s <= SLOW_S:
                break
        if edge or (phase == "measure" and self._threads.due()):
            self._read_threads(stats, reading.at_s)
        if edge or (phase and self._memory.due()):
            reading = replace(reading, memory=self._read_memory(stats))
        self.samples.append(reading)
        return reading

    def _counters(self, phase: str, *, edge: bool) -> tuple[Sample, list[ProcessStat]]:
        """What is read in one go, as all of it has to be of one moment; and the processes of the worker's tree."""
        begin_s = time.monotonic()
        worker, children, stats = self._worker_cpu_s(every_thread=edge)
        machine = cores.read()
        throttles = cpu_quota.throttles(self._quotas) if edge or phase == "measure" else ()
        cpu_s = {"worker": worker, "children": children, **{role: one.cpu_s() for role, one in self._beside.items()}}
        end_s = time.monotonic()
        sample = Sample(
            at_s=(begin_s + end_s) / 2,
            took_s=end_s - begin_s,
            phase=phase,
            cpu_s=cpu_s,
            cores_busy_s=machine.busy_s,
            steal_s=sum(machine.steal_s),
            pids=tuple(stat.pid for stat in stats),
            threads={stat.pid: stat.threads for stat in stats},
            throttles=throttles,
        )
        return sample, stats

    def watched(self) -> Watched:
        """What has been read so far."""
        return Watched(
            worker=self.worker.pid,
            samples=tuple(self.samples),
            uses=tuple(self.ledger.spent()),
            uses_span_s=self.ledger.end_s - self.ledger.begin_s,
            broker_watched=self.broker is not None,
            broker_spread=self.broker_spread,
        )

    def _read_threads(self, stats: Iterable[ProcessStat], at_s: float) -> None:
        begin_s = time.thread_time()
        self.ledger.take((stat.pid for stat in stats), at_s)
        self._threads.spent(time.thread_time() - begin_s)

    def _read_memory(self, stats: Iterable[ProcessStat]) -> MemoryReading | None:
        begin_s, at_s = time.thread_time(), time.monotonic()
        pages = {"worker": Pages(), "children": Pages()}
        for stat in stats:
            role = "worker" if stat.pid == self.worker.pid else "children"
            pages[role] += memory.read(stat.pid) or Pages()
        self._memory.spent(time.thread_time() - begin_s)
        reading = MemoryReading(at_s=at_s, pages=pages)
        return reading if reading.pss_bytes else None

    def _worker_cpu_s(self, *, every_thread: bool) -> tuple[float, float, list[ProcessStat]]:
        """CPU seconds of the worker itself, and of everything it ever started."""
        stats, keeper = self._tree.read(every_thread=every_thread), self._tree.keeper
        own, others = 0.0, keeper.reaped_cpu_s if keeper else 0.0
        for stat in stats:
            if stat.pid == self.worker.pid:
                own = stat.own_cpu_s
                others += stat.reaped_cpu_s
            else:
                others += stat.own_cpu_s + stat.reaped_cpu_s
        return own, others, stats
