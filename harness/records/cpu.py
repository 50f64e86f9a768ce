"""What the processes of a trial, and the machine beside them, did with the cores: core-seconds, seconds, and shares (0..1)."""

from __future__ import annotations

from pydantic import Field

from harness.machine import cores
from harness.records.sections import Frozen, Words


class Throttled(Frozen):
    """What the CPU quota of one control group held back in the measured window, see `harness.machine.cpu_quota`."""

    level: int  # 0: our own group, 1: its parent …
    quota: float  # cores
    periods: int
    throttled_periods: int
    throttled_s: float  # core-seconds in which threads of the group were ready to run, and were not let
    used_s: float | None = None  # core-seconds of all in the group, of us and of others; None if the group does not show it

    def share(self, window_s: float) -> float:
        """Of the core time that the group was ready to use, what the quota withheld: withheld / (quota + withheld); 0..1.

        A group that was held back has used its quota, or in part of the periods less: the share is then a little too low.
        """
        return self.throttled_s / (self.throttled_s + self.quota * window_s)


class CpuUse(Frozen):
    """Core-seconds in the measured window by role, and what the whole machine did meanwhile."""

    window_s: float
    cores: int  # by affinity
    requests: int
    worker: float
    children: float
    broker: float
    client: float
    machine: float  # all that were busy, with what the hypervisor stole
    steal: float
    quota: float | None = None  # cores that the control groups allow; None without a quota
    throttled: list[Throttled] = Field(default_factory=list)  # of each group on our path that has a quota, our own first

    @property
    def usable(self) -> float:
        """Cores that we may use, by affinity and quota."""
        return cores.usable(self.cores, self.quota)

    @property
    def saturation(self) -> float:
        """Share of the usable cores that the worker's tree used; 0..1."""
        return self.worker_tree / (self.window_s * self.usable)

    @property
    def held_back(self) -> Throttled | None:
        """The quota that withheld the greatest share; None without one. Groups on one path are not added up: while a group is
        held back, so is all below it."""
        return max(self.throttled, key=lambda one: one.share(self.window_s), default=None)

    @property
    def throttled_share(self) -> float | None:
        return self.held_back.share(self.window_s) if self.held_back else None

    @property
    def worker_tree(self) -> float:
        return self.worker + self.children

    @property
    def ours(self) -> float:
        return self.worker_tree + self.broker + self.client

    @property
    def others_share(self) -> float:
        """Share of the usable cores that others kept from us, what the hypervisor stole included; 0..1. With a quota, others
        outside of it take nothing as long as the machine has as many free cores as it allows; who shares it takes from it."""
        return 1.0 - self._left_to_us(self.machine)

    @property
    def programs_share(self) -> float:
        """Likewise, without what the hypervisor stole."""
        return 1.0 - self._left_to_us(self.machine - self.steal)

    @property
    def idle_share(self) -> float:
        """Share of the usable cores that nobody used: there was a core for it, and our quota had room for it; 0..1."""
        return max(0.0, self._left_to_us(self.machine) - self.ours / (self.window_s * self.usable))

    def _left_to_us(self, machine: float) -> float:
        """Share of the usable cores: what the machine (busy for `machine` core-seconds) and each quota on our path had left."""
        shared = [(one.quota, one.used_s) for one in self.throttled if one.used_s is not None]
        left = [cores - max(0.0, used_s - self.ours) / self.window_s for cores, used_s in ((self.cores, machine), *shared)]
        return max(0.0, min(self.usable, *left)) / self.usable


class Occupancy(Frozen):
    """Shares of the measured window (0..1), see `harness.measure.occupancy`."""

    executors: int
    executors_busy: float  # with a request
    work_waits: float  # more requests in flight than executors, or one that waited for longer than a hand-over takes
    idle_with_work: float | None  # executors without a request, while work waited; None if that may have waited for a moment


class CpuFacts(Frozen):
    """What the worker's tree did with the cores in the measured window, see `harness.measure.cpu_facts`."""

    span_s: float  # between the first and the last reading of the threads
    cores_busy: list[float]  # share of the window in which each core was busy, whoever used it
    thread_cpu_s: dict[str, float]  # by role and kind of thread: 'worker python', 'children engine' ...; and 'ended'
    python_cores: list[float]  # that the Python threads of one process used: the process that used most, and the next
    python_demand: list[float]  # that they could have used: with the time in which they waited for a core
    busiest_role: str  # of the first of them: 'worker' or 'children'
    busy_python_threads: int  # in it
    run_queue_wait_s: float  # all threads together: they could run, and had no core
    executor_threads: int = 0  # that ran requests
    executor_cpu_s: float = 0.0  # of these
    executor_wait_s: float | None = None  # as `run_queue_wait_s`, of these alone
    involuntary_switches: int
    executor_kind: str  # of pools.Pool, or 'in-process'
    broker_watched: bool
    broker_spread: bool = False  # over threads, as a RabbitMQ's work is
    occupancy: Occupancy | None = None


class Noise(Frozen):
    """What the machine did in the measured phase beside what `CpuUse` says; None where it does not show."""

    swapped_bytes: int | None = None  # in and out, by whatever process
    frequency_low_hz: float | None = None  # of the fastest core, lowest and highest of some readings a second
    frequency_high_hz: float | None = None


class Cpu(Frozen):
    """What the processes, and the machine beside them, did with the cores."""

    use: CpuUse | None = None
    facts: CpuFacts | None = None
    verdict: str = ""  # of measure.cpu_verdict, with its number; '' where nothing was measured
    verdict_reason: Words = ""
    noise: Noise | None = None
    threads_peak: dict[str, int] = Field(default_factory=dict)
    tree_cpu_s: float | None = None  # whole life, as sampled up to the last look before the worker ended
    kernel_cpu_s: float | None = None  # whole life, as the kernel accounts for it at the end
    samples_file: str = ""  # the time line of CPU and memory: a path in the run's folder
