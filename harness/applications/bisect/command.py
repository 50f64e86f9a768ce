"""`harness bisect`."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from harness import environments
from harness.applications import revisions
from harness.applications.bisect import asked, commits, releases
from harness.applications.bisect.candidate import measured
from harness.applications.options import App, Args, Check, Cwd, EnvFile, Link, MixFile, Python, Queue, Task, Worker, needed
from harness.applications.probe import command as probed
from harness.applications.probe import pasted
from harness.applications.probe.command import Limit, MeasureS, Requests
from harness.applications.probe.differences import RTOL
from harness.applications.probe.order import DEFAULT_REQUESTS, ProbeOrder
from harness.applications.probe.pace import LEAST_LIMIT_S
from harness.applications.tune import grid
from harness.decide.bisect import page, screen, search
from harness.decide.bisect import releases as cells
from harness.decide.bisect.measured import Measured
from harness.decide.bisect.page import Subject
from harness.environments.variants import PACKAGE_NAME
from harness.errors import BadInput
from harness.experiment import matrix
from harness.experiment.experiment import Experiment
from harness.records.store import RunFolder
from harness.run import options
from harness.run.options import Fresh, NoiseLimit, StableLimit
from harness.run.screen import PrintingScreen
from harness.run.workflow import Screen
from harness.terminal import console


@dataclass(frozen=True, kw_only=True)
class Search:
    """`candidates`: in order, from good to bad; `measure` runs one of them."""

    subject: Subject
    candidates: Sequence[str]
    measure: Callable[[str], Measured]


def bisect(
    cell: Annotated[str, typer.Argument(help="A cell's id, or a pattern that selects one cell; or give --app.")] = "",
    package: Annotated[str, typer.Option(help="The dependency whose releases are tried, such as celery.")] = "",
    repo: Annotated[
        Path | None, typer.Option(help="With --app: try commits of this git repository instead; it is only read.")
    ] = None,
    link: Link = None,
    good: Annotated[str, typer.Option(help="A release, or a commit, before the change.")] = "",
    bad: Annotated[str, typer.Option(help="A release, or a commit, after it; it may be the older one.")] = "",
    name: Annotated[str, typer.Option("--experiment", help="The experiment that has the cell.")] = "quick",
    repeat: Annotated[int, typer.Option(min=3, help="Trials per release or commit; fewer than 3 tell nothing.")] = 5,
    versions: Annotated[str, typer.Option(help="Releases to try, comma-separated, instead of asking the index.")] = "",
    app_: App = "",
    worker: Worker = "",
    task: Task = "",
    args: Args = None,
    mix: MixFile = None,
    python: Python = "python",
    env_file: EnvFile = None,
    cwd: Cwd = Path(),
    pool: Annotated[str, typer.Option(help="With --app: the pool to run it in. Default: that of --worker, or prefork.")] = "",
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="With --app: the number of executors. Default: that of --worker, or 2.")
    ] = None,
    queue: Queue = "",
    check: Check = "",
    requests: Requests = None,
    measure_s: MeasureS = 3.0,
    stable_limit_s: StableLimit = None,
    limit_s: Limit = None,
    noise_limit: NoiseLimit = None,
    fresh: Fresh = False,
    out: Annotated[
        Path | None, typer.Option(help="Where the runs go; results/bisect-PACKAGE, or results/bisect-app-NAME with --app.")
    ] = None,
) -> None:
    """Find the release of a dependency at which a cell's outcome or pace changed, with evidence for both sides.

    With --app, the cell is your own task, or a mix of several, in one pool; with --repo, commits of your repository are
    tried instead of releases.
    """
    check_options(cell=cell, package=package, repo=repo, good=good, bad=bad, app=app_ or worker, mix=mix, link=link or ())
    if own := bool(app_ or worker):
        settings = probed.settings_of(
            limit_s or LEAST_LIMIT_S, measure_s=measure_s, requests=requests or DEFAULT_REQUESTS,
            stable_limit_s=stable_limit_s, noise_limit=noise_limit, repeat=repeat,
        )  # fmt: skip
        order = probed.read(
            app=app_, worker=worker, task=needed(task, args, mix), args=args, mix=mix, python=python, env_file=env_file,
            cwd=cwd, pools=pool or (pasted.pool(worker) if worker else "prefork"), one_pool=True,
            concurrency=str(concurrency or ""), queue=queue,
            check=check, tolerance=RTOL, traffic="",
            settings=settings, fresh=fresh, retry="", requests=requests, limit_s=limit_s,
            out=out or Path("results") / f"bisect-app-{package or (repo or Path()).resolve().name}",
        )  # fmt: skip
    with contextlib.closing(PrintingScreen()) as printing, held(order.out if own else None):
        for each in order.pasted if own else ():
            printing.say(each)
        if not own:
            spec = options.experiment(name, {"repeat": repeat})
            found = of_cell(cell, spec, package, (good, bad, versions), out, fresh, printing)
        elif repo is not None:
            own_order = in_cell(asked.by_its_settings(order, printing))
            found = of_commits(own_order, repo, (good, bad), cwd, link or (), printing)
        else:
            found = of_releases(in_cell(asked.by_its_settings(order, printing)), package, (good, bad, versions), printing)
        subject = found.subject
        console.print(
            f"{len(found.candidates)} {subject.many} from {found.candidates[0]} to {found.candidates[-1]}", soft_wrap=True
        )
        answer = search.search(found.candidates, found.measure)
    also = page.also_changed(subject, answer)
    (subject.folder / page.NAME).write_text(page.page(subject, answer, also))
    screen.bisection(console, subject, answer, also)
    console.print(f"page: {subject.folder}/{page.NAME}", soft_wrap=True)
    if repo is not None:
        shown = shlex.join(["git", "-C", str(repo), "diff", answer.last_good.version, answer.first_bad.version])
        console.print(f"to see what was changed: {shown}", soft_wrap=True, markup=False)


def held(folder: Path | None) -> contextlib.AbstractContextManager[object]:
    """Hold the folder of a search in an application: two must not use one checkout."""
    return RunFolder(folder).opened() if folder else contextlib.nullcontext()


def check_options(
    *,
    cell: str,
    package: str,
    repo: Path | None,
    good: str,
    bad: str,
    app: str,
    mix: Path | None = None,
    link: Sequence[Path] = (),
) -> None:
    """Raises BadInput if they do not go together."""
    if bool(cell) == bool(app):
        raise BadInput("name a cell, or your own application with --app, and not both", remedy="'harness list' prints cells")
    if mix is not None and not app:
        raise BadInput("--mix goes with --app", remedy="name the application, or leave --mix out")
    if repo is not None and not app:
        raise BadInput("--repo goes with --app", remedy="releases of a dependency are tried for a cell: --package")
    if link and repo is None:
        raise BadInput("--link goes with --repo", remedy="it gives each commit what git does not have")
    if bool(package) == (repo is not None):
        raise BadInput("what is tried is one of --package and --repo", remedy="such as --package celery, or --repo .")
    if package and not PACKAGE_NAME.fullmatch(package):
        raise BadInput(f"--package {package!r} is no package's name", remedy="such as celery, without a version or an extra")
    if not good or not bad:
        raise BadInput("--good and --bad are both needed", remedy="the one before the change, and the one after it")


def of_cell(
    cell: str, spec: Experiment, package: str, ends: tuple[str, str, str], out: Path | None, fresh: bool, printing: Screen
) -> Search:
    """A cell of an experiment on releases of a package. `ends`: good, bad, and all versions or ''. Raises BadInput."""
    chosen = matrix.select(spec.expand(), [cell])
    if len(chosen) != 1:
        raise BadInput(
            f"{cell!r} selects {len(chosen)} cells of {spec.name!r}, not one", remedy="'harness list EXPERIMENT' prints them"
        )
    tried = candidates(package, environments.described(chosen[0].venv).python[0], ends)
    order = cells.BisectOrder(
        experiment=spec, cell=chosen[0], package=package, folder=out or Path("results") / f"bisect-{package}", fresh=fresh
    )
    return Search(subject=order.subject, candidates=tried, measure=lambda version: cells.measured(order, version, printing))


def candidates(package: str, python: str, ends: tuple[str, str, str]) -> list[str]:
    """The releases to try. Raises BadInput."""
    from harness.environments import releases as known

    good, bad, versions = ends
    return known.between(known.named(versions.split(",")) if versions else known.releases(package, python), good, bad)


def in_cell(order: ProbeOrder) -> ProbeOrder:
    """Of one cell, that of the pool. Raises BadInput."""
    found = grid.cells(order.workload, order.traffic, pools=order.pools, concurrency=order.concurrency)
    if len(found) != 1:
        raise BadInput(
            f"--pool {','.join(order.pools)}: {len(found)} pools, not one", remedy="name the one in which it changed"
        )
    return replace(order, grid=found)


def of_releases(order: ProbeOrder, package: str, ends: tuple[str, str, str], printing: Screen) -> Search:
    """The application on releases of what its interpreter has. Raises BadInput."""
    known = releases.theirs(order)
    if environments.normal(package) not in known.pins:
        raise BadInput(
            f"the environment of {order.python} has no {package} that comes from an index",
            remedy="'pip freeze' there prints what it has; --python names another interpreter",
        )
    subject = Subject(cell=order.grid[0].id, name=package, one="release", many="releases", folder=order.out)
    prepare = partial(releases.prepare, order, known, package, order.out, printing)
    return Search(
        subject=subject, candidates=candidates(package, known.python, ends),
        measure=lambda version: measured(subject, version, prepare, printing),
    )  # fmt: skip


def of_commits(
    order: ProbeOrder, repo: Path, ends: tuple[str, str], cwd: Path, names: Sequence[Path], printing: Screen
) -> Search:
    """The application as commits of its repository have it, each with links to `names`. Raises BadInput."""
    repository = commits.read(repo, *ends)
    below, place = commits.inside(order, cwd, repository), order.out / "checkout"
    subject = Subject(cell=order.grid[0].id, name=repository.top.name, one="commit", many="commits", folder=order.out)
    links = revisions.linked(repository.top, below, names)
    commits.copy(repository, place)
    prepare = partial(commits.prepare, order, repository, below, place, links)
    return Search(
        subject=subject, candidates=list(repository.commits),
        measure=lambda version: measured(subject, version, prepare, printing),
    )  # fmt: skip
