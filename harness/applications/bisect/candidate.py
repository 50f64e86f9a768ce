"""Somebody's own application as one release, or one commit, has it: probed in one cell, several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.applications.probe.messages import CannotProbe
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.probe import Probe
from harness.applications.probe.source import ApplicationSource
from harness.decide.bisect.measured import Measured, judged
from harness.decide.bisect.page import Subject
from harness.errors import BadInput, BuildFailed, HarnessError
from harness.records.outcomes import Outcome
from harness.records.store import RunFolder
from harness.run import workflow
from harness.run.source import Desk

#: what is run again: every trial counts here, so none is spared because an earlier one hung
RETRY = frozenset({Outcome.INVALID, Outcome.SKIPPED})


class CannotRun(HarnessError):
    """This candidate cannot be asked what it is; another one may."""


@dataclass(frozen=True, kw_only=True)
class Candidate(Probe):
    """`fits`: raises CannotRun if the application that was asked is not the one that was meant."""

    fits: Callable[[ApplicationSource], None]

    def source(self, desk: Desk) -> ApplicationSource:
        """Raises CannotRun with what the application's interpreter said."""
        try:
            found = super().source(desk)
        except HarnessError as error:
            if type(error) not in (BadInput, HarnessError, CannotProbe):
                raise
            raise CannotRun(str(error), remedy=error.remedy, evidence=error.evidence) from error
        self.fits(found)
        return found


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """How one candidate is run: where it lies and with which interpreter (`order`), and whether it is what was meant."""

    order: ProbeOrder
    fits: Callable[[ApplicationSource], None]
    about: str = ""


def measured(subject: Subject, version: str, prepare: Callable[[str], Prepared], screen: workflow.Screen) -> Measured:
    """Run the cell with one candidate. Raises Interrupted, and what would be the same for every candidate."""
    folder, about = subject.folder_of(version), ""
    try:
        ready = prepare(version)
        about = ready.about
        screen.say(f"{subject.one} {version} {about}".rstrip())
        workflow.run(Candidate(order=in_folder(ready.order, folder), fits=ready.fits), screen)
    except (CannotRun, BuildFailed) as error:  # this one cannot be imported, or installed
        screen.say(f"{subject.one} {version} cannot be run, and is passed over: {error}")
        where = below(subject.folder, error.evidence)
        return Measured(version=version, outcome=None, reason=str(error), remedy=error.remedy, evidence=where, about=about)
    records = [record for record in RunFolder(folder).current().values() if record.cell_id == subject.cell]
    return replace(judged(version, records, folder), about=about)


def below(folder: Path, path: str) -> str:
    """The path as one of this folder, if it is.

    >>> below(Path("runs"), f"{Path('runs').absolute()}/one/facts.log"), below(Path("runs"), "")
    ('runs/one/facts.log', '')
    """
    whole = folder.absolute()
    return str(folder / Path(path).relative_to(whole)) if path and Path(path).is_relative_to(whole) else path


def in_folder(order: ProbeOrder, folder: Path) -> ProbeOrder:
    """Every call and every trial is made, whatever the others did: the outcomes are counted."""
    return replace(order, out=folder, go_on=True, retry=RETRY)
