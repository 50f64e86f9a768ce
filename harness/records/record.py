"""The record of one trial: what is kept, its schema version, and its text form. Raw facts; statistics come later.

One JSON object a line in `trials.jsonl`. Times are seconds, sizes bytes, CPU in core-seconds.

Schema history
    1: first version.
    2: figures of the trial with their intervals and windows, what the machine did beside us (noise), doubts, the
       medians of the waterfall's stages; the requests' files have the worker's own stamps. What the CPU did, as facts and
       as a verdict; memory by role, shared and private, and its growth; a file of samples.

An older record reads like a new one: one small step a version (UPGRADES) brings it up to date, on reading only; the file
stays as it is. A record of a later version is refused: half understood, it would be wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from harness.certainty.intervals import NOTHING, Span
from harness.errors import BadInput
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.sending import Sending
from harness.texts import visible

SCHEMA = 2


class CpuUse(BaseModel):
    """Core-seconds in the measured window by role, and what the whole machine did meanwhile."""

    model_config = ConfigDict(frozen=True)

    window_s: float
    cores: int
    requests: int
    worker: float
    children: float
    broker: float
    client: float
    machine: float  # all that were busy, with what the hypervisor stole
    steal: float

    @property
    def worker_tree(self) -> float:
        return self.worker + self.children

    @property
    def ours(self) -> float:
        return self.worker_tree + self.broker + self.client

    @property
    def others_share(self) -> float:
        """Share of the machine's cores that others used, what the hypervisor stole included; 0..1."""
        return max(0.0, self.machine - self.ours) / (self.window_s * self.cores)

    @property
    def idle_share(self) -> float:
        """Share of the machine's cores that nobody used; 0..1."""
        return max(0.0, 1.0 - self.machine / (self.window_s * self.cores))


class Occupancy(BaseModel):
    """Shares of the measured window (0..1), see `harness.measure.occupancy`."""

    model_config = ConfigDict(frozen=True)

    executors: int
    executors_busy: float  # with a request
    work_waits: float  # more requests in flight than executors, or one that waited for longer than a hand-over takes
    idle_with_work: float  # executors without a request, while work waited


class CpuFacts(BaseModel):
    """What the worker's tree did with the cores in the measured window, see `harness.measure.cpu_facts`."""

    model_config = ConfigDict(frozen=True)

    span_s: float  # between the first and the last reading of the threads
    cores_busy: list[float]  # share of the window in which each core was busy, whoever used it
    thread_cpu_s: dict[str, float]  # by role and kind of thread: 'worker python', 'children engine' ...; and 'ended'
    python_cores: list[float]  # that the Python threads of one process used: the process that used most, and the next
    python_demand: list[float]  # that they could have used: with the time in which they waited for a core
    busiest_role: str  # of the first of them: 'worker' or 'children'
    busy_python_threads: int  # in it
    run_queue_wait_s: float  # all threads together: they could run, and had no core
    involuntary_switches: int
    executor_kind: str  # of pools.Pool, or 'in-process'
    broker_watched: bool
    occupancy: Occupancy | None = None


class Growth(BaseModel):
    """How the PSS of the worker's tree changed through the measured phase; `certain`: it grew, and not by chance."""

    model_config = ConfigDict(frozen=True)

    readings: int
    seconds: float
    bytes_per_s: float
    bytes_per_request: float | None = None
    certain: bool


class MemoryUse(BaseModel):
    """The worker's tree at the peak of its PSS, by role ('worker', 'children'), see `harness.measure.memory`."""

    model_config = ConfigDict(frozen=True)

    pss_bytes: dict[str, int]
    private_bytes: dict[str, int]
    shared_bytes: dict[str, int]  # counted in each process that maps them
    readings: int
    growth: Growth | None = None  # None: too few readings

    @property
    def saved_bytes(self) -> int:
        """What sharing saves: without it, each process would need its shared pages for itself."""
        return sum(self.private_bytes.values()) + sum(self.shared_bytes.values()) - sum(self.pss_bytes.values())


class Figures(BaseModel):
    """Statistics of one trial's measured phase, see `harness.measure.figures`. Spans are 95 % intervals: (low, high)."""

    model_config = ConfigDict(frozen=True)

    requests: int  # answered rightly, of which these are
    throughput_per_s: float
    throughput_span_per_s: Span = NOTHING
    latency_s: dict[str, float] = {}  # by percentile, 'p50'; without those that too few requests support
    latency_span_s: dict[str, Span] = {}
    predict_p50_s: float | None = None
    window_throughputs_per_s: list[float] = []
    window_latencies_s: list[float] = []  # means
    stable: bool | None = None  # None: too few requests to judge


class Noise(BaseModel):
    """What the machine did in the measured phase beside what `CpuUse` says; None where it does not show."""

    model_config = ConfigDict(frozen=True)

    swapped_bytes: int | None = None  # in and out, by whatever process
    frequency_low_hz: float | None = None  # of the fastest core, lowest and highest of some readings a second
    frequency_high_hz: float | None = None


Words = Annotated[str, AfterValidator(visible)]  # may hold what somebody's exception, or somebody's results folder, says


class TrialRecord(BaseModel):
    """One trial: one cell, run once."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA
    cell_id: Words
    cell: dict[str, Any]
    trial: int
    plan_key: str  # hash of everything that was asked for: a record with another key does not stand in for this trial
    started: str  # ISO 8601, UTC
    seconds: float
    outcome: Outcome
    reason: Words
    evidence: Words = ""  # path in the run's folder
    requests: int = 0
    ok: int = 0
    wrong: int = 0
    unanswered: int = 0
    errors: dict[Words, int] = {}
    max_error: float | None = None  # largest |answer - reference|, all answers
    measured_s: float | None = None
    measured_requests: int = 0
    requests_file: str = ""  # every request's stamps: a path in the run's folder
    waited_while_idle: float | None = None  # share of the measured time in which requests waited and executors were free
    starved: float | None = None  # share of it in spells of half a second or more with requests waiting and nobody working
    ready_s: float | None = None
    first_predict_s: float | None = None
    warmup_requests: int = 0
    executors_seen: int = 0
    load_s: dict[str, float] = {}
    cpu: CpuUse | None = None
    cpu_facts: CpuFacts | None = None
    cpu_verdict: str = ""  # of harness.measure.cpu_verdict.Word, with its number; '' where nothing was measured
    cpu_verdict_reason: Words = ""
    samples_file: str = ""  # the time line of CPU and memory: a path in the run's folder
    memory: MemoryUse | None = None
    peak_pss_bytes: int | None = None
    threads_peak: dict[str, int] = {}
    tree_cpu_s: float | None = None  # whole life, as sampled up to the last look before the worker ended
    kernel_cpu_s: float | None = None  # whole life, as the kernel accounts for it at the end
    last_progress_s: float | None = None  # from READY
    verdict_after_s: float | None = None  # from the last progress of what hangs to the watchdog's verdict
    cause: Words = ""  # of diagnosis.CAUSES, where the trial hung, stalled, respawned or crashed
    support: list[Words] = []  # what supports the cause, a sentence each
    executors: int | None = None  # that run requests: processes, threads, or 1
    executors_hung: int | None = None
    duplicates: int = 0  # answers that came a second time
    sending: Sending | None = None  # what the client has to say
    figures: Figures | None = None
    stages_p50_s: dict[str, float] = {}  # median of each stage of the measured requests, see `harness.measure.waterfall`
    noise: Noise | None = None
    doubts: list[Words] = []  # about this trial alone, see `harness.measure.doubts`
    versions: dict[str, str] = {}

    @property
    def as_cell(self) -> Cell:
        return Cell(**self.cell)


def to_line(record: TrialRecord) -> str:
    return record.model_dump_json() + "\n"


def from_line(line: str) -> TrialRecord | None:
    """The record of a line, None for a torn one (a run was killed while it wrote). Raises BadInput for a later schema."""
    try:
        return TrialRecord.model_validate_json(line) if line.startswith(CURRENT) else _from_other(json.loads(line))
    except ValueError:  # pydantic's and json's own are among them
        return None


def _from_other(data: Any) -> TrialRecord | None:
    """A record of another version, or one whose fields stand in another order."""
    if not isinstance(data, dict):
        return None
    return TrialRecord.model_validate(upgraded(data))


def upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """A record of any earlier version as one of today's. Raises BadInput for a later one."""
    found = dict(data)
    while (version := found.get("schema_version", SCHEMA)) != SCHEMA:
        if version not in UPGRADES:
            raise BadInput(
                f"a record has schema version {version!r}, this harness knows versions up to {SCHEMA}",
                remedy="read it with the harness that wrote it, or a later one",
            )
        found = UPGRADES[version](found)
    return found


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Nothing was watched that could fill the new fields; figures are computed from the requests when they are asked for."""
    return {**data, "schema_version": 2, "figures": None, "noise": None, "doubts": []}


#: version -> the step from it to the next one
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1}
CURRENT = f'{{"schema_version":{SCHEMA},'  # how `to_line` begins
