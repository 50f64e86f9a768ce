"""The sections of a record, each made by the one room that knows it; raw facts, in seconds, bytes and core-seconds."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict

from harness.certainty.intervals import NOTHING, Span
from harness.experiment.matrix import Cell
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
