"""`harness probe`: the verb's options, read into an order."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness import places
from harness.applications import copied
from harness.applications.copied import LIMIT_MIB
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
    needed,
)
from harness.applications.probe import before, mix_file, pasted
from harness.applications.probe import order as orders
from harness.applications.probe.differences import RTOL
from harness.applications.probe.order import DEFAULT_REQUESTS
from harness.applications.probe.pace import LEAST_LIMIT_S
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.experiment.pools import POOLS
from harness.run import options, plan
from harness.run.options import Budget, Fresh, NoiseLimit, Repeat, Retry, StableLimit, Wide
from harness.run.screen import PrintingScreen, sum_up
from harness.terminal import console

Pools = Annotated[
    str, typer.Option(help="Pools to try, comma-separated: prefork,threads. Default: all that the application can have.")
]
Concurrency = Annotated[str, typer.Option(help="Number of executors: 2, or several to try, 1,2,4. Default: 2.")]
Tolerance = Annotated[float, typer.Option(min=0, help="How far a number may be from that of the serial calls: 0.001 is 0.1 %.")]
Traffic = Annotated[
    str, typer.Option(help="How requests are sent: closed-4 (four at a time), poisson-20 (20 per second), drain, …")
]
Requests = Annotated[
    int | None, typer.Option(min=1, help="Requests per pool. Default: 50, and fewer if a call takes seconds or minutes.")
]
MeasureS = Annotated[float, typer.Option(min=0.1, help="Measuring time per pool, in seconds.")]
ReadyLimit = Annotated[float, typer.Option(min=1, help="Maximum time until a worker is ready, in seconds.")]
Limit = Annotated[
    float | None,
    typer.Option(
        min=1, help="Maximum time of a trial after the worker is ready, in seconds. Default: by how long a call takes."
    ),
]


def settings_of(limit_s: float, **values: float | None) -> Settings:
    """Of trials of an application, whose warm-up may take half of the limit; there are no controls. Raises BadInput."""
    return options.settings(limit_s=limit_s, warmup_limit_s=limit_s / 2, controls=False, **values)


def read(
    *,
    app: str,
    task: str,
    args: Path | None,
    python: str,
    env_file: Path | None,
    cwd: Path,
    pools: str,
    concurrency: str,
    queue: str,
    check: str,
    tolerance: float,
    traffic: str,
    settings: Settings,
    out: Path,
    fresh: bool,
    retry: str,
    requests: int | None = None,
    limit_s: float | None = None,
    budget_s: float | None = None,
    go_on: bool = False,
    max_calls: int | None = None,
    curve: bool = False,
    worker: str = "",
    mix: Path | None = None,
    searched: Mapping[str, str] | None = None,
    one_pool: bool = False,
) -> orders.ProbeOrder:
    """Read and check all of it; `worker`: a pasted line, which says what the options do not; `searched`: see `pasted.said`;
    `one_pool`: whether the verb runs no other pool beside the line's.
    Raises BadInput."""
    given = pasted.Given(
        app=app, python=python, cwd=cwd, pools=pools, concurrency=concurrency, traffic=traffic, one_pool=one_pool
    )
    line, asked = pasted.read(worker, given)
    asked, task, cwd = asked.whole, needed(task, args, mix), asked.cwd
    of_mix, rows = mix_file.read(mix) if mix else (None, orders.rows(args))
    if not cwd.is_dir():
        raise BadInput(
            f"--cwd {cwd}: there is no such folder", remedy="name the folder from which the application's worker is started"
        )
    interpreter = orders.interpreter(asked.python)
    every = tuple(POOLS) if budget_s is None else orders.MOST_FIRST
    counts = _counts(asked.concurrency)
    every = (line.pool,) if one_pool and line and line.pool else every
    chosen = _chosen(pools) or (pasted.tried(every, line, counts) if line else every)
    if not math.isfinite(tolerance):
        raise BadInput(f"--tolerance {tolerance}: not a share", remedy="such as 0.001")
    if curve and max_calls is not None:
        raise BadInput("--curve adds trials, and --max-calls counts them beforehand", remedy="give one of them")
    places.home().mkdir(parents=True, exist_ok=True)
    own = {**orders.own_variables(env_file), **(line.variables if line else {})}
    return orders.ProbeOrder(
        app=asked.app, task=of_mix.label if of_mix else task, rows=rows, mix=of_mix, python=interpreter, folder=cwd.absolute(),
        variables=orders.variables(own, interpreter), own=own, env_file=env_file, settings=settings, out=out, pools=chosen,
        concurrency=counts, traffic=asked.traffic, queue=queue, check=orders.expression(check) if check else "", fresh=fresh,
        tolerance=tolerance, retry=plan.retry_outcomes(retry), requests=requests, limit_s=limit_s, budget_s=budget_s,
        go_on=go_on, max_calls=max_calls, curve=curve, args=mix or args, line=line,
        unsaid=pasted.unsaid(line, given) if line else frozenset(), one_pool=one_pool,
        pasted=tuple(pasted.said(line, given, asked, searched)) if line else (),
    )  # fmt: skip


def _counts(concurrency: str) -> tuple[int, ...]:
    """Of '1,2,4'. Raises BadInput."""
    try:
        counts = tuple(int(count) for count in concurrency.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise BadInput(f"--concurrency {concurrency!r}: not a number, or several", remedy="such as 2 or 1,2,4")
    return counts


def _chosen(pools: str) -> tuple[str, ...]:
    """Of 'prefork,threads'; () of ''. Raises BadInput."""
    chosen = tuple(filter(None, pools.split(",")))
    for pool in chosen:
        if pool not in POOLS:
            raise BadInput(f"--pools: there is no pool {pool!r}", remedy=f"choose from {', '.join(POOLS)}")
    return chosen


def probe(
    task: Task = "",
    app_: App = "",
    worker: Worker = "",
    args: Args = None,
    mix: MixFile = None,
    python: Python = "python",
    env_file: EnvFile = None,
    cwd: Cwd = Path(),
    copy: Copy = False,
    copy_limit_mib: CopyLimit = LIMIT_MIB,
    pools: Pools = "",
    concurrency: Concurrency = "",
    queue: Queue = "",
    check: Check = "",
    tolerance: Tolerance = RTOL,
    requests: Requests = None,
    measure_s: MeasureS = 3.0,
    ready_limit_s: ReadyLimit = 120.0,
    limit_s: Limit = None,
    budget: Budget = "",
    stable_limit_s: StableLimit = None,
    confirm_s: Annotated[
        float,
        typer.Option(min=0, help="How long a proved hang is watched before it is recorded, in seconds; a stall: four times."),
    ] = 15.0,
    noise_limit: NoiseLimit = None,
    traffic: Traffic = "",
    max_calls: Annotated[
        int | None, typer.Option(min=1, help="How often the task is called at the most, by all trials together.")
    ] = None,
    go_on: Annotated[bool, typer.Option("--go-on", help="Run the pools though every call without Celery raises.")] = False,
    curve: Annotated[
        bool, typer.Option("--curve", help="Then run the fastest pool with 1, 4, 8, … executors, until more bring nothing.")
    ] = False,
    repeat: Repeat = None,
    fresh: Fresh = False,
    retry: Retry = "invalid",
    first_look: Annotated[
        bool, typer.Option("--first-look/--no-first-look", help="First say what 'harness check' says, after one more import.")
    ] = True,
    out: Annotated[Path, typer.Option(help="The probe's folder.")] = Path("results/probe"),
    wide: Wide = False,
) -> None:
    """Run your own Celery application, unchanged, in every pool, and see how each one ends."""
    from harness.applications.check import first
    from harness.applications.probe import probe as prober

    settings = settings_of(
        limit_s or LEAST_LIMIT_S, measure_s=measure_s, requests=requests or DEFAULT_REQUESTS, ready_limit_s=ready_limit_s,
        stable_limit_s=stable_limit_s, noise_limit=noise_limit, confirm_s=confirm_s, repeat=repeat or 1,
    )  # fmt: skip
    order = read(
        app=app_, task=task, args=args, python=python, env_file=env_file, cwd=cwd, pools=pools, concurrency=concurrency,
        queue=queue, check=check, tolerance=tolerance, traffic=traffic, settings=settings, out=out, fresh=fresh, retry=retry,
        worker=worker,
        requests=requests, limit_s=limit_s, budget_s=options.seconds("--budget", budget), go_on=go_on,
        max_calls=max_calls, curve=curve, mix=mix,
    )  # fmt: skip
    with (
        contextlib.closing(PrintingScreen(wide=wide)) as screen,
        copied.worked_in(order, copy=copy, limit_mib=copy_limit_mib, say=screen.say) as order,
    ):
        for each in order.pasted:
            screen.say(each)
        if first_look and (told := first.look(order.app, order.python, order.folder, order.variables)):
            screen.say(f"check: {told['answer']}")
            order = replace(order, first_look=told)
        table = prober.run(order, screen)
    sum_up(table, out, wide=wide)
    for each in before.said(out):
        console.print(each, soft_wrap=True, markup=False, highlight=False)
    console.print(f"'harness recommend {shlex.quote(str(out))}' says which pool to use, and what to change", soft_wrap=True)
