"""`harness tune`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.applications import copied
from harness.applications.copied import LIMIT_MIB, needs_app
from harness.applications.options import (
    App,
    Args,
    Check,
    Copy,
    CopyLimit,
    Cwd,
    EnvFile,
    MixFile,
    Python,
    Queue,
    Task,
    Worker,
)
from harness.applications.probe import command as probed
from harness.applications.probe import worker_line
from harness.applications.probe.budget import Budget
from harness.applications.probe.command import Limit, MeasureS, Pools, Tolerance, Traffic
from harness.applications.probe.differences import RTOL
from harness.applications.probe.order import ProbeOrder
from harness.applications.tune import grid as grids
from harness.applications.tune.application import OfApplication
from harness.decide.advise.command import told
from harness.decide.options import Cores, Latency, MaxHangRate, Memory, MinThroughput
from harness.decide.tune import screen, search
from harness.decide.tune.tune import TRIALS, OfExperiment, TuneOrder, finals_of, grid_of, trials_of
from harness.errors import BadInput
from harness.experiment import matrix
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.machine import cores as machine_cores
from harness.records.store import RunFolder
from harness.run import bundles, options, plan
from harness.run.options import Fresh, Model, NoiseLimit, Rows, Select
from harness.run.screen import PrintingScreen
from harness.run.workflow import Screen
from harness.terminal import console

Concurrency = Annotated[
    str, typer.Option(help="Numbers of executors to try: 1,2,4. Default: as many as cores, and twice as many.")
]
Prefetch = Annotated[str, typer.Option(help="Prefetch multipliers to try: 1,4. Default: the application's own.")]
USUAL_LIMIT_S, USUAL_REQUESTS = Settings().limit_s, 30
MaxTasks = Annotated[
    str, typer.Option(help="After how many tasks a child is replaced, to try: 0,100. 0: as the application has it.")
]
Vary = Annotated[
    list[str] | None, typer.Option(help="A variable and values to try: OMP_NUM_THREADS=1,2. Can be given several times.")
]


def tune(
    name: Annotated[str, typer.Argument(help="An experiment whose cells are the grid, or a .toml file.")] = "grid",
    app_: App = "",
    worker: Worker = "",
    task: Task = "",
    args: Args = None,
    mix: MixFile = None,
    python: Python = "python",
    env_file: EnvFile = None,
    cwd: Cwd = Path(),
    copy: Copy = False,
    copy_limit_mib: CopyLimit = LIMIT_MIB,
    pools: Pools = "",
    concurrency: Concurrency = "",
    prefetch: Prefetch = "",
    max_tasks: MaxTasks = "",
    vary: Vary = None,
    queue: Queue = "",
    check: Check = "",
    tolerance: Tolerance = RTOL,
    traffic: Traffic = "",
    requests: Annotated[
        int | None,
        typer.Option(min=1, help="Number of requests per configuration, at least. Default: 30; fewer if a call takes seconds."),
    ] = None,
    measure_s: MeasureS = 3.0,
    limit_s: Limit = None,
    repeat: Annotated[int, typer.Option(min=1, help="Trials of each finalist, with fresh workers.")] = TRIALS,
    noise_limit: NoiseLimit = None,
    latency: Latency = None,
    memory: Memory = "",
    cores: Cores = None,
    min_throughput: MinThroughput = None,
    max_hang_rate: MaxHangRate = "",
    select: Select = None,
    budget: Annotated[str, typer.Option(help="Maximum time of the search, such as 10m.")] = "",
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Maximum share of the grid to measure, but 12 cells in any case; 1: all.")
    ] = search.SHARE,
    replay: Annotated[
        Path | None, typer.Option(help="Run nothing: search the records of a run that has the whole grid.")
    ] = None,
    model: Model = None,
    rows: Rows = None,
    out: Annotated[Path | None, typer.Option(help="The search's folder; results/tune-EXPERIMENT if not given.")] = None,
    fresh: Fresh = False,
) -> None:
    """Search a grid for the best configuration that keeps your limits, and measure only a few of its cells.

    The grid is an experiment's, or of your own application: --app, with what its worker may have.
    """
    from harness.decide.advise import constraints, ranking
    from harness.decide.tune import replay as replays
    from harness.decide.tune import tune as tuner

    bounds = constraints.parse(
        latency=latency, memory=memory, cores=cores, min_throughput=min_throughput, max_hang_rate=max_hang_rate
    )
    if replay is not None:
        for each in replays.of_run(replay, bounds, share):
            screen.replayed(console, each)
        return
    within = options.seconds("--budget", budget)
    with contextlib.closing(PrintingScreen()) as printing, contextlib.ExitStack() as stack:
        own = bool(app_ or worker)
        folder = out or Path("results") / f"tune-{'app' if own else options.experiment(name, {}).name}"
        if fresh:
            set_aside(folder, printing.say)
        if own:
            settings = probed.settings_of(
                limit_s or USUAL_LIMIT_S, measure_s=measure_s, requests=requests or USUAL_REQUESTS, noise_limit=noise_limit
            )
            asked = probed.read(
                app=app_, worker=worker, task=task, args=args, mix=mix, python=python, env_file=env_file, cwd=cwd, pools=pools,
                concurrency=concurrency or by_cores(worker), queue=queue, check=check, tolerance=tolerance, traffic=traffic,
                settings=settings, out=folder, fresh=False, retry="invalid",
                limit_s=limit_s, requests=requests, searched=grids.searched(prefetch, max_tasks),
            )  # fmt: skip
            for said in asked.pasted:
                printing.say(said)
            asked = replace(asked, budget_s=within)
            asked = stack.enter_context(copied.worked_in(asked, copy=copy, limit_mib=copy_limit_mib, say=printing.say))
            order = of_application(asked, prefetch, max_tasks, vary or [], select or [], printing, stack)
        else:
            needs_app(copy=copy)
            if mix is not None:
                raise BadInput("--mix is of an application", remedy="name it: --app proj.tasks:app")
            order = of_experiment(name, model, rows, select or [], folder)
        order = replace(order, bounds=bounds, share=share, trials=repeat, budget_s=left_s(within))
        if isinstance(order.ask, OfApplication) and (takes := order.ask.said(trials_of(order), len(finals_of(order)))):
            printing.say(takes)
        answer = tuner.live(order, printing)
    if not RunFolder(order.folder).has_trials:
        raise BadInput(
            f"--budget {budget}: the time was used up before anything was measured",
            remedy="give it more: one configuration takes some seconds, and as long as its model takes to load",
        )
    known = tuner.advised(order, answer)
    advice = ranking.advise(known, bounds)
    screen.tuned(console, tuner.as_advised(answer, advice[0], known) if advice else answer)
    told(advice, constraints.most_memory(bounds))


def left_s(budget_s: float | None) -> float | None:
    """What is left of the budget, which counts from the start of this program; None without one."""
    return None if budget_s is None else budget_s - (time.monotonic() - Budget().began_s)


def set_aside(folder: Path, say: Callable[[str], None]) -> None:
    """Move what an earlier search left there to a folder named after now: a search runs its orders in one folder, so none of
    them may begin anew. Raises BadInput."""
    with RunFolder(folder).opened(fresh=True) as held:
        if held.moved_to:
            say(f"the earlier search was moved to {held.moved_to}")


def of_experiment(name: str, model: Path | None, rows: Path | None, select: Sequence[str], folder: Path) -> TuneOrder:
    """A search in the cells of an experiment. Raises BadInput."""
    spec = options.experiment(name, {})
    known = grid_of(spec, plan.why_skipped, bundles.USER_WORKLOAD if model else "")
    return TuneOrder(
        grid=chosen(known, select), settings=spec.settings, ask=OfExperiment(experiment=spec, model=model, rows=rows),
        folder=folder,
    )  # fmt: skip


def of_application(
    asked: ProbeOrder, prefetch: str, max_tasks: str, vary: Sequence[str], select: Sequence[str], screen: Screen,
    search: contextlib.ExitStack | None = None,
) -> TuneOrder:  # fmt: skip
    """A search in what an application's worker may have; it is asked what it is. What is started for it ends with `search`.
    Raises BadInput or HarnessError."""
    taken, kept = grids.numbers("--prefetch", prefetch, 1), grids.numbers("--max-tasks", max_tasks, 0)
    cells = grids.cells(
        asked.workload, asked.traffic, pools=asked.pools, concurrency=asked.concurrency, prefetch=taken, max_tasks=kept,
        variables=grids.variables(vary),
    )  # fmt: skip
    grid = chosen(cells, select)
    varied = tuple(name for name, values in (("prefetch", taken), ("max_tasks", kept)) if values)
    ask = OfApplication(order=replace(asked, varied=varied), search=search)
    return TuneOrder(grid=ask.possible(grid, screen), settings=asked.settings, ask=ask, folder=asked.out)


def chosen(known: Sequence[Cell], select: Sequence[str]) -> list[Cell]:
    """The grid. Raises BadInput."""
    grid = matrix.select(known, select)
    if len({(cell.venv, cell.workload, cell.traffic) for cell in grid}) != 1:
        raise BadInput(
            f"{len(grid)} cells are chosen, and not of one backend, workload and traffic",
            remedy="--select 'tensorflow2-*' chooses among those of the grid",
        )
    return grid


def by_cores(worker: str = "") -> str:
    """As many executors as cores that may be used, twice as many, and as many as a pasted line says. Raises BadInput."""
    count = machine_cores.to_fill()
    said = worker_line.parse(worker).concurrency if worker else None
    return ",".join(str(one) for one in sorted({count, 2 * count, said or count}))
