"""A cell of an experiment on a release of a package: a variant of its environment (`environments.variants`), and a run of its
own. What was measured before is not measured again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.decide.bisect.measured import Measured, judged
from harness.decide.bisect.page import Subject
from harness.environments import name_of
from harness.errors import BadInput, HarnessError, Interrupted
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.store import RunFolder
from harness.run import workflow
from harness.run.experiment_source import RunOrder


@dataclass(frozen=True, kw_only=True)
class BisectOrder:
    """`cell` on releases of `package`; runs lie in `folder`, one folder a release."""

    experiment: Experiment
    cell: Cell
    package: str
    folder: Path
    fresh: bool = False

    @property
    def subject(self) -> Subject:
        return Subject(cell=self.cell.id, name=self.package, one="release", many="releases", folder=self.folder)


def measured(order: BisectOrder, version: str, screen: workflow.Screen) -> Measured:
    """Run the cell with one release."""
    environment = name_of(order.cell.venv, order.package, version)
    cell = replace(order.cell, environment=environment)
    folder = order.subject.folder_of(version)
    retry = frozenset({Outcome.INVALID})
    run = RunOrder(experiment=order.experiment, cells=[cell], folder=folder, retry=retry, fresh=order.fresh)
    try:
        workflow.run(run, screen)
    except (BadInput, Interrupted):
        raise
    except HarnessError as error:  # this release does not install, or does not import: another one may
        return Measured(version=version, outcome=None, reason=str(error))
    return judged(version, [record for record in RunFolder(folder).current().values() if record.cell_id == cell.id], folder)
