"""What a run prints: a row per trial as it ends, on a terminal the status below; and the last lines of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.status import Status
from rich.text import Text

from harness import display
from harness.display import Layout
from harness.records.record import TrialRecord
from harness.run.plan import NOT_BOUGHT, Planned
from harness.terminal import console


class PrintingScreen:
    """Rows as trials end; on a terminal, a status line below with what runs now and the time left."""

    def __init__(self, *, wide: bool = False) -> None:
        self.wide = wide
        self._status: Status | None = None
        self._layout = Layout()

    def say(self, text: str) -> None:
        console.print(Text(display.lines_within(text, display.width_of(console))), soft_wrap=True)

    def heads(self, todo: Sequence[Planned]) -> None:
        self._layout = display.of_console(console, [item.cell.id for item in todo], wide=self.wide)
        if todo:
            console.print(display.header(self._layout), soft_wrap=True)

    def begins(self, item: Planned, index: int, total: int, left_s: float | None) -> None:
        if item.skip:
            return
        if not console.is_terminal:
            return
        left = "" if left_s is None else f", about {display.duration(left_s)} left"
        spinner = 2  # signs in front of the line, which is to be one
        text = display.shortened(f"{index + 1} of {total}{left}: {item.cell.id}", console.width - spinner)
        if self._status is None:
            self._status = console.status(text)
            self._status.start()
        self._status.update(text)

    def ended(self, record: TrialRecord, row: dict[str, Any]) -> None:
        console.print(display.line(row, self._layout), soft_wrap=True)

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()


def sum_up(table: pd.DataFrame, folder: Path, *, wide: bool = False) -> None:
    """The last lines of a run: what its titles mean, what to doubt, how cells ended, where everything is."""
    display.legend(console, table, display.of_console(console, table["cell"], wide=wide))
    display.of_tasks(console, table)
    display.hang_rates(console, table)
    display.doubted(console, table)
    console.print(f"\n{len(table)} cells: {display.outcomes(table)}", soft_wrap=True)
    if lacking := [str(row["cell"]) for row in table.to_dict("records") if str(row["reason"]).startswith(NOT_BOUGHT)]:
        console.print(f"{NOT_BOUGHT}: {', '.join(lacking)}", soft_wrap=True)
    console.print(f"records: {folder}/trials.jsonl  table: {folder}/cells.csv  evidence: {folder}/evidence", soft_wrap=True)
