"""Rows and figures as text: one row per trial as it ends, and the table of a whole run. Verbs bring what only they print."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from harness.experiment.matrix import ONE_THREAD, OWN_APP
from harness.measure import doubts
from harness.records.outcomes import Outcome
from harness.summary import notes
from harness.summary.hang_rate import HangRate, clean_trials_for

STYLES = {
    Outcome.OK: "green", Outcome.UNCHECKED: "yellow",
    Outcome.SKIPPED: "dim", Outcome.SLOW: "yellow", Outcome.STALLED: "yellow", Outcome.INVALID: "magenta",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A column of the table: `form` prints the value times `factor`. `rank`: the lower, the longer it stays in a narrow one."""

    title: str
    column: str
    width: int
    form: str
    factor: float = 1.0
    rank: int = 0


TENTHS = "{:.1f}"
FIGURES = (
    Figure(title="req/s", column="throughput_per_s", width=8, form="{:.1f}", rank=1),
    Figure(title="±%", column="throughput_within", width=4, form="{:.0f}", factor=1e2, rank=7),
    Figure(title="eff %", column="efficiency", width=5, form="{:.0f}", factor=1e2, rank=5),
    Figure(title="p50 ms", column="latency_p50_s", width=8, form="{:.1f}", factor=1e3, rank=6),
    Figure(title="p95 ms", column="latency_p95_s", width=8, form="{:.1f}", factor=1e3, rank=2),
    Figure(title="CPU %", column="cpu_saturation", width=6, form="{:.0f}", factor=1e2, rank=4),
    Figure(title="ms CPU/req", column="cpu_s_per_request", width=10, form="{:.1f}", factor=1e3, rank=9),
    Figure(title="MiB", column="peak_pss_bytes", width=6, form="{:.0f}", factor=1 / 2**20, rank=3),
    Figure(title="ready s", column="ready_s", width=7, form="{:.1f}", rank=8),
    Figure(title="1st s", column="first_predict_s", width=6, form="{:.2f}", rank=10),
)
LEGEND = {
    "eff %": "the throughput, as a share of what the same model and call reach on this machine without Celery",
    "±%": "half the throughput's 95 % interval, as a share of it",
    "?": "a doubt about the row's figures; its name stands beside it, and what it means below the table",
}
OUTCOME_WIDTH = 11
LIMITED_WIDTH = 24  # of the column 'limited by'
LEAST_FIGURES = 5  # that stand beside an id; else they get a line of their own
INDENT = "    "
BOUNDS = (0.05, 0.01)  # hang rates that are worth more workers


def number(value: Any, form: str, factor: float) -> str:
    """A figure, or '-' where there is none; of one below 0.95 that is printed in tenths, two digits.

    >>> number(0.08, "{:.1f}", 1.0), number(531.24, "{:.1f}", 1.0), number(0.96, "{:.1f}", 1.0), number(0.4, "{:.0f}", 1.0)
    ('0.08', '531.2', '1.0', '0')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    figure = float(value) * factor
    return f"{figure:.2g}" if form == TENTHS and 0 < figure < 0.95 else form.format(figure)


def within(row: Mapping[str, Any]) -> float | None:
    """Half the throughput's 95 % interval, as a share of the figure: the one that, with its inverse, spans it."""
    low, high = row.get("throughput_low_per_s"), row.get("throughput_high_per_s")
    return math.sqrt(high / low) - 1 if low and high else None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a table is printed. `width`: characters that a row may take, None if as many as it needs. `apart`: each id has a
    line of its own, its figures the next one. `limited`: whether the column 'limited by' is there."""

    width: int | None = None
    id_width: int = 50
    figures: tuple[Figure, ...] = FIGURES
    limited: bool = True
    apart: bool = False

    @property
    def legend(self) -> list[str]:
        return [title for title in LEGEND if title == "?" or title in {figure.title for figure in self.figures}]


def layout(ids: Iterable[str], width: int | None) -> Layout:
    """The columns that matter most, as many as fit; every id whole, so that no two look alike."""
    longest = max(map(len, ids), default=0)
    if width is None:
        return Layout(id_width=max(Layout.id_width, longest))
    least = sum(figure.width + 1 for figure in sorted(FIGURES, key=lambda one: one.rank)[:LEAST_FIGURES])
    apart = longest + 1 + OUTCOME_WIDTH + least > width
    room = width - (len(INDENT) if apart else longest + 1) - OUTCOME_WIDTH
    chosen = _that_fit(room)
    left = room - sum(figure.width + 1 for figure in chosen)
    limited = len(chosen) == len(FIGURES) and left > LIMITED_WIDTH
    return Layout(width=width, id_width=longest, figures=chosen, limited=limited, apart=apart)


def _that_fit(room: int) -> tuple[Figure, ...]:
    """The figures of the lowest ranks that take `room` characters together, in the order of the table."""
    kept = []
    for figure in sorted(FIGURES, key=lambda one: one.rank):
        if (room := room - figure.width - 1) < 0:
            break
        kept.append(figure)
    return tuple(figure for figure in FIGURES if figure in kept)


def of_console(to: Console, ids: Iterable[str], *, wide: bool = False) -> Layout:
    """The layout for a terminal's width; all columns where the output is no terminal, or `wide` is asked for."""
    return layout(ids, None if wide else width_of(to))


def width_of(to: Console) -> int | None:
    """Columns that lines have to keep; None if the output is no terminal: who reads it there wants whole lines."""
    return to.width if to.is_terminal else None


def header(form: Layout) -> Text:
    titles = " ".join(f"{figure.title:>{figure.width}}" for figure in form.figures)
    first = INDENT if form.apart else f"{'cell':<{form.id_width}} "
    return Text(f"{first}{'outcome':<{OUTCOME_WIDTH}}{titles}{'  limited by' if form.limited else ''}", style="bold")


def line(row: Mapping[str, Any], form: Layout) -> Text:
    """One row: the cell, how it ended, its figures; and the reason where it is not simply ok, or says the peak."""
    outcome = Outcome(row["outcome"])
    row = {**row, "throughput_within": within(row)}
    names = ", ".join(name for name, _ in doubts.parts(str(row.get("doubts") or "")))
    text = Text(f"{row['cell']:<{form.id_width}} ")
    if form.apart:
        text, names = _told(Text(str(row["cell"])), names, form)
        text.append(f"\n{INDENT}")
    text.append(f"{outcome.value:<{OUTCOME_WIDTH}}", style=STYLES.get(outcome, "bold red"))
    text.append(" ".join(f"{number(row.get(one.column), one.form, one.factor):>{one.width}}" for one in form.figures))
    verdict = row.get("cpu_verdict")
    text.append(f"  {verdict if verdict and isinstance(verdict, str) else '-'}" if form.limited else "")
    if not form.apart:
        text, names = _told(text, names, form)
    if names:
        text.append(f"\n{wrapped(f'? {names}', form.width)}", style="yellow")
    for below in _below(row, outcome):
        text.append(f"\n{wrapped(below, form.width)}", style="dim")
    return text


def _told(text: Text, names: str, form: Layout) -> tuple[Text, str]:
    """The line with the names of the row's doubts, and none left; or as it is, if there is no room for them."""
    beside = f"  ? {names}" if names else ""
    if form.width is not None and len(text) + len(beside) > form.width:
        return text, names
    return text.append(beside, style="yellow"), ""


def _below(row: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    """What is told below a row."""
    sibling = row.get("backend") == OWN_APP and row.get("engine_threads") == ONE_THREAD
    if outcome is not Outcome.OK or sibling or str(row.get("traffic", "")).startswith("peak"):
        yield str(row["reason"])
        if row.get("evidence"):
            yield f"evidence: {row['evidence']}"
    if words := _hangs_of(row):
        yield words


def wrapped(said: str, width: int | None, indent: str = INDENT) -> str:
    """In lines that keep the width, indented, the first one by `indent`; a word too long for a line is broken."""
    if width is None:
        return indent + said
    return textwrap.fill(
        said, max(width, 2 * len(indent)), initial_indent=indent, subsequent_indent=INDENT, break_on_hyphens=False
    )


def lines_within(said: str, width: int | None) -> str:
    """The same lines, but for those that are too long for the width: these go on indented in the next one.

    >>> lines_within("one\\ntwo three four", 10)
    'one\\ntwo three\\n    four'
    """
    return "\n".join(wrapped(line, width, "") if width and len(line) > width else line for line in said.split("\n"))


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


def rows(console: Console, table: pd.DataFrame, *, wide: bool = False) -> None:
    """A whole run, and what its titles mean."""
    form = of_console(console, table["cell"], wide=wide)
    console.print(header(form), soft_wrap=True)
    for row in table.to_dict("records"):
        console.print(line({str(name): value for name, value in row.items()}, form), soft_wrap=True)
    console.print()
    legend(console, table, form)


def legend(console: Console, table: pd.DataFrame, form: Layout) -> None:
    """What the titles mean that stand in this table."""
    doubted = table["doubts"].fillna("").astype(bool).any()
    for title in form.legend:
        figure = next((one for one in FIGURES if one.title == title), None)
        column = "throughput_low_per_s" if title == "±%" else figure.column if figure else ""
        if table[column].notna().any() if column else doubted:
            console.print(Text(wrapped(f"{title}  {LEGEND[title]}", form.width, ""), style="dim"), soft_wrap=True)


def doubted(console: Console, table: pd.DataFrame) -> None:
    """What the doubts behind the rows mean: each name once, with the first row's words, the number of rows, the next step."""
    found: dict[str, tuple[str, int]] = {}
    for column in table["doubts"].dropna():
        for name, words in doubts.parts(column):
            found[name] = (found.get(name, (words, 0))[0], found.get(name, ("", 0))[1] + 1)
    width = console.width if console.is_terminal else None
    for name, (words, count) in sorted(found.items(), key=lambda item: -item[1][1]):
        where = f"{count} of {len(table)} rows; for example" if count > 1 else "1 row"
        console.print(Text(wrapped(f"? {name} ({where}): {words}", width, ""), style="yellow"), soft_wrap=True)


def noted(console: Console, table: pd.DataFrame) -> None:
    """What else a reader has to know of the rows, each note once."""
    width = console.width if console.is_terminal else None
    for line in notes.counted([notes.parts(str(column)) for column in table["notes"].fillna("")]):
        console.print(Text(wrapped(f"note: {line}", width, ""), style="dim"), soft_wrap=True)


def of_tasks(console: Console, table: pd.DataFrame) -> None:
    """What became of each task of a mix, cell by cell."""
    width = width_of(console)
    for row in table.to_dict("records"):
        if lines := notes.parts(str(row["tasks"] or "")):
            console.print(Text(f"{row['cell']}:"), soft_wrap=True)
            for line in lines:
                console.print(Text(wrapped(line, width, INDENT)), soft_wrap=True)


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
