"""The truth tests by their letters: `harness selftest --instrument` runs them all."""

from __future__ import annotations

from dataclasses import replace

from harness import environments, workloads
from harness.experiment import experiment
from harness.proof.instrument import (
    burners,
    claimed,
    coverage,
    paired_runs,
    pasted,
    queue_truth,
    same_cell,
    searched,
    suite,
    worker_truth,
)
from harness.proof.instrument.finding import Finding
from harness.proof.instrument.suite import Bench, InstrumentCheck
from harness.records.outcomes import Outcome
from harness.records.store import RunFolder
from harness.run import plan, workflow
from harness.run.experiment_source import RunOrder
from harness.run.workflow import Silent


def _same_cell(bench: Bench) -> list[Finding]:
    """Simulated pairs, then a run of the experiment whose cells are repeated, dealt out to real pairs.

    A trial beside which somebody else used the cores is `invalid`, and is made again: a pair needs all of its trials.
    """
    spec = experiment.read(same_cell.EXPERIMENT, backends=list(environments.descriptions()), workloads=list(workloads.NAMES))
    cells = plan.chosen_cells(spec, [])
    again = RunOrder(experiment=spec, cells=cells, folder=bench.folder, retry=frozenset({Outcome.INVALID}))
    workflow.run(replace(again, fresh=True), Silent())
    workflow.run(again, Silent())
    return same_cell.simulated(bench.seed) + same_cell.real(RunFolder(bench.folder).current().values())


TRUTHS = (
    InstrumentCheck(
        name="a",
        title="a task of exactly 20 ms in a real worker",
        find=lambda bench: worker_truth.exact_task(bench.folder),
    ),
    InstrumentCheck(name="b", title="M/D/1", find=lambda bench: [queue_truth.one_server(bench.folder, seed=bench.seed)]),
    InstrumentCheck(name="c", title="M/D/2", find=lambda bench: [queue_truth.two_servers(bench.folder, seed=bench.seed)]),
    InstrumentCheck(name="d", title="a freeze of 1 s", find=lambda bench: [queue_truth.frozen(bench.folder, seed=bench.seed)]),
    InstrumentCheck(name="e", title="burners of known duty", find=lambda bench: burners.saturation() + burners.verdicts()),
    InstrumentCheck(name="f", title="coverage of intervals", find=lambda bench: coverage.coverage(bench.seed)),
    InstrumentCheck(name="g", title="two runs of the same cell", find=_same_cell),
    InstrumentCheck(name="h", title="claims from few workers", find=lambda bench: claimed.claimed(bench.seed)),
    InstrumentCheck(
        name="compare",
        title="harness compare on real runs",
        find=lambda bench: paired_runs.compared(bench.folder, suite.ENVIRONMENT),
        long=True,
    ),
    InstrumentCheck(
        name="recommend",
        title="what harness recommend prints, pasted",
        find=lambda bench: pasted.served(bench.folder),
        long=True,
    ),
    InstrumentCheck(
        name="tune",
        title="harness tune, replayed and live",
        find=lambda bench: searched.searched(bench.folder),
        long=True,
    ),
)
