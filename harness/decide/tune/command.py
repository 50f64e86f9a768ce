"""`harness tune`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from harness.decide.advise.command import told
from harness.decide.options import Cores, Latency, MaxHangRate, Memory, MinThroughput
from harness.decide.tune import screen
from harness.errors import BadInput
from harness.experiment import matrix
from harness.run import bundles, options, plan
from harness.run.options import Model, Rows, Select
from harness.run.screen import PrintingScreen
from harness.terminal import console


def tune(
    name: Annotated[str, typer.Argument(help="An experiment whose cells are the grid, or a .toml file.")] = "grid",
    latency: Latency = None,
    memory: Memory = "",
    cores: Cores = None,
    min_throughput: MinThroughput = None,
    max_hang_rate: MaxHangRate = "",
    select: Select = None,
    budget: Annotated[str, typer.Option(help="Maximum time of the search, such as 10m.")] = "",
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Maximum share that is measured of a grid of more than 16 cells.")
    ] = 0.15,
    replay: Annotated[
        Path | None, typer.Option(help="Run nothing: search the records of a run that has the whole grid.")
    ] = None,
    model: Model = None,
    rows: Rows = None,
    out: Annotated[Path | None, typer.Option(help="The search's folder; results/tune-EXPERIMENT if not given.")] = None,
) -> None:
    """Search a grid for the best configuration that keeps your limits, and measure only a few of its cells."""
    from harness.decide.advise import constraints, ranking
    from harness.decide.tune import tune as tuner

    bounds = constraints.parse(
        latency=latency, memory=memory, cores=cores, min_throughput=min_throughput, max_hang_rate=max_hang_rate
    )
    if replay is not None:
        for each in tuner.replay(replay, bounds, share):
            screen.replayed(console, each)
        return
    spec = options.experiment(name, {})
    known = tuner.grid_of(spec, plan.why_skipped, bundles.USER_WORKLOAD if model else "")
    grid = matrix.select(known, select or [])
    if len({(cell.venv, cell.workload, cell.traffic) for cell in grid}) != 1:
        raise BadInput(
            f"{len(grid)} cells are chosen, and not of one backend, workload and traffic",
            remedy="--select 'tensorflow2-*' chooses among those of the grid",
        )
    folder = out or Path("results") / f"tune-{spec.name}"
    order = tuner.TuneOrder(
        experiment=spec, grid=grid, bounds=bounds, folder=folder, share=share, model=model, rows=rows,
        budget_s=constraints.seconds("--budget", budget) if budget else None,
    )  # fmt: skip
    with contextlib.closing(PrintingScreen()) as printing:
        answer = tuner.live(order, printing)
    screen.tuned(console, answer)
    most = constraints.most_memory(bounds)
    advice = ranking.advise(tuner.advised(order, answer), bounds)
    told(advice, most)
