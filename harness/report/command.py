"""The verbs that show a run to people: its page, its other forms, and where a request's time went."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.errors import BadInput
from harness.records import store
from harness.report import waterfall_view
from harness.terminal import console


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")] = Path("results/quick"),
    out: Annotated[Path | None, typer.Option(help="The page; RUN/report.html if not given. Other forms lie beside it.")] = None,
    form: Annotated[
        list[str] | None, typer.Option(help="html, markdown, csv, parquet, latex, svg or png; can be given several times.")
    ] = None,
) -> None:
    """Write a run as a page that needs no network, or as Markdown, CSV, Parquet, LaTeX, or its charts as SVG and PNG."""
    from harness.report import content, exports

    for name in form or []:
        if name not in exports.FORMS:
            raise BadInput(f"--form {name}: no such form", remedy=f"choose from {', '.join(exports.FORMS)}")
    path = out or run_folder / "report.html"
    found = content.read(run_folder)
    with store.writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        for name in form or ["html"]:
            for written in exports.write(found, name, path):
                console.print(str(written), soft_wrap=True)


def open_(path: Annotated[Path, typer.Argument(help="A run's folder, or a page.")] = Path("results/quick")) -> None:
    """Open a run's page in the browser. It is a file: no server is started."""
    page = path / "report.html" if path.is_dir() else path
    if not page.is_file():
        raise BadInput(f"there is no page {page}", remedy=f"'harness report {path}' writes it")
    typer.launch(page.resolve().as_uri())


def waterfall_(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")] = Path("results/quick"),
    patterns: Annotated[list[str] | None, typer.Argument(help="Only cells whose id matches, such as 'theano-*'.")] = None,
) -> None:
    """Show where the time of a request goes, per cell: publishing, broker, worker, predict, answer."""
    records = store.RunFolder(folder).trials()
    for view in waterfall_view.views(records, folder, patterns or []):
        console.print(waterfall_view.shown(view), soft_wrap=True)
