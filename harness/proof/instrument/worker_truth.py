"""Truth test (a): a real Celery worker whose task takes exactly 20 ms is measured as 20 ms, plus what the null control takes.

Two cells of one run, by the way that every run goes: a task that computes for 20 ms, and the null control of the same pool,
which shows what broker, pool and client add. It computes because a sleep is not exact: by the requests' own stamps, sleeps of
20 ms took 20.17 to 20.29 ms on a virtual machine, and what follows a sleep (the result's write) is slow to get going.
The median of the first lies within 0.5 ms plus the null's own median above 20 ms; of some fresh workers each, the middle one
counts.
Both get their requests at the same moments, so that the processes of either have slept before each: woken every 25 ms, the
same hand-overs take up to twice as long as in a row. And the pace leaves the worker some milliseconds after each request:
traffic that sends the next one at once has it wait, in `solo`, until the worker has put away the last: no part of the 20 ms.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from harness.experiment.experiment import Block, Experiment, Settings
from harness.experiment.matrix import Cell
from harness.proof.instrument.finding import Finding
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import plan, workflow
from harness.run.experiment_source import RunOrder
from harness.run.workflow import Silent

TASK_S = 0.020
SLACK_S = 0.0005
POOLS = ("solo", "prefork", "threads")
TRIALS = 3  # fresh workers of either, by turns: one worker's null latency is up to 0.5 ms from another's
PACE = "constant-40"  # requests per second: one is answered some milliseconds before the next is sent


def exact_task(folder: Path, *, environment: str = "celery", seconds: float = 2.0, trials: int = TRIALS) -> list[Finding]:
    """One finding a pool; the run is kept in `folder`."""
    settings = Settings(
        measure_s=seconds, requests=80, limit_s=60.0, stable_limit_s=1.5, noise_limit=100.0, repeat=trials, controls=False
    )
    common = {"environment": [environment], "pool": list(POOLS), "traffic": [PACE]}
    experiment = Experiment(
        name="exact-task",
        summary="a task of exactly 20 ms beside the null control",
        settings=settings,
        cells=[
            Block.model_validate({"backend": ["null"], **common}),
            Block.model_validate({"backend": ["faulty"], "fault": [f"spin:{TASK_S:g}@0"], **common}),
        ],
    )
    workflow.run(RunOrder(experiment=experiment, cells=plan.chosen_cells(experiment, []), folder=folder, fresh=True), Silent())
    records = list(RunFolder(folder).current().values())
    return [_finding(pool, experiment.expand(), records) for pool in POOLS]


def _finding(pool: str, cells: list[Cell], records: list[TrialRecord]) -> Finding:
    null, exact = (_medians_s(cell, records) for cell in cells if cell.pool == pool)
    name = f"p50 of a task of exactly {TASK_S * 1e3:g} ms in {pool}"
    if not null or not exact:
        return Finding(name=name, figure=None, bound="", passed=False, note="a cell has no p50: see the run's records")
    figure, most = statistics.median(exact), TASK_S + statistics.median(null) + SLACK_S
    return Finding(
        name=name,
        figure=figure,
        bound=f"{TASK_S:g} s to {most:.5f} s",
        passed=TASK_S <= figure <= most,
        note=f"{_shown(exact)}; the null control's {_shown(null)} ms, and {SLACK_S * 1e3:g} ms more are allowed",
    )


def _shown(values_s: list[float]) -> str:
    return ", ".join(f"{value * 1e3:.2f}" for value in values_s)


def _medians_s(cell: Cell, records: list[TrialRecord]) -> list[float]:
    """The p50 of each trial of a cell."""
    known = [
        record.certainty.figures.latency_s.get("p50")
        for record in records
        if record.cell_id == cell.id and record.certainty.figures
    ]
    return [value for value in known if value is not None]
