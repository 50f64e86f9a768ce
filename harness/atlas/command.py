"""`harness atlas`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.atlas import against, engines, pages, stored
from harness.atlas.entries import Entry
from harness.atlas.stored import Atlas
from harness.errors import BadInput, NothingMatches
from harness.experiment.matrix import Cell
from harness.terminal import console

MEASURE = "'harness run engines' measures what this machine can have of it; 'harness atlas' prints what there is"


def atlas(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENGINE|POOL|RUN]...",
            help="An engine (torch, tensorflow2), a pool, or both; or folders of runs, to look at instead of what came with "
            "the package.",
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="Only this backend.")] = "",
    pool: Annotated[str, typer.Option(help="Only this pool.")] = "",
    placement: Annotated[str, typer.Option(help="Only this placement.")] = "",
    call: Annotated[str, typer.Option(help="Only this call.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only combinations that failed at least once.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    build: Annotated[bool, typer.Option("--build", help="Write the atlas of these runs to the file.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file that --build writes; the package's own if not given.")] = None,
) -> None:
    """Say what was measured before of an engine and a pool: how often trials of each kind failed, and how.

    What came with the package was measured on other machines: outcomes are those of the versions, paces are not yours.
    """
    runs, asked = _runs(words or [])
    if build and not runs:
        raise BadInput("--build needs the runs to build from", remedy="name their folders: harness atlas --build results/full")
    known = _of_runs(runs) if runs else stored.shipped()
    if build:
        return _built(known, runs, out or stored.SHIPPED)
    backends, pools = engines.named([*asked, *filter(None, (backend, pool))], known.entries)
    exact = {"placement": placement, "call": call, "backend": backend, "pool": pool}
    wanted = {name: value for name, value in exact.items() if value}
    of_engine = [one for one in known.entries if not backends or one.cell.backend in backends]
    asked_for = [one for one in of_engine if (not pools or one.cell.pool in pools) and _fits(one.cell, wanted)]
    found = [one for one in asked_for if not failed or against.of_entry(one)]
    said = pages.sentences(backends, known, pools)
    if not found and not (asked_for and failed) and of_engine:
        raise NothingMatches("the atlas has no such combination", remedy="'harness atlas' prints what it has")
    if json_:
        sys.stdout.write(json.dumps(pages.as_json(known, found, said), indent=1) + "\n")
        return None
    _print(known, found, said, len(asked_for), whole=not (pools or failed or placement or call))
    return None


def _print(known: Atlas, found: Sequence[Entry], said: Sequence[str], asked_for: int, *, whole: bool) -> None:
    """`whole`: no more than an engine was asked for, and its table is short: by pool, placement and call."""
    if not found and asked_for:
        console.print("\n".join([*said, f"none of {asked_for} such combinations failed"]), soft_wrap=True, highlight=False)
        return
    if not found:  # an engine that we serve
        console.print("\n".join([*map(pages.wrapped, said), "", pages.wrapped(MEASURE)]), markup=False, highlight=False)
        return
    lines = pages.details(found) if not whole else pages.by_place(found) if said else pages.overview(found)
    console.print("\n".join([*said, pages.headline(known, found), *lines]), soft_wrap=True, markup=False, highlight=False)


def _built(known: Atlas, runs: Sequence[Path], path: Path) -> None:
    from harness.records import store

    if not known.entries:
        raise BadInput(
            f"no trial of {', '.join(map(str, runs))} belongs into the atlas",
            remedy="controls, baselines, probes and trials that were not judged are left out; name other runs",
        )
    with store.writing(path):
        path.write_text(stored.text(known))
    console.print(f"{path}: {pages.headline(known)}", soft_wrap=True, markup=False)


def _of_runs(runs: Iterable[Path]) -> Atlas:
    from harness.atlas import making  # reads records, which needs the extra `bench`

    return making.of_runs(runs)


def _runs(words: Iterable[str]) -> tuple[list[Path], list[str]]:
    """(folders, other words): an engine's or a pool's name is one, whatever folders there are; ./torch is a folder."""
    folders, others = list[Path](), list[str]()
    for word in words:
        try:
            engines.named([word], ())
        except NothingMatches:
            if Path(word).is_dir():
                folders.append(Path(word))
                continue
        others.append(word)
    return folders, others


def _fits(cell: Cell, wanted: dict[str, str]) -> bool:
    return all(getattr(cell, name) == value for name, value in wanted.items())
