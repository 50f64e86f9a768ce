"""The table in the terminal: it fits, and every id is told from every other."""

from __future__ import annotations

from functools import cache
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from harness import display
from harness.records.store import RunFolder
from harness.summary import summary

RESULTS = Path(__file__).parent.parent / "results"
RUNS = ("bisect-keras/keras-2.2.4", "claims", "full", "grid", "incidents", "reference-quick")
WIDTHS = (40, 80, 100, 120, 160)


@cache
def table(run: str) -> pd.DataFrame:
    return summary.table(RunFolder(RESULTS / run).trials(), RESULTS / run)


def printed(run: str, width: int, *, terminal: bool = True, wide: bool = False) -> list[str]:
    console = Console(file=StringIO(), width=width, force_terminal=terminal, color_system=None)
    display.rows(console, table(run), wide=wide)
    display.doubted(console, table(run))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS[1:])
@pytest.mark.parametrize("run", RUNS)
def test_no_line_is_longer_than_the_terminal(run: str, width: int) -> None:
    assert [line for line in printed(run, width) if len(line) > width] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("run", RUNS)
def test_every_id_is_whole(run: str, width: int) -> None:
    lines = printed(run, width)
    begun = {line.split(" ")[0] for line in lines if not line.startswith(" ")}
    assert set(table(run)["cell"]) <= begun


@pytest.mark.parametrize("width", WIDTHS)
def test_the_figures_that_matter_most_are_always_there(width: int) -> None:
    titles = next(line for line in printed("reference-quick", width) if "outcome" in line)
    assert all(title in titles for title in ("req/s", "p95 ms", "MiB"))


def test_more_columns_come_with_more_room() -> None:
    layouts = [display.layout(table("full")["cell"], width) for width in range(40, 200)]
    for apart in (True, False):
        shown = [len(one.figures) for one in layouts if one.apart is apart]
        assert len(set(shown)) > 1
        assert shown == sorted(shown)
    assert [one.apart for one in layouts] == sorted([one.apart for one in layouts], reverse=True)
    assert display.layout(["a"], 200).limited
    assert display.layout(["a"], 200).figures == display.FIGURES


def test_what_is_no_terminal_gets_every_column_and_so_does_wide() -> None:
    for lines in (printed("reference-quick", 80, terminal=False), printed("reference-quick", 80, wide=True)):
        assert all(figure.title in lines[0] for figure in display.FIGURES)
        assert lines[0].endswith("limited by")


def test_a_long_reason_goes_on_below_itself() -> None:
    said = display.wrapped("a reason of many words " * 10, 40)
    assert all(line.startswith(display.INDENT) and len(line) <= 40 for line in said.splitlines())
    assert " ".join(said.split()) == ("a reason of many words " * 10).strip()


def test_the_legend_tells_what_stands_in_the_table_and_no_more() -> None:
    lines = printed("reference-quick", 120)
    assert any(line.startswith("eff %  ") for line in lines)
    assert any(line.startswith("?  a doubt") for line in lines)
    narrow = printed("reference-quick", 80)
    told = {title for title in display.LEGEND for line in narrow if line.startswith(f"{title}  ")}
    shown = {figure.title for figure in display.layout(table("reference-quick")["cell"], 80).figures}
    assert told <= shown | {"?"}
