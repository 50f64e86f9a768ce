"""Truth test (a): a real Celery worker whose task takes exactly 20 ms is measured as 20 ms, plus what the null control takes.

Two cells of one run, by the way that every run goes: a task that sleeps for 20 ms, and the null control of the same pool, which
shows what broker, pool and client add. The median of the first lies within 0.5 ms plus the null's own median above 20 ms.
The null control gets its requests at the pace of the other one, so that its processes, too, have slept before each: woken
every 20 ms, the same hand-overs take up to twice as long as in a row.
"""

from __future__ import annotations

from pathlib import Path

from harness import plan, workflow
from harness.experiment import Block, Experiment, Settings
from harness.instrument.finding import Finding
from harness.matrix import Cell
from harness.record import TrialRecord
from harness.store import RunFolder
from harness.workflow import Order, Silent

TASK_S = 0.020
SLACK_S = 0.0005
POOLS = ("solo", "prefork", "threads")
PACE = "constant-45"  # requests per second: about as many as the other cell answers


def exact_task(folder: Path, *, environment: str = "celery", seconds: float = 3.0) -> list[Finding]:
    """One finding a pool; the run is kept in `folder`."""
    settings = Settings(measure_s=seconds, requests=100, limit_s=60.0, noise_limit=100.0, controls=False)
    common = {"environment": [environment], "pool": list(POOLS)}
    experiment = Experiment(
        name="exact-task",
        summary="a task of exactly 20 ms beside the null control",
        settings=settings,
        cells=[
            Block.model_validate({"backend": ["null"], "traffic": [PACE], **common}),
            Block.model_validate({"backend": ["faulty"], "fault": [f"sleep:{TASK_S:g}@0"], "traffic": ["single"], **common}),
        ],
    )
    workflow.run(Order(experiment=experiment, cells=plan.chosen_cells(experiment, []), folder=folder, fresh=True), Silent())
    records = {cell: record for (cell, _), record in RunFolder(folder).latest().items()}
    return [_finding(pool, experiment.expand(), records) for pool in POOLS]


def _finding(pool: str, cells: list[Cell], records: dict[str, TrialRecord]) -> Finding:
    null, exact = (_median_s(records[cell.id]) for cell in cells if cell.pool == pool)
    name = f"p50 of a task of exactly {TASK_S * 1e3:g} ms in {pool}"
    if null is None or exact is None:
        return Finding(name=name, figure=None, bound="", passed=False, note="a cell has no p50: see the run's records")
    return Finding(
        name=name,
        figure=exact,
        bound=f"{TASK_S:g} s to {TASK_S + null + SLACK_S:.5f} s",
        passed=TASK_S <= exact <= TASK_S + null + SLACK_S,
        note=f"the null control's p50 is {null * 1e3:.2f} ms, and {SLACK_S * 1e3:g} ms more are allowed",
    )


def _median_s(record: TrialRecord) -> float | None:
    return record.figures.latency_s.get("p50") if record.figures else None
