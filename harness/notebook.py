"""A run in a notebook: `harness.load(folder)` gives tidy pandas frames, and shows itself as a table with its charts.

run = harness.load("results/quick")
run.cells        # a row a cell, the columns of cells.csv
run.trials       # a row a trial
run.requests("theano-solo-c1-first-task-predict")   # a row a request, seconds
run.samples("theano-solo-c1-first-task-predict")    # the time line of CPU and memory
run.charts["pareto"]                                # an Altair chart
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from harness.errors import NothingMatches
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.records.upgrades import flat
from harness.summary import summary

NANOSECONDS = ("intended", "published", "sent", "received", "begin", "predict_begin", "predict_end")


@dataclass(frozen=True)
class Run:
    """One run's folder, read when it is asked for."""

    folder: Path

    @cached_property
    def records(self) -> list[TrialRecord]:
        return RunFolder(self.folder).trials()

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell."""
        return summary.table(self.records, self.folder)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row a trial; what is nested in a section becomes columns such as `cpu.worker`."""
        return pd.json_normalize([flat(record.model_dump(mode="json")) for record in self.records], max_level=1)

    def requests(self, cell: str) -> pd.DataFrame:
        """A row a request of all trials of a cell (`trial`), moments in seconds from the trial's first request on."""
        return self._joined(cell, lambda record: record.answers.requests_file, _seconds)

    def samples(self, cell: str) -> pd.DataFrame:
        """The time line of all trials of a cell (`trial`)."""
        return self._joined(cell, lambda record: record.cpu.samples_file, lambda frame: frame)

    @cached_property
    def charts(self) -> dict[str, Any]:
        import altair

        from harness.report import charts, content

        drawn = charts.all_of(content.read(self.folder))
        return {one.name: altair.Chart.from_dict(one.spec) for one in drawn}

    @cached_property
    def drawn(self) -> dict[str, str]:
        """The charts as SVG, drawn offline: a notebook shows them wherever it is read."""
        import vl_convert

        return {name: str(vl_convert.vegalite_to_svg(chart.to_json())) for name, chart in self.charts.items()}

    def _joined(self, cell: str, file: Callable[[TrialRecord], str], shaped: Any) -> pd.DataFrame:
        mine = [record for record in self.records if record.cell_id == cell]
        if not mine:
            raise NothingMatches(f"{self.folder} has no cell {cell}", remedy="run.cells['cell'] lists them")
        paths = [(record.trial, self.folder / file(record)) for record in mine if file(record)]
        parts = [shaped(pq.read_table(path).to_pandas()).assign(trial=trial) for trial, path in paths if path.is_file()]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _repr_html_(self) -> str:
        shown = self.cells[["cell", "outcome", "throughput_per_s", "latency_p50_s", "latency_p95_s", "cpu_verdict", "reason"]]
        table = f"<p>{len(self.cells)} cells</p>{shown.to_html(index=False, escape=True, max_rows=100)}"
        return table + "".join(self.drawn.values())


def _seconds(frame: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in NANOSECONDS if name in frame]
    first = frame[names[0]].min() if names and len(frame) else 0
    moments = {f"{name}_s": (frame[name] - first).where(frame[name] >= 0) * 1e-9 for name in names}
    return frame.drop(columns=names).assign(**moments)


def load(folder: str | Path) -> Run:
    """A run's folder. Raises BadInput where it holds no trial."""
    run = Run(Path(folder))
    assert run.records
    return run
