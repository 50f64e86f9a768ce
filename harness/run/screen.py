"""What a run prints: a row per trial as it ends, on a terminal the status below; and the last lines of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.status import Status

from harness import display
from harness.display import console
from harness.records.record import TrialRecord
from harness.run.plan import Planned


class PrintingScreen:
    """Rows as trials end; on a terminal, a status line below with what runs now and the time left."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._headed = False

    def say(self, text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    def begins(self, item: Planned, index: int, total: int, left_s: float) -> None:
        if not self._headed:
            console.print(display.header(), soft_wrap=True)
            self._headed = True
        if item.skip:
            return
        text = f"{index + 1} of {total}: {item.cell.id}  (about {display.duration(left_s)} left)"
        if not console.is_terminal:
            return
        if self._status is None:
            self._status = console.status(text)
            self._status.start()
        self._status.update(text)

    def ended(self, record: TrialRecord, row: dict[str, Any]) -> None:
        console.print(display.line(row), soft_wrap=True)

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()


def sum_up(table: pd.DataFrame, folder: Path) -> None:
    """The last lines of a run: what to doubt, how cells ended, where everything is."""
    display.hang_rates(console, table)
    display.doubted(console, table)
    console.print(f"\n{len(table)} cells: {display.outcomes(table)}", soft_wrap=True)
    console.print(f"records: {folder}/trials.jsonl  table: {folder}/cells.csv  evidence: {folder}/evidence", soft_wrap=True)
