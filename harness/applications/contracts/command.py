"""`harness contracts`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

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
    needed,
    one_task,
)
from harness.applications.probe import command as probed
from harness.applications.probe.differences import RTOL
from harness.applications.tune import grid
from harness.experiment.pools import POOLS
from harness.run import options
from harness.run.screen import PrintingScreen
from harness.studies.contracts.rows import Row
from harness.terminal import console


def contracts(
    select: Annotated[list[str] | None, typer.Option("--select", "-s", help="Only these, such as 'revoke*'.")] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Only in this backend's environment; can be given several times.")
    ] = None,
    broker: Annotated[
        list[str] | None, typer.Option(help="The contracts of 'valkey' (if none is named) or 'rabbitmq'; can be given twice.")
    ] = None,
    pool: Annotated[list[str] | None, typer.Option(help="Only cells of this pool; can be given several times.")] = None,
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
    queue: Queue = "",
    check: Check = "",
    out: Annotated[
        Path | None, typer.Option(help="The survey's folder; results/contracts, or results/contracts-app with --app.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=8, help="Number of measurements side by side; they share nothing but the cores.")
    ] = 4,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over: keep an earlier survey aside, and complete nothing of it.")
    ] = False,
) -> None:
    """Measure what each pool does with time limits, revokes, shutdowns, pings and killed processes while it is busy.

    Also what it does when its broker goes away and comes back. With --app: what becomes of your own task's requests.
    """
    from harness.applications.contracts import survey as owns
    from harness.studies.contracts import survey

    one_task(
        mix, "a contract is about what becomes of the requests of one task: of a mix, nobody could say which task obeys it"
    )
    folder = out or Path("results/contracts-app" if app_ or worker else "results/contracts")
    with contextlib.closing(PrintingScreen()) as screen:
        if app_ or worker:
            asked = probed.read(
                app=app_, worker=worker, task=needed(task), args=args, python=python, env_file=env_file, cwd=cwd,
                pools=",".join(pool or POOLS), concurrency="1", queue=queue, check=check, tolerance=RTOL, traffic="closed-4",
                out=folder, fresh=fresh, retry="",
                settings=options.settings(measure_s=1.0, requests=3, controls=False),
            )  # fmt: skip
            for each in asked.pasted:
                screen.say(each)
            cells = grid.cells(asked.workload, asked.traffic, pools=asked.pools, concurrency=(1,))
            with copied.worked_in(asked, copy=copy, limit_mib=copy_limit_mib, say=screen.say) as asked:
                known = owns.survey(asked, cells, select or [], screen, shown)
        else:
            needs_app(copy=copy)
            order = survey.SurveyOrder(
                folder=folder, backends=backend or survey.backends(), pools=pool or list(POOLS), select=select or [], jobs=jobs,
                brokers=broker or ["valkey"], fresh=fresh,
            )  # fmt: skip
            known = survey.survey(order, screen.say, shown)
    console.print(
        f"{len(known)} answer{'s' * (len(known) != 1)}: {folder}/contracts.md, {folder}/contracts.csv", soft_wrap=True
    )


def shown(row: Row) -> None:
    console.print(contract_line(row), soft_wrap=True)


def contract_line(row: Row) -> Text:
    """A line a contract: the pool, what was measured, the verdict, its seconds, and what was seen."""
    text = Text(f"{row.backend:<14} {row.pool:<13} {row.contract:<20} ")
    text.append(row.verdict, style={"n/a": "dim", "cannot say": "magenta"}.get(row.verdict, "bold"))
    text.append(f" ({row.seconds} s)" if row.seconds else "")
    return text.append(f"  {row.detail}", style="dim")
