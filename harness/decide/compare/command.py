"""`harness compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.decide.compare import changes, gate, pages, screen, sides
from harness.errors import Exit
from harness.records import store
from harness.terminal import console


def compare(
    first: Annotated[Path, typer.Argument(help="The run to compare with: the folder of the baseline.")],
    second: Annotated[Path, typer.Argument(help="The run that may have changed.")],
    fail_on: Annotated[
        str, typer.Option(help="Exit with 1 if one of these got worse: outcome, throughput:5%, p50, p95, cpu, memory.")
    ] = "",
    json_: Annotated[Path | None, typer.Option("--json", help="Write everything to this file as JSON.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the comparison to this file as Markdown, for a pull request.")
    ] = None,
) -> None:
    """Compare two runs: changed outcomes, real differences, ties, and what cannot be said."""
    limits = gate.parse(fail_on)
    here, there = sides.read(first), sides.read(second)
    sides.same_probe(here, there)
    found = changes.compare(here, there, factors=limits.factors)
    judgement = gate.judge(limits, found)
    compared = pages.Compared(first=here, second=there, changes=found, judgement=judgement)
    for path, text in ((json_, pages.as_json), (markdown, pages.markdown)):
        if path:
            with store.writing(path):
                path.write_text(text(compared))
    screen.compared(console, compared)
    if judgement.failures:
        raise typer.Exit(Exit.CHECK_FAILED)
