"""The self-test's trials, split into parts that are runs of their own (`harness run`, with its own broker), side by side.

Each part is an owned process: none outlives this one. A part is complete or is completed by the next self-test.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.machine.processes import OwnedProcess, signal_name
from harness.proof.selftest.entry import SETTINGS, Case
from harness.records.record import TrialRecord
from harness.records.store import RunFolder, writing
from harness.records.upgrades import SCHEMA
from harness.run.interrupt import interruptible

START_S = 4.0  # what a run of its own costs
LEAST_S, MOST_S = 30.0, 300.0  # of a part
CHUNKS = 2  # parts for each job, so that the last ones end together; each costs START_S
LOOK_EVERY_S = 0.3
STOP_GRACE_S = 60.0
STOPPING = "stopping after the trials' clean-up; what was measured is kept"
DIMENSIONS = ("backend", "environment", "pool", "concurrency", "placement", "traffic", "fault")


@dataclass(frozen=True, kw_only=True)
class Part:
    """The trials `first` to `first + repeat - 1` of some cases with the same settings."""

    cases: tuple[Case, ...]
    first: int
    repeat: int

    @property
    def seconds(self) -> float:
        return START_S + self.repeat * sum(case.entry.seconds for case in self.cases)

    @property
    def trials(self) -> int:
        return self.repeat * len(self.cases)

    def experiment(self, name: str) -> str:
        """The part as an experiment's TOML."""
        settings = {**SETTINGS, **self.cases[0].entry.settings, "repeat": self.repeat}
        head = [f"name = {json.dumps(name)}", 'summary = "a part of the self-test"', "[settings]", *_toml(settings)]
        blocks = []
        for case in self.cases:
            values = case.cell.as_dict()
            blocks += ["[[cells]]", *_toml({key: [values[key]] for key in DIMENSIONS})]
        return "\n".join(head + blocks) + "\n"

    def name(self, fingerprint: str) -> str:
        """A hash of all that it consists of: another plan, or another environment, gets another folder."""
        asked = [SCHEMA, fingerprint, self.first, self.experiment("")]
        return f"part-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]}"


def _toml(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


def split(cases: Iterable[Case], times: int, jobs: int) -> list[Part]:
    """All trials of all cases that can exist, in parts of about the same length, the longest first."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        if not case.skip:
            groups.setdefault(json.dumps(dict(case.entry.settings), sort_keys=True), []).append(case)
    whole_s = times * sum(case.entry.seconds for group in groups.values() for case in group)
    target_s = min(MOST_S, max(LEAST_S, whole_s / (jobs * CHUNKS)))
    parts = [part for group in groups.values() for part in _split_group(group, times, target_s)]
    return sorted(parts, key=lambda part: -part.seconds)


def _split_group(group: Sequence[Case], times: int, target_s: float) -> Iterator[Part]:
    """Cases that are longer than a part are split by trials, the others put together."""
    together: list[Case] = []
    for case in group:
        most = max(1, int(target_s / case.entry.seconds))
        if most < times:
            for first in range(1, times + 1, most):
                yield Part(cases=(case,), first=first, repeat=min(most, times + 1 - first))
            continue
        together.append(case)
        if times * sum(one.entry.seconds for one in together) >= target_s:
            yield Part(cases=tuple(together), first=1, repeat=times)
            together = []
    if together:
        yield Part(cases=tuple(together), first=1, repeat=times)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A part and the folder of its run."""

    part: Part
    folder: Path

    def records(self) -> list[TrialRecord]:
        """Its records as trials of the whole self-test: numbered through, their files named from the self-test's folder."""
        place = f"parts/{self.folder.name}"
        return [
            record.changed(
                asked={"trial": self.part.first + record.trial - 1},
                ended={"evidence": record.ended.evidence and f"{place}/{record.ended.evidence}"},
                answers={"requests_file": record.answers.requests_file and f"{place}/{record.answers.requests_file}"},
            )
            for record in RunFolder(self.folder).current().values()
        ]

    def done(self) -> int:
        """How many of its trials are on record."""
        with contextlib.suppress(OSError):
            return min(self.part.trials, len(RunFolder(self.folder).lines()))
        return 0

    def complete(self) -> bool:
        return len(RunFolder(self.folder).current()) >= self.part.trials


def tasks(parts: Sequence[Part], folder: Path, fingerprint: str) -> list[Task]:
    return [Task(part=part, folder=folder / "parts" / part.name(fingerprint)) for part in parts]


def start(task: Task) -> OwnedProcess:
    """`harness run` of one part."""
    name = task.folder.name
    with writing(task.folder):
        task.folder.mkdir(parents=True, exist_ok=True)
        (task.folder / "part.toml").write_text(task.part.experiment(name))
    argv = [sys.executable, "-m", "harness.cli", "run", str(task.folder / "part.toml"), "--out", str(task.folder)]
    return OwnedProcess(argv, log=(task.folder / "run.log").resolve(), env=os.environ)


class Jobs:
    """Carries out tasks, `jobs` at a time. `tick` is told of the trials on record and the seconds left, `say` of trouble."""

    def __init__(
        self, todo: Sequence[Task], *, jobs: int, say: Callable[[str], None], tick: Callable[[int, int, float], None]
    ) -> None:
        self.tasks, self.jobs, self.say, self.tick = list(todo), jobs, say, tick
        self.running: list[tuple[Task, OwnedProcess]] = []
        self.stopping = False

    def run(self) -> bool:
        """Until all have ended; False if it was interrupted."""
        todo = [task for task in self.tasks if not task.complete()]
        try:
            with interruptible(self.say, STOPPING, then=self._stop):
                while self.running or (todo and not self.stopping):
                    while todo and len(self.running) < self.jobs and not self.stopping:
                        task = todo.pop(0)
                        self.running.append((task, start(task)))
                    self._look()
                    time.sleep(LOOK_EVERY_S)
        finally:
            for _, process in self.running:
                process.kill()
        return not self.stopping

    def _look(self) -> None:
        for task, process in list(self.running):
            code = process.poll()
            if code is None:
                continue
            self.running.remove((task, process))
            if code != 0 and not self.stopping:
                self.say(f"warning: {task.folder.name} ended with {signal_name(code)}; its log: {process.log}")
        done = sum(task.done() for task in self.tasks)
        left_s = sum(task.part.seconds * (1 - task.done() / task.part.trials) for task in self.tasks) / self.jobs
        self.tick(done, sum(task.part.trials for task in self.tasks), left_s)

    def _stop(self) -> None:
        """The request to stop is passed on, as a Ctrl-C; each run finishes its trial's clean-up."""
        self.stopping = True
        for _, process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
