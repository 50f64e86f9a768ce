"""`harness bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.records import store
from harness.terminal import console


def bundle(
    cell: Annotated[str, typer.Argument(help="A cell's id.")],
    run_folder: Annotated[Path, typer.Option("--run", help="The run that has it.")] = Path("results/quick"),
    out: Annotated[Path | None, typer.Option(help="The archive; CELL.tar.gz in the run's folder if not given.")] = None,
) -> None:
    """Pack a cell into an archive that needs no harness: a script that reproduces its outcome, and the evidence."""
    from harness.applications.reproducer import archive

    path = out or run_folder / f"{cell}.tar.gz"
    with store.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        console.print(str(archive.make(run_folder, cell, path)), soft_wrap=True)
