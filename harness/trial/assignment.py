"""What one trial is asked to do: everything it needs to know, and nothing that it finds out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.broker import Broker
from harness.environments import Environment
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.observe.progress import Progress, TaskPace
from harness.trial.application import RPC, Application
from harness.trial.floor import Turn


class Outside(Protocol):
    """A fault that is done to a running trial, once; `struck` says whether it has been. See `trial.outside`."""

    struck: bool

    def __call__(self, progress: Progress, main: int) -> None:
        """Called at each look of the measured phase. `main`: the worker's own process."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The best cell of the same work so far, and the lower end of its throughput's interval, requests per second."""

    cell: str
    least_per_s: float


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """`folder` is the trial's own scratch folder, `interrupted` tells of a Ctrl-C. `worker_broker_url`: where the worker is
    to find the broker, if elsewhere than the client. `say`: to the person who waits, while the trial goes on.
    """

    cell: Cell
    trial: int
    environment: Environment
    bundle: Path
    rows: int
    settings: Settings
    broker: Broker
    folder: Path
    evidence: Path
    baseline_s: float | None = None  # of the same predict in this run's in-process baseline: the median,
    baseline_first_s: float | None = None  # the first,
    baseline_slowest_s: float | None = None  # and the slowest of all its answers
    baseline_waits: bool = False  # the calls waited there as well, without end as far as it went
    alone_share: float | None = None  # of its CPU time that threads of the engine used; None while it tells nothing
    loss_shown: bool = False  # a sibling has hung for what a fork takes away, in this run: its proof was watched for long
    few: bool = False  # requests are so slow that they are measured from the first one on, see `client.plan`
    cold: bool = False  # then: a first one is known to take longer
    most_s: float = 0.0  # then: how long the load goes on sending, 0 for as long as it takes
    at_work_s: float = 0.0  # the time limit of a trial whose overdue request is seen at work, if longer than that of `settings`
    worker_broker_url: str = ""
    result_url: str = ""  # of the result back end of our own worker, `application.RPC` among them; '' for the broker's
    application: Application | None = None  # somebody's own, instead of ours
    paces: Sequence[TaskPace] = ()  # of the tasks of its mix, as the serial calls told them
    outside: Outside | None = None
    interrupted: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda text: None
    rival: Rival | None = None
    turn: Turn = field(default_factory=Turn)  # beside the other trials of the run

    @property
    def waits_for_nobody(self) -> bool:
        """Whether these are serial calls of an application, which are measured as soon as it is imported."""
        return self.cell.is_baseline and self.application is not None

    @property
    def limit_s(self) -> float:
        """The longest of the application's own time limits, after which a request is cut off; 0 if it has none."""
        return self.application.limits.longest_s if self.application else 0.0

    @property
    def rate_interval_s(self) -> float:
        """Between two requests of one task, by its own rate limit; 0 if none has one."""
        rates = [one.rate_per_s for one in self.application.limits_of if one.rate_per_s] if self.application else []
        return 1.0 / min(rates) if rates else 0.0

    @property
    def stored_in(self) -> str:
        """URL of the Valkey or Redis that answers are stored in, if that is not the broker; '' if they come as messages."""
        if self.application is not None:
            return self.application.stored_in
        return "" if self.result_url == RPC else self.result_url

    @property
    def put_off_s(self) -> float:
        """How long after its sending a message of the application's may be begun; 0 if it is not put off."""
        return (self.application.limits.put_off_s or 0.0) if self.application else 0.0

    @property
    def events(self) -> Path:
        """The folder to which the trial's processes append their events and stamps."""
        return self.folder / "events"

    @property
    def result(self) -> Path:
        """The requests, as the load generator or the baseline writes them."""
        return self.folder / "requests.npz"

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"
