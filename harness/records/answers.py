"""The requests of one trial as arrays: read what the load generator or the baseline wrote, check every answer, count.

All functions are pure but `load`, `save` and `measured`. Stamps are nanoseconds of CLOCK_MONOTONIC, which all processes
share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from harness.records import stamps
from harness.records.sweep import sweep
from harness.texts import without_secrets
from harness.worker import contract

NS = 1e-9
STARVED_SPELL_S = 0.5  # far longer than any hand-over between processes takes
MEASURE = contract.PHASES.index("measure")
Floats = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Columns of contract.REQUEST_FIELDS, (n,) each but answers (n, batch x outputs); and what the check found."""

    columns: dict[str, npt.NDArray[Any]]
    answered: npt.NDArray[np.bool_]
    right: npt.NDArray[np.bool_]
    raised: npt.NDArray[np.bool_]
    difference: Floats  # largest |answer - reference| of a request, NaN where there is no answer

    def __len__(self) -> int:
        return len(self.answered)

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        result: npt.NDArray[np.bool_] = self.answered & ~self.right
        return result

    @property
    def max_error(self) -> float | None:
        return float(np.nanmax(self.difference)) if self.answered.any() else None

    def errors(self) -> dict[str, int]:
        return dict(Counter(str(text) for text in self.columns["error"][self.raised]))

    def measured(self) -> npt.NDArray[np.bool_]:
        """Requests of the measured phase that were answered rightly."""
        result: npt.NDArray[np.bool_] = (self.columns["phase"] == MEASURE) & self.right
        return result

    def between(self, begin_s: float, end_s: float) -> int:
        """How many right answers arrived in a span of CLOCK_MONOTONIC seconds."""
        received = self.columns["received"] * NS
        return int((self.right & (received >= begin_s) & (received < end_s)).sum())


def load(path: Path, reference: Floats, *, batch: int, rtol: float, atol: float) -> Requests:
    """Read the file and compare every answer with the reference, (rows, outputs) float64.

    An answer is right if |answer - reference| <= atol + rtol * |reference| in every element, numpy.isclose's rule.
    """
    with np.load(path, allow_pickle=False) as data:
        columns = {name: data[name] for name in contract.REQUEST_FIELDS}
    answers = np.asarray(columns["answers"], dtype=np.float64)
    raised = columns["error"] != ""
    answered = (columns["received"] >= 0) & ~raised
    right = np.zeros(len(answered), dtype=bool)
    difference = np.full(len(answered), np.nan)
    rows = (columns["row"][:, None] + np.arange(batch)) % len(reference)
    expected = reference[rows].reshape(len(rows), -1)
    if answers.shape == expected.shape:
        gap = np.abs(answers - expected)
        right = answered & (gap <= atol + rtol * np.abs(expected)).all(axis=1)
        # an answer of NaN is an answer, and as far off as can be
        difference = np.where(answered, np.nan_to_num(gap, nan=np.inf).max(axis=1, initial=0.0), np.nan)
    elif answered.any():
        difference = np.where(answered, np.inf, np.nan)
    return Requests(columns=columns, answered=answered, right=right, raised=raised, difference=difference)


Moments = npt.NDArray[Any]
NOTHING = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))  # no other tasks


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How requests waited in a span. `while_idle`: share of it in which a request waited and an executor was free.
    `starved`: share of it in spells of STARVED_SPELL_S or more in which requests waited and no executor held one."""

    while_idle: float
    starved: float


def waiting(
    requests: Requests, *, capacity: int, begin_s: float, end_s: float, others: tuple[Moments, Moments] = NOTHING
) -> Waiting | None:
    """How requests waited between two moments. `others`: when other tasks began and ended in the same executors, ns each. None
    where some requests raised or were lost: their stamps are not known."""
    columns = requests.columns
    known = requests.answered & (columns["begin"] >= 0)
    inside = known & (columns["received"] * NS >= begin_s) & (columns["published"] * NS <= end_s)
    if not inside.any() or end_s <= begin_s or (requests.raised & (columns["phase"] == MEASURE)).any():
        return None
    published, begin, end = (column[inside] * NS for column in (columns["published"], columns["begin"], stamps.freed(columns)))
    taken, given = others[0] * NS, others[1] * NS
    lengths, (waits, ours, theirs) = sweep([(published, begin), (begin, end), (taken, given)], begin_s=begin_s, end_s=end_s)
    wait, work, whole = waits > 0.5, ours + theirs, end_s - begin_s
    starved = _spells(lengths, wait & (work < 0.5))
    return Waiting(
        while_idle=float(lengths[wait & (work < capacity - 0.5)].sum() / whole),
        starved=float(starved[starved >= STARVED_SPELL_S].sum() / whole),
    )


def _spells(lengths: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """Lengths of the runs of consecutive chosen intervals."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]])))
    ends = np.concatenate([[0.0], np.cumsum(lengths)])[edges]
    result: Floats = ends[1::2] - ends[0::2]
    return result


def save(requests: Requests, path: Path) -> None:
    """Every request's stamps, as Parquet; answers are left out, the size of their error is kept. No secret is in what a task
    raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = (*contract.REQUEST_FIELDS[:-1], *(name for name in contract.WORKER_FIELDS if name in requests.columns))
    columns = {name: requests.columns[name] for name in names}
    errors = columns["error"].astype(str)
    shown = {text: without_secrets(text) for text in np.unique(errors)}
    columns["error"] = np.array([shown[text] for text in errors], dtype=str)
    table = pa.table({**columns, "right": requests.right, "difference": requests.difference})
    draft = path.with_suffix(".new")
    pq.write_table(table, draft)
    draft.replace(path)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measured requests of a trial that were answered rightly, in the order of their answers; seconds, (n,) each."""

    received_s: Floats
    latency_s: Floats
    predict_s: Floats


def measured_of(requests: Requests) -> Measured:
    """The measured ones of a trial's requests."""
    return _measured({**requests.columns, "right": requests.right}, "intended")


def measured(path: Path) -> Measured:
    """The measured requests of a saved file. Raises FileNotFoundError."""
    with pq.ParquetFile(path) as file:
        # files of schema 1 are of closed traffic, where a request is sent when it was meant to be
        start = "intended" if "intended" in file.schema_arrow.names else "published"
        names = ["phase", "right", start, "received", "predict_begin", "predict_end"]
        # one column after the other: all at once take a million requests half as much memory again
        return _measured({name: file.read([name], use_threads=False)[name].to_numpy() for name in names}, start)


def _measured(columns: Mapping[str, npt.NDArray[Any]], start: str) -> Measured:
    chosen = np.flatnonzero(columns["right"] & (columns["phase"] == MEASURE))
    chosen = chosen[np.argsort(columns["received"][chosen], kind="stable")]
    received, intended = columns["received"][chosen], columns[start][chosen]
    return Measured(
        received_s=received * NS,
        latency_s=(received - intended) * NS,
        predict_s=(columns["predict_end"][chosen] - columns["predict_begin"][chosen]) * NS,
    )
