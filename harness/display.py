"""Rows and figures as text: one row per trial as it ends, and the table of a whole run. Verbs bring what only they print."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from harness.measure import doubts
from harness.records.outcomes import Outcome
from harness.summary.hang_rate import HangRate, clean_trials_for

console = Console(highlight=False)
complaints = Console(stderr=True, highlight=False)

STYLES = {
    Outcome.OK: "green", Outcome.SKIPPED: "dim", Outcome.SLOW: "yellow", Outcome.STALLED: "yellow", Outcome.INVALID: "magenta",
}  # fmt: skip
# (title, column of the table, width, how to print it)
FIGURES = (
    ("req/s", "throughput_per_s", 8, "{:.1f}", 1.0),
    ("±%", "throughput_within", 4, "{:.0f}", 1e2),
    ("eff %", "efficiency", 5, "{:.0f}", 1e2),
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
BOUNDS = (0.05, 0.01)  # hang rates that are worth more workers


def number(value: Any, form: str, factor: float) -> str:
    """A figure, or '-' where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return form.format(float(value) * factor)


def within(row: Mapping[str, Any]) -> float | None:
    """Half the throughput's 95 % interval, as a share of the figure: the one that, with its inverse, spans it."""
    low, high = row.get("throughput_low_per_s"), row.get("throughput_high_per_s")
    return math.sqrt(high / low) - 1 if low and high else None


def header() -> Text:
    titles = " ".join(f"{title:>{width}}" for title, _, width, _, _ in FIGURES)
    return Text(f"{'cell':<{ID_WIDTH}} {'outcome':<{OUTCOME_WIDTH}}{titles}  limited by", style="bold")


def line(row: Mapping[str, Any]) -> Text:
    """One row: the cell, how it ended, its figures; and the reason where it is not simply ok, or says the peak."""
    outcome = Outcome(row["outcome"])
    row = {**row, "throughput_within": within(row)}
    text = Text(f"{row['cell']:<{ID_WIDTH}} ")
    text.append(f"{outcome.value:<{OUTCOME_WIDTH}}", style=STYLES.get(outcome, "bold red"))
    text.append(" ".join(f"{number(row.get(name), form, by):>{width}}" for _, name, width, form, by in FIGURES))
    verdict = row.get("cpu_verdict")
    text.append(f"  {verdict if verdict and isinstance(verdict, str) else '-'}")
    if names := [name for name, _ in doubts.parts(str(row.get("doubts") or ""))]:
        text.append(f"  ? {', '.join(names)}", style="yellow")
    if outcome is not Outcome.OK or str(row.get("traffic", "")).startswith("peak"):
        text.append(f"\n    {row['reason']}", style="dim")
        if row.get("evidence"):
            text.append(f"\n    evidence: {row['evidence']}", style="dim")
    if words := _hangs_of(row):
        text.append(f"\n    {words}", style="dim")
    return text


def hangs(rate: HangRate) -> str:
    """How often fresh workers hung, and what that says of the rate.

    >>> hangs(HangRate(hung=3, judged=30))
    '3 of 30 hung (2.1 % - 26.5 % at 95 %)'
    >>> hangs(HangRate(hung=0, judged=20))
    '0 of 20 hung: the rate is below 13.9 % at 95 %; 59 clean workers would bound it below 5 %'
    """
    counts = f"{rate.hung} of {rate.judged} hung"
    if rate.hung:
        low, high = rate.interval
        return f"{counts} ({low * 100:.1f} % - {high * 100:.1f} % at 95 %)"
    needed = [(clean_trials_for(bound), bound) for bound in BOUNDS if clean_trials_for(bound) > rate.judged]
    more = f"; {needed[0][0]} clean workers would bound it below {needed[0][1] * 100:g} %" if needed else ""
    return f"{counts}: the rate is below {rate.below * 100:.1f} % at 95 %{more}"


def _hangs_of(row: Mapping[str, Any]) -> str:
    """The hang rate of a table's row that stands for several trials; '' for a single one."""
    judged = int(row.get("judged_trials") or 0)
    return hangs(HangRate(hung=int(row["hung_trials"]), judged=judged)) if judged > 1 else ""


def rows(console: Console, table: pd.DataFrame) -> None:
    """A whole run."""
    console.print(header(), soft_wrap=True)
    for row in table.to_dict("records"):
        console.print(line({str(name): value for name, value in row.items()}), soft_wrap=True)


def doubted(console: Console, table: pd.DataFrame) -> None:
    """What the doubts behind the rows mean: each name once, with the first row's words, the number of rows, the next step."""
    found: dict[str, tuple[str, int]] = {}
    for column in table["doubts"].dropna():
        for name, words in doubts.parts(column):
            found[name] = (found.get(name, (words, 0))[0], found.get(name, ("", 0))[1] + 1)
    for name, (words, count) in sorted(found.items(), key=lambda item: -item[1][1]):
        where = f"{count} of {len(table)} rows, such as" if count > 1 else "1 row"
        console.print(f"? {name} ({where}): {words}", style="yellow", soft_wrap=True, markup=False)


def hang_rates(console: Console, table: pd.DataFrame) -> None:
    """A line for each cell that was repeated."""
    for row in table.to_dict("records"):
        if words := _hangs_of({str(name): value for name, value in row.items()}):
            console.print(f"{row['cell']}: {words}", soft_wrap=True)


def outcomes(table: pd.DataFrame) -> str:
    """'31 ok, 4 hung, 2 skipped'."""
    counts = table["outcome"].value_counts()
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def cells(console: Console, rows: list[tuple[str, str]]) -> None:
    """(cell id, why it cannot run or '') of a plan, a line each; printed at once, as each print costs most of a millisecond."""
    lines = [Text.assemble(name, (f"  skipped: {reason}", "dim")) if reason else Text(name) for name, reason in rows]
    console.print(Text("\n").join(lines), soft_wrap=True)
