"""`harness combine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness.certainty.comparison import ComparisonWord
from harness.decide.combine import combined
from harness.decide.combine.combined import Beside
from harness.terminal import console
from harness.texts import visible

STYLES = {ComparisonWord.DIFFER: "bold", ComparisonWord.TIE: "default", ComparisonWord.CANNOT_SAY: "magenta"}


def combine(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="A run on hosts, or one run per host.")],
    to: Annotated[str, typer.Option(help="The cell that others are compared to; the first of each work if not given.")] = "",
) -> None:
    """Compare cells within each host, and over hosts: ratios of throughput, and how much hosts disagree."""
    found = combined.beside(combined.measured(combined.parts(runs)), to)
    last = None
    for one in found:
        if one.to != last:
            console.print(f"\nthroughput over that of {visible(one.to.id)}", soft_wrap=True, markup=False)
            last = one.to
        text = Text(f"{one.over.found.word:<11}", style=STYLES[one.over.found.word])
        text.append(f"{visible(one.cell.cell.id)}: {one.over.found.reason}", style="default")
        for line in lines(one):
            text.append(f"\n           {line}", style="dim")
        console.print(text, soft_wrap=True)
    if not found:
        console.print("no two cells do the same work: nothing to compare")


def lines(one: Beside) -> list[str]:
    """The ratio on each host, and how trials ended if that is not the same everywhere."""
    ratios = ", ".join(f"{visible(host)} {ratio:.3f}" for host, ratio in one.over.ratios.items())
    spread = f"; the largest is {one.over.spread:.2f} times the smallest" if len(one.over.ratios) > 1 else ""
    told = [f"{ratios}{spread}"] if ratios else []
    ends = {host: ", ".join(dict.fromkeys(words)) for host, words in one.cell.outcomes.items()}
    if set(ends.values()) != {"ok"}:
        told.append("; ".join(f"{words} on {visible(host)}" for host, words in ends.items()))
    return told
