"""The latencies that a packed folder keeps: of those cells alone whose percentiles are computed over several trials together.

A trial's own percentiles stand in its record. A cell whose trials have too few requests each gets the percentile of all its
trials' requests (`harness.summary.summary`), which needs the latencies themselves: `latencies.json.xz` (`.gz` in folders that
were packed before) holds them, by the name of the requests' file that is gone, in seconds.
"""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.measure import figures
from harness.records import answers
from harness.records.record import TrialRecord

FILE, BEFORE = "latencies.json.xz", "latencies.json.gz"
Kept = Mapping[str, Sequence[float]]


def of(folder: Path, requests_files: Sequence[str]) -> list[answers.Floats] | None:
    """The latencies of each trial, from its requests or from what was kept; None where those of one are gone."""
    known = {} if all((folder / name).is_file() for name in requests_files) else kept(folder)
    if not all(name in known or (folder / name).is_file() for name in requests_files):
        return None
    return [_of(folder, name, known) for name in requests_files]


def kept(folder: Path) -> Kept:
    """What the file holds; {} where there is none, or none that can be read."""
    try:
        new = (folder / FILE).exists()
        packed = (folder / (FILE if new else BEFORE)).read_bytes()
        data = json.loads(lzma.decompress(packed) if new else gzip.decompress(packed))
    except (OSError, EOFError, ValueError, lzma.LZMAError):
        return {}
    return data if isinstance(data, dict) else {}


def needed(records: Iterable[TrialRecord], folder: Path) -> dict[str, list[float]]:
    """What the file has to hold for these records of a run."""
    cells: dict[str, list[str]] = {}
    few = set[str]()
    for record in records:
        known = figures.of(record, folder)
        if known is not None:
            cells.setdefault(record.cell_id, []).append(record.answers.requests_file)
            few |= {record.cell_id} if len(known.latency_s) < len(figures.PERCENTILES) else set()
    chosen = [name for cell in few for name in cells[cell] if len(cells[cell]) > 1]
    return {name: found[0].tolist() for name in sorted(chosen) if (found := of(folder, [name])) is not None}


def to_bytes(latencies_s: Kept) -> bytes:
    return lzma.compress(json.dumps(latencies_s, separators=(",", ":")).encode(), preset=9 | lzma.PRESET_EXTREME)


def _of(folder: Path, name: str, known: Kept) -> answers.Floats:
    path = folder / name
    return answers.measured(path).latency_s if path.is_file() else np.asarray(known[name], dtype=np.float64)
