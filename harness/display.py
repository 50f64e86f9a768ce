"""What a person sees in the terminal: one row a trial as it ends, and the table of a whole run. All formatting is here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from harness.doctor import Finding
from harness.outcome import Outcome

STYLES = {
    Outcome.OK: "green", Outcome.SKIPPED: "dim", Outcome.SLOW: "yellow", Outcome.STALLED: "yellow", Outcome.INVALID: "magenta",
}  # fmt: skip
# (title, column of the table, width, how to print it)
FIGURES = (
    ("req/s", "throughput_per_s", 8, "{:.1f}", 1.0),
    ("p50 ms", "latency_p50_s", 8, "{:.1f}", 1e3),
    ("p95 ms", "latency_p95_s", 8, "{:.1f}", 1e3),
    ("CPU %", "cpu_saturation", 6, "{:.0f}", 1e2),
    ("ms CPU/req", "cpu_s_per_request", 10, "{:.1f}", 1e3),
    ("MiB", "peak_pss_bytes", 6, "{:.0f}", 1 / 2**20),
    ("ready s", "ready_s", 7, "{:.1f}", 1.0),
    ("1st s", "first_predict_s", 6, "{:.2f}", 1.0),
)
ID_WIDTH = 50
OUTCOME_WIDTH = 11


def number(value: Any, form: str, factor: float) -> str:
    """A figure, or '-' where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return form.format(float(value) * factor)


def header() -> Text:
    titles = " ".join(f"{title:>{width}}" for title, _, width, _, _ in FIGURES)
    return Text(f"{'cell':<{ID_WIDTH}} {'outcome':<{OUTCOME_WIDTH}}{titles}", style="bold")


def line(row: Mapping[str, Any]) -> Text:
    """One row: the cell, how it ended, its figures; and the reason where it is not simply ok."""
    outcome = Outcome(row["outcome"])
    text = Text(f"{row['cell']:<{ID_WIDTH}} ")
    text.append(f"{outcome.value:<{OUTCOME_WIDTH}}", style=STYLES.get(outcome, "bold red"))
    text.append(" ".join(f"{number(row.get(name), form, by):>{width}}" for _, name, width, form, by in FIGURES))
    if outcome is not Outcome.OK:
        text.append(f"\n    {row['reason']}", style="dim")
        if row.get("evidence"):
            text.append(f"\n    evidence: {row['evidence']}", style="dim")
    return text


def rows(console: Console, table: pd.DataFrame) -> None:
    """A whole run."""
    console.print(header(), soft_wrap=True)
    for row in table.to_dict("records"):
        console.print(line({str(name): value for name, value in row.items()}), soft_wrap=True)


def outcomes(table: pd.DataFrame) -> str:
    """'31 ok, 4 hung, 2 skipped'."""
    counts = table["outcome"].value_counts()
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def findings(console: Console, found: list[Finding]) -> None:
    """What the doctor saw: what there is, what is missing, what that costs and what to do about it."""
    for finding in found:
        style = {"ok": "green", "warning": "yellow"}.get(finding.status, "bold red")
        text = Text(f"{finding.status:<8}", style=style)
        text.append(f"{finding.name:<24} {finding.detail}", style="default")
        if finding.status != "ok":
            text.append(f"\n        costs: {finding.cost}\n        remedy: {finding.remedy}", style="dim")
        console.print(text, soft_wrap=True)


def cells(console: Console, rows: list[tuple[str, str]]) -> None:
    """(cell id, why it cannot run or '') of a plan, a line each."""
    for name, reason in rows:
        console.print(Text.assemble(name, (f"  skipped: {reason}" if reason else "", "dim")), soft_wrap=True)
