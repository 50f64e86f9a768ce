"""Tests of the instrument, run from the command line: each finding as it is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from harness.errors import Exit
from harness.proof.instrument.screen import finding_line
from harness.proof.instrument.suite import Found, InstrumentCheck
from harness.run.screen import PrintingScreen
from harness.terminal import console


def tested(tests: Sequence[InstrumentCheck], names: list[str] | None, out: Path, times: int) -> None:
    """Run tests of the instrument and print each finding; exit 1 if any did not pass."""
    from harness.proof.instrument import suite

    found = list[Found]()
    with console.status("measuring; nothing else should run meanwhile"):
        for one in suite.run(suite.chosen(tests, names or []), out, times, PrintingScreen().say):
            console.print(finding_line(one), soft_wrap=True)
            found.append(one)
    failed = sum(not one.finding.passed for one in found)
    console.print(f"{len(found) - failed} of {len(found)} figures keep their bounds: {out}/findings.md, .csv", soft_wrap=True)
    if failed:
        raise typer.Exit(Exit.CHECK_FAILED)
