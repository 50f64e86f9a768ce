"""The sections of a record, each made by the one room that knows it; raw facts, in seconds, bytes and core-seconds."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict

from harness.certainty.intervals import NOTHING, Span
from harness.experiment.matrix import Cell
from harness.machine import cores
from harness.records.of_task import OfTask
from harness.records.outcomes import Outcome
from harness.records.sending import Sending
from harness.texts import visible

Words = Annotated[str, AfterValidator(visible)]  # may hold what somebody's exception, or somebody's results folder, says


class Frozen(BaseModel):
    """Read and written whole, changed by copy."""

    model_config = ConfigDict(frozen=True)

    def revised(self, **fields: Any) -> Self:
        """A copy with other values of these fields. Raises TypeError if there is no such field."""
        if unknown := set(fields) - set(type(self).model_fields):
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        return self.model_copy(update=fields)


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
    throttled: list[Throttled] = []  # of each group on our path that has a quota, our own first

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
    idle_with_work: float  # executors without a request, while work waited


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


class Growth(Frozen):
    """How the PSS of the worker's tree changed through the measured phase; `certain`: it grew, and not by chance."""

    readings: int
    seconds: float
    bytes_per_s: float
    bytes_per_request: float | None = None
    certain: bool


class MemoryUse(Frozen):
    """The worker's tree at the peak of its PSS, by role ('worker', 'children'), see `harness.measure.memory`."""

    pss_bytes: dict[str, int]
    private_bytes: dict[str, int]
    shared_bytes: dict[str, int]  # counted in each process that maps them
    readings: int
    growth: Growth | None = None  # None: too few readings

    @property
    def saved_bytes(self) -> int:
        """What sharing saves: without it, each process would need its shared pages for itself."""
        return sum(self.private_bytes.values()) + sum(self.shared_bytes.values()) - sum(self.pss_bytes.values())


class Figures(Frozen):
    """Statistics of one trial's measured phase, see `harness.measure.figures`. Spans are 95 % intervals: (low, high)."""

    requests: int  # answered rightly, of which these are
    throughput_per_s: float
    throughput_span_per_s: Span = NOTHING
    latency_s: dict[str, float] = {}  # by percentile, 'p50'; without those that too few requests support
    latency_span_s: dict[str, Span] = {}
    predict_p50_s: float | None = None
    window_throughputs_per_s: list[float] = []
    window_latencies_s: list[float] = []  # means
    stable: bool | None = None  # None: too few requests to judge
    cold: int = 0  # requests that are left out, as the first ones of their executors, see `certainty.few`


class Noise(Frozen):
    """What the machine did in the measured phase beside what `CpuUse` says; None where it does not show."""

    swapped_bytes: int | None = None  # in and out, by whatever process
    frequency_low_hz: float | None = None  # of the fastest core, lowest and highest of some readings a second
    frequency_high_hz: float | None = None


class Asked(Frozen):
    """What the trial was to be."""

    cell_id: Words
    cell: dict[str, Any]
    trial: int
    plan_key: str  # hash of everything that was asked for: a record with another key does not stand in for this trial
    started: str  # ISO 8601, UTC
    versions: dict[str, str] = {}

    @property
    def as_cell(self) -> Cell:
        return Cell(**self.cell)


class Ended(Frozen):
    """How it ended, and why."""

    outcome: Outcome
    reason: Words
    seconds: float = 0.0
    evidence: Words = ""  # path in the run's folder
    last_progress_s: float | None = None  # from READY
    verdict_after_s: float | None = None  # from the last progress of what hangs to the watchdog's verdict
    cause: Words = ""  # of judge.causes, where the trial hung, stalled, respawned or crashed
    support: list[Words] = []  # what supports the cause, a sentence each
    executors: int | None = None  # that run requests: processes, threads, or 1
    executors_hung: int | None = None
    proof: Words = ""  # the kind of the hang, as judge.blocked names it; '' where none was proved
    withdrawn: list[Words] = []  # proofs of a hang that did not stand, each in words: a defect of ours to look at
    instead: Words = ""  # of a trial that was not run: the cell whose record is read in its place


class Backlog(Frozen):
    """Messages of another task of the application's that waited when the trial had ended, see `broker.Backlog`."""

    queue: Words
    task: Words
    waiting: int  # in the broker
    reserved: int  # by the worker
    consumed: bool  # by this worker


class Answers(Frozen):
    """What became of the requests."""

    requests: int = 0
    ok: int = 0
    wrong: int = 0
    unanswered: int = 0
    errors: dict[Words, int] = {}
    max_error: float | None = None  # largest |answer - reference|, all answers
    duplicates: int = 0  # answers that came a second time
    coverage: Words = ""  # how much of them was compared, and what was left out; '' if all was, or nothing
    backlog: list[Backlog] = []  # what the application's own tasks left in queues
    tasks: list[OfTask] = []  # of a mix, what became of each
    died: int = 0  # child processes that died meanwhile, those that were replaced by a setting among them
    requests_file: str = ""  # every request's stamps: a path in the run's folder


class Pace(Frozen):
    """How fast it started, and what was measured."""

    ready_s: float | None = None
    load_s: dict[str, float] = {}
    first_predict_s: float | None = None
    warmup_requests: int = 0
    executors_seen: int = 0
    slowest_s: float | None = None  # of all answered requests, from its begin to the end of its predict
    measured_s: float | None = None
    measured_requests: int = 0
    waited_while_idle: float | None = None  # share of the measured time in which requests waited and executors were free
    starved: float | None = None  # share of it in spells of half a second or more with requests waiting and nobody working
    stages_p50_s: dict[str, float] = {}  # median of each stage of the measured requests, see `measure.waterfall`


class Cpu(Frozen):
    """What the processes, and the machine beside them, did with the cores."""

    use: CpuUse | None = None
    facts: CpuFacts | None = None
    verdict: str = ""  # of measure.cpu_verdict, with its number; '' where nothing was measured
    verdict_reason: Words = ""
    noise: Noise | None = None
    threads_peak: dict[str, int] = {}
    tree_cpu_s: float | None = None  # whole life, as sampled up to the last look before the worker ended
    kernel_cpu_s: float | None = None  # whole life, as the kernel accounts for it at the end
    samples_file: str = ""  # the time line of CPU and memory: a path in the run's folder


class Memory(Frozen):
    """What the worker's tree took."""

    use: MemoryUse | None = None
    peak_pss_bytes: int | None = None


class Client(Frozen):
    """What the load generator has to say."""

    sending: Sending | None = None


class Certainty(Frozen):
    """The figures with their intervals, and what speaks against them."""

    figures: Figures | None = None
    unusable: Words = ""  # why figures that were measured are not kept: noise, a busy or late client; the outcome stands
    doubts: list[Words] = []  # about this trial alone, see `measure.doubts`
    notes: list[Words] = []  # what else a reader has to know: settings kept or overridden, what was not compared
