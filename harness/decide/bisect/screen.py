"""A search in the terminal: a line per candidate, and between which two the change came."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.decide.bisect.page import Subject
from harness.decide.bisect.search import BisectAnswer
from harness.display import STYLES, number, shortened


def bisection(console: Console, subject: Subject, answer: BisectAnswer, also: Sequence[str]) -> None:
    """A line a candidate that was measured, then between which two the change came, and what `also` changed there."""
    table = Table(subject.one, "outcome", "req/s", "reason", box=None, pad_edge=False, header_style="bold")
    for one in answer.measured:
        word = Text(str(one.outcome or "not measured"), style=STYLES.get(one.outcome, "red") if one.outcome else "dim")
        table.add_row(
            Text(shortened(one.shown, 50)), word, number(one.pace_per_s, "{:.1f}", 1.0), Text(shortened(one.reason, 90))
        )
    console.print(table)
    for line in also:
        console.print(Text(f"also changed between them, and perhaps to blame: {line}"), soft_wrap=True)
    gap = f"; could not be told: {', '.join(answer.between)}" if answer.between else ""
    console.print(
        f"\n{subject.name} {answer.last_good.version} -> {answer.first_bad.version}: {answer.what}{gap}",
        soft_wrap=True,
        markup=False,
    )
