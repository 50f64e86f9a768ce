"""`harness bundle`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from harness.applications.options import App, Args, Check, Cwd, EnvFile, Python, Queue, Task, Worker, needed
from harness.applications.probe import command as probed
from harness.applications.probe.command import Concurrency, Limit, Pools
from harness.applications.probe.differences import RTOL
from harness.applications.probe.order import DEFAULT_REQUESTS, ProbeOrder
from harness.applications.probe.pace import LEAST_LIMIT_S
from harness.applications.reproducer import anonymous as nameless
from harness.applications.reproducer import own
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.records import store
from harness.run.options import NoiseLimit, Select
from harness.run.screen import PrintingScreen
from harness.terminal import console

QUICK, PROBE = Path("results/quick"), Path("results/probe")


def bundle(
    what: Annotated[str, typer.Argument(metavar="CELL|FOLDER", help="A cell's id, or the folder of a probe.")] = "",
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="The run that has the cell: results/quick, with --app results/probe.")
    ] = None,
    app_: App = "",
    worker: Worker = "",
    task: Task = "",
    args: Args = None,
    python: Python = "python",
    env_file: EnvFile = None,
    cwd: Cwd = Path(),
    pools: Pools = "",
    concurrency: Concurrency = "",
    queue: Queue = "",
    check: Check = "",
    limit_s: Limit = None,
    noise_limit: NoiseLimit = None,
    select: Select = None,
    with_source: Annotated[
        bool, typer.Option("--with-source", help="Copy your application's own source files, with secrets masked.")
    ] = False,
    anonymous: Annotated[
        bool,
        typer.Option("--anonymous", help="Of a probe: take names, paths, arguments and logs out; nothing of it can be run."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The archive; CELL.tar.gz in the run's folder if not given.")] = None,
) -> None:
    """Pack a cell into an archive that needs no harness: a script that reproduces its outcome, and the evidence.

    The cell is one of ours, or the pool in which your own application failed: name its probe's folder, or --app to probe it.
    """
    check_options(what=what, app=app_ or worker, with_source=with_source, anonymous=anonymous)
    if app_ or worker:
        folder = run_folder or PROBE
        _probe(
            probed.read(
                app=app_, worker=worker, task=needed(task), args=args, python=python, env_file=env_file, cwd=cwd, pools=pools,
                concurrency=concurrency, queue=queue, check=check, tolerance=RTOL, traffic="", out=folder, fresh=False,
                retry="invalid", limit_s=limit_s, settings=as_probed(limit_s or LEAST_LIMIT_S, noise_limit),
            )
        )  # fmt: skip
        cell = own.chosen(folder, select or [])
    elif own.is_probe(Path(what)):
        folder = Path(what)
        cell = own.chosen(folder, select or [])
    else:
        folder, cell, is_folder = run_folder or QUICK, what, Path(what).is_dir()
        if is_folder and not store.RunFolder(Path(what)).has_trials:
            raise BadInput(f"there are no records in {what}", remedy="'harness probe' writes them: name the folder of a probe")
        if not folder.is_dir() or (not is_folder and "/" in what):  # no cell has a slash
            missing = what if "/" in what and not is_folder else folder
            raise BadInput(f"there is no folder {missing}", remedy="name a probe's folder, or a cell's run with --run")
        if is_folder:
            raise BadInput(f"{what} is no probe of an application", remedy=f"name a cell: harness bundle CELL --run {what}")
    console.print(str(_packed(folder, cell, args, out, with_source=with_source, anonymous=anonymous)), soft_wrap=True)


def _packed(folder: Path, cell: str, args: Path | None, out: Path | None, *, with_source: bool, anonymous: bool) -> Path:
    from harness.applications.reproducer import archive

    if not own.is_probe(folder):
        if anonymous or with_source:
            raise BadInput(
                f"--with-source and --anonymous are for a probe of your own application, and {folder} is none",
                remedy="leave the option out: an archive of our cells has nothing of yours in it",
            )
        path = out or folder / f"{cell}.tar.gz"
        with store.writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            return archive.make(folder, cell, path)
    case = own.read(folder, cell, args)
    path = out or folder / f"{nameless.name(case.cell) if anonymous else cell}.tar.gz"
    with store.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        return own.make(case, path, source=with_source, without_names=anonymous)


def as_probed(limit_s: float, noise_limit: float | None) -> Settings:
    """Those of a probe without further options: what it has on record is not run again."""
    return probed.settings_of(
        limit_s, measure_s=3.0, requests=DEFAULT_REQUESTS, ready_limit_s=120.0, noise_limit=noise_limit, confirm_s=15.0,
        repeat=1,
    )  # fmt: skip


def check_options(*, what: str, app: str, with_source: bool, anonymous: bool) -> None:
    """Raises BadInput if they do not go together."""
    if bool(what) == bool(app):
        raise BadInput(
            "name a cell, a probe's folder, or your own application with --app, and only one of them",
            remedy="such as 'harness bundle results/probe'",
        )
    if with_source and anonymous:
        raise BadInput(
            "--with-source and --anonymous do not go together: a source is all names", remedy="leave one of them out"
        )


def _probe(order: ProbeOrder) -> None:
    """What is on record of the same plan is not run again."""
    from harness.applications.probe import probe as prober

    with contextlib.closing(PrintingScreen()) as screen:
        for each in order.pasted:
            screen.say(each)
        prober.run(order, screen)
