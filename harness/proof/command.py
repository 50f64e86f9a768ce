"""The verbs `harness selfcost` and `harness doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from harness import extras
from harness.errors import Exit
from harness.live import sight
from harness.live.sight import Finding, Status
from harness.terminal import console


def selfcost(
    only: Annotated[
        list[str] | None, typer.Option(help="Only this cost, such as 'sampler'; can be given several times.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the figures are kept.")] = Path("results/selfcost"),
) -> None:
    """Measure what the instrument itself costs, and how much it can do. Exit code 1: a figure misses its bound."""
    from harness.proof.instrument.command import tested
    from harness.proof.selfcost.costs import COSTS

    tested(COSTS, only, out, 1)


def doctor() -> None:
    """Show what this machine has and lacks, and what each missing thing costs you."""
    findings = examined()
    print_findings(findings)
    if any(finding.status == "missing" for finding in findings):
        raise typer.Exit(Exit.CHECK_FAILED)


def examined() -> list[Finding]:
    """Everything; of an install without the extra, what it can do."""
    try:
        from harness.proof import doctor as examiner
    except ModuleNotFoundError as error:
        if not extras.lacks(error):
            raise
        detail = f"{error.name} is not installed: this install only looks at workers"
        cost = "'why' and 'watch' work; nothing can be measured"
        lack = Finding(name="measuring", status=Status.WARNING, detail=detail, cost=cost, remedy=extras.INSTALL)
        return [*sight.findings(), lack]
    return examiner.examine()


def print_findings(found: Sequence[Finding]) -> None:
    """What the doctor saw: what there is, what is missing, what that costs and what to do about it."""
    for finding in found:
        style = {"ok": "green", "warning": "yellow"}.get(finding.status, "bold red")
        text = Text(f"{finding.status:<8}", style=style)
        text.append(f"{finding.name:<24} {finding.detail}", style="default")
        if finding.status != "ok":
            text.append(f"\n        costs: {finding.cost}\n        remedy: {finding.remedy}", style="dim")
        console.print(text, soft_wrap=True)
