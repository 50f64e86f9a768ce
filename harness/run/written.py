"""What a run writes beside its records: `run.json`, `cells.csv`, `diagnoses.md`. Each is replaced whole."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness import broker
from harness.records.store import RunFolder
from harness.run.plan import Planned
from harness.run.source import Desk, Source, Terms
from harness.summary import diagnoses, summary, written


def header(terms: Terms, desk: Desk, source: Source, ended: str = "") -> None:
    """`run.json`: machine, versions as installed, what was asked for, times."""
    own = {"broker": broker.shown(terms.broker_url) if terms.broker_url else "embedded valkey"}
    told = {**own, **source.header(desk.folder.read_json("run.json"))}
    desk.folder.write_header(ended=ended, interrupted=desk.interrupted(), **told)


def tables(folder: RunFolder, planned: Sequence[Planned]) -> pd.DataFrame:
    """`cells.csv` and `diagnoses.md`: the cells of this plan first, in its order, then whatever else is on record."""
    latest = folder.current()
    keys = list(dict.fromkeys([(item.cell.id, item.trial) for item in planned] + list(latest)))
    table = summary.table((latest[key] for key in keys if key in latest), folder.path)
    folder.replace("cells.csv", written.csv(table))
    folder.replace("diagnoses.md", diagnoses.text(latest[key] for key in keys if key in latest) or "Nothing went wrong.\n")
    return table
