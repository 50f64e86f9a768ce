"""Where the trials of a run come from: the one door between the run loop and what it runs.

Two sources exist: an experiment (`experiment_source`), and somebody's own application (`applications.probe.source`). An *order*
is what the user asked for; from it and a *desk* (an opened folder and a broker) comes a *source*, which knows its trials; the
loop gives each trial a *slot* and takes its record. Plain values, but for the source itself: a probe learns from its serial
calls what a right answer is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.broker import Broker
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.records.answers import Requests
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run.plan import Planned
from harness.trial.assignment import Assignment, Rival
from harness.trial.floor import Turn
from harness.trial.left import Left


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What every order says. `folder`: the run's; `what`: how such a run is called in messages."""

    folder: Path
    settings: Settings
    cells: Sequence[Cell]
    what: str = "run"
    broker_url: str = ""
    fresh: bool = False
    retry: frozenset[Outcome] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where a run works: its folder, held; a scratch folder; its broker; and whether the user has asked to stop. `turn`: of the
    trial that is given this desk."""

    folder: RunFolder
    scratch: Path
    server: Broker
    settings: Settings
    say: Callable[[str], None]
    interrupted: Callable[[], bool]
    held: ExitStack | None = None  # takes what a source starts, which ends with the run; None: it is to start nothing
    turn: Turn = field(default_factory=Turn)


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What the loop gives one trial. `folder`: its own scratch folder; `baseline_…`: see `plan.pace`."""

    item: Planned
    desk: Desk
    folder: Path
    evidence: Path
    baseline_s: float | None
    baseline_first_s: float | None
    baseline_slowest_s: float | None
    baseline_waits: bool = False
    alone_share: float | None = None
    loss_shown: bool = False
    rival: Rival | None = None

    def assignment(self, **own: Any) -> Assignment:
        """The trial's assignment: what stands here, and what is the source's `own`."""
        common: dict[str, Any] = {
            "cell": self.item.cell, "trial": self.item.trial, "settings": self.desk.settings, "broker": self.desk.server,
            "folder": self.folder, "evidence": self.evidence, "interrupted": self.desk.interrupted,
            "say": lambda text: self.desk.say(f"{self.item.cell.id}: {text}"),
            "baseline_s": self.baseline_s, "baseline_first_s": self.baseline_first_s,
            "baseline_slowest_s": self.baseline_slowest_s, "baseline_waits": self.baseline_waits,
            "alone_share": self.alone_share, "loss_shown": self.loss_shown, "rival": self.rival, "turn": self.desk.turn,
        }  # fmt: skip
        return Assignment(**{**common, **own})


class Source(Protocol):
    """A run's trials, and what is particular to them."""

    def planned(self) -> list[Planned]:
        """All trials, in order; those that cannot be run with their reason."""

    def follows(self, item: Planned, records: Sequence[TrialRecord]) -> list[Planned]:
        """Trials that are planned beside this one for what the records show of it; asked again after each of its trials."""

    def again(self, todo: Sequence[Planned]) -> list[Planned]:
        """Trials that are on record, and must be run before those `todo` all the same."""

    def installed(self, item: Planned) -> Mapping[str, str]:
        """Version by package, where this trial runs."""

    def assignment(self, slot: Slot) -> AbstractContextManager[Assignment]:
        """The trial's assignment; whatever it needs around it lasts as long as the context."""

    def spared(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        """Why this trial need not be run, for what others on record have shown; '' to run it."""

    def stand_in(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        """The cell whose record is read in place of this spared trial's; '' if there is none."""

    def apart(self, item: Planned) -> str:
        """The interpreter that runs the trial: no two of the same have their processes beside each other; '' if no other trial
        at all may run beside this one."""

    def read(self, left: Left) -> Requests | None:
        """The requests of a trial that has ended, checked; None if there are none."""

    def revised(self, record: TrialRecord) -> TrialRecord:
        """The record, in the source's own words."""

    def unsettled(self, record: TrialRecord) -> bool:
        """Whether this trial has to be run once more before it is kept: it was given less than was asked for."""

    def left_s(self, todo: Sequence[Planned], records: Sequence[TrialRecord]) -> float | None:
        """Seconds that these trials will take; None if nobody can know it yet."""

    def header(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """Its part of `run.json`; `before`: what stands there."""


class Ordered(Protocol):
    """What the user asked for, as the run loop takes it."""

    @property
    def terms(self) -> Terms: ...

    def admit(self, folder: RunFolder) -> None:
        """Raise BadInput where the folder holds something that must not be mixed with this order."""

    def source(self, desk: Desk) -> Source:
        """Make ready what all trials need."""
