"""Two runs in the terminal: changed outcomes first and loudest, real differences, what cannot be said."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.text import Text

from harness.certainty.comparison import ComparisonWord
from harness.decide.compare import gate, pages, sides
from harness.decide.compare.pages import Compared
from harness.display import shortened


def compared(console: Console, found: Compared) -> None:
    """Two runs: changed outcomes first and loudest, real differences, what cannot be said, and what fails the check."""
    changes = found.changes
    for change in changes.outcomes:
        style = {True: "bold white on red", False: "green", None: "magenta"}[change.worse]
        unsaid = "cannot say: " if change.worse is None and change.basis else ""
        text = Text(f" {unsaid}{change.before} -> {change.after} ", style=style)
        text.append(f"  {change.cell}", style="bold" if change.worse else "default")
        text.append(f"\n    {change.counts}; {shortened(change.reason, 150)}", style="dim")
        if change.basis:
            text.append(f"\n    {change.basis}", style="dim")
        if change.evidence:
            text.append(f"\n    evidence: {found.second.name}/{change.evidence}", style="dim")
        console.print(text, soft_wrap=True)
    for change in changes.unshown:
        console.print(Text(f"{change.cell}: {change.basis}", style="dim"), soft_wrap=True)
    for one in changes.words(ComparisonWord.DIFFER):
        text = Text("worse   " if one.worse else "better  ", style="bold red" if one.worse else "green")
        text.append(
            f"{one.cell}: {one.metric.title} {pages.shown(one.before, one)} -> {pages.shown(one.after, one)}", "default"
        )
        text.append(f"\n        {one.found.reason}", style="dim")
        console.print(text, soft_wrap=True)
    reasons = Counter(pages.reason(one) for one in changes.words(ComparisonWord.CANNOT_SAY))
    for why, count in reasons.most_common():
        console.print(Text(f"cannot say: {count} figures, {why}", style="magenta"), soft_wrap=True)
    for title, lines in (
        ("asked for otherwise", sides.plans_differ(found.first, found.second)),
        ("versions", sides.versions_differ(found.first, found.second)),
        ("only in the first run", changes.gone),
        ("only in the second run", changes.new),
    ):
        for line in gate.lines(lines, 10):
            console.print(Text(f"{title}: {line}"), soft_wrap=True)
    for run, note in sides.noted(found.first, found.second):
        console.print(Text(f"note on {run}: {note}"), soft_wrap=True)
    console.print(Text(f"{found.summary}"), soft_wrap=True)
    for line in found.judgement.warnings:
        console.print(Text(f"warning: {line}", style="yellow"), soft_wrap=True)
    for line in found.judgement.failures:
        console.print(Text(f"FAILS: {line}", style="bold red"), soft_wrap=True)
