"""`harness contracts`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness.experiment.pools import POOLS
from harness.run.screen import PrintingScreen
from harness.studies.contracts.rows import Row
from harness.terminal import console


def contracts(
    select: Annotated[list[str] | None, typer.Option("--select", "-s", help="Only these, such as 'revoke-*'.")] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Only in this backend's environment; can be given several times.")
    ] = None,
    pool: Annotated[list[str] | None, typer.Option(help="Only cells of this pool; can be given several times.")] = None,
    out: Annotated[Path, typer.Option(help="The survey's folder.")] = Path("results/contracts"),
    jobs: Annotated[
        int, typer.Option(min=1, max=8, help="Number of measurements side by side; they share nothing but the cores.")
    ] = 4,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over: keep an earlier survey aside, and complete nothing of it.")
    ] = False,
) -> None:
    """Measure what each pool does with time limits, revokes, shutdowns, pings and killed processes while it is busy.

    Also what it does when its broker goes away and comes back.
    """
    from harness.studies.contracts import survey

    order = survey.SurveyOrder(
        folder=out, backends=backend or survey.BACKENDS, pools=pool or list(POOLS), select=select or [], jobs=jobs, fresh=fresh,
    )  # fmt: skip
    known = survey.survey(order, PrintingScreen().say, lambda row: console.print(contract_line(row), soft_wrap=True))
    console.print(f"{len(known)} answers: {out}/contracts.md, {out}/contracts.csv", soft_wrap=True)


def contract_line(row: Row) -> Text:
    """A line a contract: the pool, what was measured, the verdict, its seconds, and what was seen."""
    text = Text(f"{row.backend:<14} {row.pool:<13} {row.contract:<20} ")
    text.append(row.verdict, style={"n/a": "dim", "cannot say": "magenta"}.get(row.verdict, "bold"))
    text.append(f" ({row.seconds} s)" if row.seconds else "")
    return text.append(f"  {row.detail}", style="dim")
