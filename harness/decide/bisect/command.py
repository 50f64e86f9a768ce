"""`harness bisect`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from harness import environments
from harness.decide.bisect import screen, search
from harness.errors import BadInput
from harness.experiment import matrix
from harness.run import options
from harness.run.screen import PrintingScreen
from harness.terminal import console


def bisect(
    cell: Annotated[str, typer.Argument(help="A cell's id, or a pattern that selects one cell.")],
    package: Annotated[str, typer.Option(help="The dependency whose releases are tried, such as celery.")],
    good: Annotated[str, typer.Option(help="A release before the change.")],
    bad: Annotated[str, typer.Option(help="A release after it; it may be the older one.")],
    name: Annotated[str, typer.Option("--experiment", help="The experiment that has the cell.")] = "quick",
    repeat: Annotated[int, typer.Option(min=3, help="Trials per release; fewer than 3 tell nothing.")] = 5,
    versions: Annotated[str, typer.Option(help="Releases to try, comma-separated, instead of asking the index.")] = "",
    out: Annotated[Path | None, typer.Option(help="Where the runs go; results/bisect-PACKAGE if not given.")] = None,
) -> None:
    """Find the release of a dependency at which a cell's outcome or pace changed, with evidence for both sides."""
    from harness.environments import releases

    spec = options.experiment(name, {"repeat": repeat})
    chosen = matrix.select(spec.expand(), [cell])
    if len(chosen) != 1:
        raise BadInput(
            f"{cell!r} selects {len(chosen)} cells of {name!r}, not one", remedy=f"'harness list {name}' prints them"
        )
    python = environments.described(chosen[0].venv).python[0]
    known = releases.named(versions.split(",")) if versions else releases.releases(package, python)
    tried = releases.between(known, good, bad)
    order = search.BisectOrder(
        experiment=spec, cell=chosen[0], package=package, folder=out or Path("results") / f"bisect-{package}"
    )
    console.print(f"{len(tried)} releases from {tried[0]} to {tried[-1]}", soft_wrap=True)
    with contextlib.closing(PrintingScreen()) as printing:
        answer = search.search(tried, lambda version: search.measured(order, version, printing))
    also = search.also_changed(order, answer)
    (order.folder / "bisect.md").write_text(search.page(order, answer, also))
    screen.bisection(console, package, answer, also)
    console.print(f"page: {order.folder}/bisect.md", soft_wrap=True)
