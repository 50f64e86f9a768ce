"""Claims and incidents in the terminal, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.display import shortened
from harness.studies.claims.cases import RulingWord, outcome_counts
from harness.studies.claims.claims import Judgement
from harness.studies.claims.incidents_page import Seen, by_incident, counted

WORD_STYLES = {
    RulingWord.HOLDS: "green", RulingWord.REFUTED: "red", RulingWord.ONLY_IF: "yellow", RulingWord.CANNOT_SAY: "magenta",
    RulingWord.SKIPPED: "dim", RulingWord.IN_PART: "yellow",
}  # fmt: skip


def claims(console: Console, found: Sequence[Judgement]) -> None:
    """A line a claim: the verdict, the condition, the trials that it rests on."""
    table = Table("claim", "verdict", "condition", "trials", box=None, pad_edge=False, header_style="bold")
    for one in found:
        scope = [case for case in one.cases if case.backend in one.claim.scope]
        trials = ", ".join(f"{outcome} {count}" for outcome, count in outcome_counts(scope).most_common())
        word = Text(one.overall.word.value, style=WORD_STYLES.get(one.overall.word, ""))
        table.add_row(one.claim.id, word, shortened(one.overall.condition, 150), trials)
    console.print(table)


def incidents(console: Console, found: Sequence[Seen]) -> None:
    """A line an incident: what was reported, and how many of its checks came out so."""
    table = Table("incident", "reported", "seen here", box=None, pad_edge=False, header_style="bold")
    for incident, mine in by_incident(found):
        table.add_row(incident.source, shortened(incident.symptom, 60), counted(mine))
    console.print(table)
