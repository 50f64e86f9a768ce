"""`harness atlas`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.atlas import against, pages, stored
from harness.errors import BadInput, NothingMatches
from harness.experiment.matrix import Cell
from harness.records import store
from harness.terminal import console


def atlas(
    runs: Annotated[list[Path] | None, typer.Argument(help="Runs to look at instead of what came with the package.")] = None,
    backend: Annotated[str, typer.Option(help="Only this backend.")] = "",
    pool: Annotated[str, typer.Option(help="Only this pool.")] = "",
    placement: Annotated[str, typer.Option(help="Only this placement.")] = "",
    call: Annotated[str, typer.Option(help="Only this call.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only combinations that failed at least once.")] = False,
    build: Annotated[bool, typer.Option("--build", help="Write the atlas of these runs to the file.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file that --build writes; the package's own if not given.")] = None,
) -> None:
    """Print what was measured before: how often trials of each kind failed, and how. The options choose the kinds."""
    if build and not runs:
        raise BadInput("--build needs the runs to build from", remedy="name their folders: harness atlas --build results/full")
    known = stored.of_runs(runs) if runs else stored.shipped()
    if build and not known.entries:
        raise BadInput(
            f"no trial of {', '.join(map(str, runs or ()))} belongs into the atlas",
            remedy="controls, baselines, probes and trials that were not judged are left out; name other runs",
        )
    if build:
        path = out or stored.SHIPPED
        with store.writing(path):
            path.write_text(stored.text(known))
        console.print(f"{path}: {pages.headline(known)}", soft_wrap=True, markup=False)
        return
    asked = {"backend": backend, "pool": pool, "placement": placement, "call": call}
    wanted = {name: value for name, value in asked.items() if value}
    asked_for = [one for one in known.entries if _fits(one.cell, wanted)]
    found = [one for one in asked_for if not failed or against.of_entry(one)]
    if asked_for and not found:
        console.print(f"none of {len(asked_for)} such combinations failed")
        return
    if not found:
        raise NothingMatches("the atlas has no such combination", remedy="'harness atlas' prints what it has")
    lines = pages.details(found) if wanted or failed else pages.overview(found)
    console.print("\n".join([pages.headline(known, found), *lines]), soft_wrap=True, markup=False)


def _fits(cell: Cell, wanted: dict[str, str]) -> bool:
    return all(getattr(cell, name) == value for name, value in wanted.items())
