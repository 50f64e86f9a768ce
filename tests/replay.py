"""A stored trial, watched again: everything that a site of a real trial was asked, and when, with a clock that jumps.

A history is a zip file in `tests/histories`, made from a real trial by `tests/record_histories.py`. It holds what the site
answered (`history.json`), what the trial's processes wrote (events, stamps, requests), and the record that became of it
then; the workload's right answers lie beside it. `watched` runs it through watcher and left; `recorded` through judge and
record, too.
"""

from __future__ import annotations

import tempfile
import zipfile
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from harness.broker import Backlog, Census
from harness.environments import Environment
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.measure.monitor import Sample, Watched
from harness.measure.noise import Reading
from harness.observe.diagnosis import Evidence
from harness.observe.looks import ProcessLook
from harness.observe.progress import Progress
from harness.observe.roles import Role
from harness.records.answers import Floats, Requests
from harness.records.record import TrialRecord, from_line
from harness.run import conclude
from harness.run.bundles import Bundle
from harness.run.conclude import Heading
from harness.trial.assignment import Assignment
from harness.trial.left import Left
from harness.trial.trial import Trial
from harness.worker import contract

HISTORIES = Path(__file__).parent / "histories"
NAMES = tuple(sorted(path.stem for path in HISTORIES.glob("*.zip")))
HEADING = Heading(plan_key="key", started="2026-01-01T00:00:00+00:00", versions={"celery": "5.7.0"})
_KEPT = tempfile.TemporaryDirectory()  # of what is watched once
T = TypeVar("T")
At = tuple[float, T]  # a moment of the trial's clock, and what was answered then


@dataclass(frozen=True, kw_only=True)
class History:
    """What a real site answered. Moments are seconds of the trial's own CLOCK_MONOTONIC."""

    cell: dict[str, Any]
    settings: Settings
    dtype: str
    baseline_s: float | None
    baseline_first_s: float | None
    started_s: float
    main: int
    steps: tuple[float, ...]  # when the watcher woke up
    codes: dict[str, float | int | None] = field(default_factory=dict)  # 'worker_s' when it had ended, 'worker' how; and so on
    client: bool = True
    client_states: tuple[At[str], ...] = ()
    samples: tuple[At[Sample], ...] = ()
    noise: tuple[At[Reading], ...] = ()
    depths: tuple[At[tuple[int, int] | None], ...] = ()
    censuses: tuple[At[Census], ...] = ()
    pids: tuple[At[frozenset[int]], ...] = ()
    looks: tuple[At[tuple[ProcessLook, ...]], ...] = ()
    watched: Watched
    no_consumer: str = ""
    log: str = ""
    oom_kills: int = 0
    oom_counted: str = ""
    evidence: Evidence | None = None
    kernel_cpu_s: float | None = None
    last: Sample | None = None  # taken as the worker was ended
    struck: bool | None = None  # by a fault from outside; None: there was none


ADAPTER = TypeAdapter(History)


class StoredProgress(Progress):
    """The events that had been written by now."""

    def __init__(self, directory: Path, now: Callable[[], float]) -> None:
        super().__init__(directory)
        self._now, self._taken = now, 0
        self._all = sorted(Progress(directory).new_events(), key=lambda event: event.at_ns)
        self._moments = [event.at_ns * 1e-9 for event in self._all]

    def new_events(self) -> list[contract.Event]:
        known = bisect_left(self._moments, self._now())
        new, self._taken = self._all[self._taken : known], max(known, self._taken)
        return new


class StoredSite:
    """A site that answers as the real one did at about the same moment."""

    def __init__(self, history: History, work: Assignment) -> None:
        self.history, self.work = history, work
        self.started_s, self.main, self.clock_s = history.started_s, history.main, history.started_s
        self.progress: Progress = StoredProgress(work.events, self.now)
        self.ended_s = 0.0
        self.asked: list[str] = []  # what the watcher did to the site, in order

    def now(self) -> float:
        return self.clock_s

    def sleep(self, seconds: float) -> None:
        steps = self.history.steps
        place = bisect_left(steps, self.clock_s + 1e-6)
        self.clock_s = steps[place] if place < len(steps) else self.clock_s + seconds

    def worker_code(self) -> int | None:
        return self._code("worker")

    def client_code(self) -> int | None:
        return self._code("client" if self.history.client else "worker")

    def has_client(self) -> bool:
        return self.history.client

    def client_state(self) -> str:
        return self._near(self.history.client_states) or ""

    def broker_ended(self) -> bool:
        return self._code("broker") is not None

    def census(self) -> Census:
        return self._near(self.history.censuses) or Census(answers=True, messages=0, connections=1)

    def depth(self) -> tuple[int, int] | None:
        return self._near(self.history.depths)

    def sample(self, phase: str, *, edge: bool = False) -> Sample:
        found = self._near(self.history.samples)
        assert found is not None
        return found

    def noise(self) -> Reading:
        return self._near(self.history.noise) or Reading(swapped_bytes=None, frequency_hz=None)

    def children(self) -> frozenset[int]:
        return frozenset()

    def pids(self) -> frozenset[int]:
        return self._near(self.history.pids) or frozenset()

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        return tuple(look if look.pid in closely else _from_afar(look) for look in self._near(self.history.looks) or ())

    def settled(self, processes: Sequence[ProcessLook]) -> None:
        self.asked.append("settled")

    def no_consumer(self) -> str:
        return self.history.no_consumer

    def go(self) -> None:
        self.asked.append("go")

    def log_tail(self) -> str:
        return self.history.log

    def backlog(self) -> tuple[Backlog, ...]:
        return ()

    def consumed(self) -> tuple[str, ...] | None:
        return None

    def shared(self) -> tuple[str, ...]:
        return ()

    def left_behind(self) -> tuple[str, ...]:
        return ()

    def end(self) -> str:
        return ""

    def oom_kills(self) -> int:
        return self.history.oom_kills

    def oom_counted(self) -> str:
        return self.history.oom_counted

    def evidence(self, pids: tuple[int, ...]) -> Evidence:
        self.asked.append("evidence")
        return replace(self.history.evidence or Evidence(path=Path("x")), path=self.work.evidence / "stacks.txt")

    def watched(self) -> Watched:
        return self.history.watched

    def kernel_cpu_s(self) -> float | None:
        return self.history.kernel_cpu_s

    def close(self, ended_by: str) -> Sample | None:
        self.asked.append(f"close {ended_by}")
        self.ended_s, self.clock_s = self.clock_s, float("inf")
        self.progress.read()
        return self.history.last

    def _code(self, name: str) -> int | None:
        at_s = self.history.codes.get(f"{name}_s")
        return int(self.history.codes[name] or 0) if at_s is not None and at_s <= self.clock_s else None

    def _near(self, told: Sequence[At[T]]) -> T | None:
        """The answer of the nearest moment."""
        if not told:
            return None
        return min(told, key=lambda one: abs(one[0] - self.clock_s))[1]


def _from_afar(look: ProcessLook) -> ProcessLook:
    """What is seen of a process that nobody looks into."""
    unseen = {"own_tids": frozenset(), "functions": {}, "role": Role.UNKNOWN, "tracing": frozenset()}
    return replace(look, python_tids=None, gil_owner=None, greenlets=None, **unseen)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A history unpacked in a folder."""

    history: History
    folder: Path
    expected: TrialRecord

    @property
    def bundle(self) -> Bundle:
        return Bundle(
            folder=self.folder,
            reference=_reference(self.history.cell["workload"]),
            dtype=self.history.dtype,
            fingerprint="stored",
        )

    def changed(self, **changes: Any) -> Stored:
        return replace(self, history=replace(self.history, **changes))


def stored(name: str, folder: Path) -> Stored:
    """A history by its name, unpacked into `folder`."""
    with zipfile.ZipFile(HISTORIES / f"{name}.zip") as file:
        file.extractall(folder)
    expected = from_line((folder / "record.jsonl").read_text())
    assert expected is not None
    return Stored(history=_history(name), folder=folder, expected=expected)


@cache
def _history(name: str) -> History:
    with zipfile.ZipFile(HISTORIES / f"{name}.zip") as file:
        return ADAPTER.validate_json(file.read("history.json"))


@cache
def _reference(workload: str) -> Floats:
    with np.load(HISTORIES / f"{workload}.npz", allow_pickle=False) as file:
        found: Floats = file["reference"]
    return found


class NoBroker:
    """A broker that is not asked."""

    url = "redis://127.0.0.1:1/0"
    process = None


@dataclass
class Struck:
    """A fault from outside that has, or has not, been done."""

    struck: bool

    def __call__(self, progress: Progress, main: int) -> None:
        return


def assignment(one: Stored, **changes: Any) -> Assignment:
    """What the trial was asked to do."""
    history, place = one.history, one.folder
    environment = Environment(
        name="stored", python=place / "bin" / "python", directory=place, fingerprint="stored", installed={}, variables={},
        interpreter_version="3.11", facts={}, cache_dir=place,
    )  # fmt: skip
    outside = None if history.struck is None else Struck(history.struck)
    work = Assignment(
        cell=Cell(**history.cell), trial=1, environment=environment, bundle=place, rows=len(one.bundle.reference),
        settings=history.settings, broker=NoBroker(), folder=place, evidence=place / "evidence" / "one",
        baseline_s=history.baseline_s, baseline_first_s=history.baseline_first_s, outside=outside,
    )  # fmt: skip
    return replace(work, **changes)


def watched(one: Stored, site_of: type[StoredSite] = StoredSite, **changes: Any) -> tuple[Left, StoredSite]:
    """The trial once more, from its first look to what it leaves; and the site it was watched on."""
    made: list[StoredSite] = []

    def site(work: Assignment) -> StoredSite:
        made.append(site_of(one.history, work))
        return made[0]

    left = Trial(assignment(one, **changes), site).run()
    return left, made[0]


@dataclass(frozen=True, kw_only=True)
class Played:
    """A history, watched and recorded once for all tests that only read it."""

    stored: Stored
    left: Left
    asked: tuple[str, ...]
    requests: Requests | None
    record: TrialRecord

    @property
    def folder(self) -> Path:
        return self.stored.folder


@cache
def once(name: str) -> Played:
    folder = Path(_KEPT.name) / name
    one = stored(name, folder)
    left, site = watched(one)
    requests = requests_of(one, left)
    (folder / "evidence" / "one").mkdir(parents=True, exist_ok=True)
    record = conclude.record_of(left, HEADING, requests, folder, seconds=1.0)
    return Played(stored=one, left=left, asked=tuple(site.asked), requests=requests, record=record)


def requests_of(one: Stored, left: Left) -> Requests | None:
    return conclude.compared(left, one.bundle)


def recorded(one: Stored, **changes: Any) -> TrialRecord:
    """The trial once more, from its first look to its record."""
    left, _ = watched(one, **changes)
    (one.folder / "evidence" / "one").mkdir(parents=True, exist_ok=True)
    return conclude.record_of(left, HEADING, requests_of(one, left), one.folder, seconds=1.0)
