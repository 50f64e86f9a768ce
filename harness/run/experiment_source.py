"""The trials of an experiment: environments and workloads made ready, every cell planned, our own workers assigned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import environments
from harness.environments import Environment
from harness.errors import BuildFailed, MissingTool
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import Cell
from harness.records.answers import Requests
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import brokers, bundles, compiling, conclude, estimate, plan, sparing
from harness.run.brokers import Brokers
from harness.run.bundles import USER_WORKLOAD, Bundle
from harness.run.plan import Planned
from harness.run.shards import Shard
from harness.run.source import Desk, Slot, Terms
from harness.texts import portable
from harness.trial import outside, supervisor
from harness.trial.assignment import Assignment
from harness.trial.left import Left

Ready = Mapping[str, Environment | MissingTool]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RunOrder:
    """What the user asked for. `folder` is the run's folder; `model` and `rows`: the user's own, in place of a workload;
    `brokers`: URLs of the user's own besides the first, see `run.brokers`."""

    experiment: Experiment
    cells: list[Cell]
    folder: Path
    broker_url: str = ""
    brokers: Mapping[str, str] = field(default_factory=dict)
    model: Path | None = None
    rows: Path | None = None
    fresh: bool = False
    retry: frozenset[Outcome] = frozenset()
    shard: Shard | None = None  # of which the cells are; None: all that were chosen

    @property
    def terms(self) -> Terms:
        return Terms(
            folder=self.folder, settings=self.experiment.settings, cells=self.cells, broker_url=self.broker_url,
            fresh=self.fresh, retry=self.retry,
        )  # fmt: skip

    def admit(self, folder: RunFolder) -> None:
        """Whatever was run there before: keys tell the plans apart."""
        brokers.check(self.brokers.values())

    def source(self, desk: Desk) -> ExperimentSource:
        """Raises BuildFailed where no environment could be built."""
        ready = prepare_environments(self.cells, desk.say)
        made = prepare_bundles(self, desk.say)
        compiling.make_warm(self.cells, ready, made, desk.say)
        return ExperimentSource(order=self, ready=ready, bundles=made, brokers=Brokers(desk=desk, urls=self.brokers))


@dataclass(frozen=True, kw_only=True)
class ExperimentSource:
    """An order whose environments and bundles are ready; an environment that cannot be had skips its cells."""

    order: RunOrder
    ready: Ready
    bundles: Mapping[str, Bundle]
    brokers: Brokers

    def planned(self) -> list[Planned]:
        found = plan.trials(
            self.order.cells, self.order.experiment.settings, environments_ready=self.ready, bundles=self.bundles,
            broker_url=self.order.broker_url,
        )  # fmt: skip
        return [brokers.placed(item, self.order.brokers) for item in found]

    def follows(self, item: Planned, records: Sequence[TrialRecord]) -> list[Planned]:
        return []

    def again(self, todo: Sequence[Planned]) -> list[Planned]:
        return []  # answers are held against the workload's own reference, which is on disk

    def installed(self, item: Planned) -> Mapping[str, str]:
        environment = self.ready.get(item.cell.venv)
        return environment.installed if isinstance(environment, Environment) else {}

    @contextmanager
    def assignment(self, slot: Slot) -> Iterator[Assignment]:
        cell = slot.item.cell
        environment, bundle = self.ready[cell.venv], self.bundles[cell.workload]
        assert isinstance(environment, Environment)
        result_url = self.brokers.results(cell)
        with outside.around(cell.fault, self.brokers.serving(cell), slot.folder) as given:
            given = {"result_url": result_url, **given}
            yield slot.assignment(environment=environment, bundle=bundle.folder, rows=bundle.rows, **given)

    def spared(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        """How often fresh workers hang is what a repeated experiment asks; a control may be spared."""
        if not self.order.experiment.settings.stop_early:
            return ""
        there = self.stand_in(item, records)
        return sparing.why_twin(item.cell, there, self._built) if there else sparing.ceiling(item.cell, records)

    def stand_in(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        early = self.order.experiment.settings.stop_early and not item.skip
        return sparing.twin(item.cell, records, self._built) if early else ""

    @property
    def _built(self) -> dict[str, Environment]:
        return {name: one for name, one in self.ready.items() if isinstance(one, Environment)}

    def apart(self, item: Planned) -> str:
        environment = self.ready.get(item.cell.venv)
        return str(environment.python.resolve()) if isinstance(environment, Environment) else ""

    def read(self, left: Left) -> Requests | None:
        return conclude.compared(left, self.bundles[left.cell.workload])

    def revised(self, record: TrialRecord) -> TrialRecord:
        return record

    def unsettled(self, record: TrialRecord) -> bool:
        return False

    def left_s(self, todo: Sequence[Planned], records: Sequence[TrialRecord]) -> float | None:
        return estimate.left_s(todo, records, self.order.experiment.settings)

    def header(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """What stands there of cells that this plan leaves alone is kept."""
        return {
            "experiment": self.order.experiment.model_dump(),
            **({"brokers": before.get("brokers", {}) | also} if (also := self.brokers.shown) or "brokers" in before else {}),
            "environments": before.get("environments", {}) | {name: described(one) for name, one in self.ready.items()},
            "workloads": before.get("workloads", {}) | {name: one.fingerprint for name, one in self.bundles.items()},
            "shards": list(dict.fromkeys([*before.get("shards", []), *([str(self.order.shard)] if self.order.shard else [])])),
        }


def prepare_environments(cells: Sequence[Cell], say: Say) -> dict[str, Environment | MissingTool]:
    """Find or build each environment that is needed; one that cannot be had becomes the reason of its skipped cells.

    Raises BuildFailed where none could be built.
    """
    ready: dict[str, Environment | MissingTool] = {}
    failed: BuildFailed | None = None
    for name in dict.fromkeys(cell.venv for cell in cells):
        try:
            ready[name] = environments.prepare(name, say)
        except MissingTool as error:
            say(f"warning: no environment {name}: {error}")
            ready[name] = error
        except BuildFailed as error:
            say(f"warning: no environment {name}: {error}{f' ({error.evidence})' if error.evidence else ''}")
            ready[name], failed = MissingTool(str(error), remedy=error.remedy, evidence=error.evidence), error
    if failed is not None and not any(isinstance(one, Environment) for one in ready.values()):
        raise failed  # nothing could be measured
    return ready


def prepare_bundles(order: RunOrder, say: Say) -> dict[str, Bundle]:
    """Write the workloads that are needed, the user's own model among them."""
    names = {cell.workload for cell in order.cells}
    found = bundles.write_bundles(sorted(names - {USER_WORKLOAD}), bundles.home())
    if order.model is not None:
        found[USER_WORKLOAD] = user_bundle(order, order.model, order.folder / "model", say)
    return found


def user_bundle(order: RunOrder, model: Path, folder: Path, say: Say) -> Bundle:
    """Read the user's model with today's Keras, in its own environment."""
    from harness.workloads.user_model import write_user_bundle

    reader = environments.prepare("tensorflow2", say)
    doubts = write_user_bundle(
        reader.python, environments.worker_variables(reader), model, order.rows, supervisor.fresh_folder(folder)
    )
    for doubt in doubts:
        say(f"warning: {doubt}")
    return bundles.bundle(folder)


def described(environment: Environment | MissingTool) -> dict[str, object]:
    """An environment as `run.json` has it."""
    if isinstance(environment, MissingTool):
        return {"missing": str(environment), "remedy": environment.remedy}
    return {
        "interpreter": environment.interpreter_version,
        "fingerprint": environment.fingerprint,
        "installed": dict(environment.installed),
        "facts": json.loads(portable(json.dumps(dict(environment.facts)))),
    }
