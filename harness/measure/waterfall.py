"""Where a request's time went: one stage after the other on one clock, so that the stages add up to the whole.

    publish   from the intended moment until the client's publish call returned
    broker    until the worker's main process has the message: the queue, the socket, and Celery's decoding of it
    prefetch  in the worker, received, while no executor is free
    dispatch  in the worker, received, while an executor is free: the hand-over to child, thread or greenlet
    prepare   in the task, before predict: a lazy load of the model, and taking the request's rows
    predict   the call of the model
    write     encoding the answer and storing it in the result backend
    read      until the client has it

Every boundary is a moment of CLOCK_MONOTONIC, which all processes of a machine share. A stage is the difference of two
neighbours, so their sum is the last minus the first, which is the latency. Two boundaries are not stamps as they stand:
a message may reach the worker, and an answer the client, before the call that sent it returns. Then the stage ends there.

*When is an executor free?* A pool of N runs N requests at once: a request occupies one of N slots from its begin until
its result is written. Replayed in the order in which requests began, each takes the slot that was free first, and
prefetch ends when that slot was free and the request was there. One rule serves processes, threads and greenlets. Its
limits: what a pool does after it wrote a result (acknowledging, telling the main process that a child is free) counts
as dispatch of the next request; and where more requests are under way than there are slots, because a dead child
was replaced, the request that shows it has no known split and is left out.

Everything here is pure but `read` and what calls it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from harness.certainty import intervals
from harness.records.answers import MEASURE, NS, Floats, Requests
from harness.records.record import TrialRecord
from harness.records.sweep import sweep
from harness.worker import contract

STAGES = ("publish", "broker", "prefetch", "dispatch", "prepare", "predict", "write", "read")
STAMPED = contract.WORKER_FIELDS
NEEDED = ("published", "received", "begin", "predict_begin", "predict_end", *STAMPED)
NOT_KNOWN = -1
LEAST_SHARE = 0.05  # of the waiting, to be named
Columns = Mapping[str, npt.NDArray[Any]]
Moments = npt.NDArray[np.int64]


def stages(columns: Columns, *, capacity: int) -> Floats:
    """(n, len(STAGES)) seconds of every request, in the order of STAGES.

    `columns`: NEEDED and, if the client wrote them, `intended` and `sent`; nanoseconds, -1 where a moment never came.
    `capacity`: how many requests the pool runs at once. A row is NaN where one of its stamps is missing or two
    contradict each other; `publish` is NaN, and part of `broker`, where the client wrote no `sent`.
    """
    received_by_worker, received = columns["worker_received"], columns["received"]
    begin, free = columns["begin"], free_at(columns, capacity=capacity)
    sent = columns.get("sent")
    first = columns.get("intended", columns["published"])
    boundaries = np.stack([
        first,
        np.minimum(first if sent is None else sent, received_by_worker),
        received_by_worker,
        free,
        begin,
        columns["predict_begin"],
        columns["predict_end"],
        np.minimum(columns["written"], received),
        received,
    ], axis=1).astype(np.int64)  # fmt: skip
    stamps = np.stack([columns[name] for name in NEEDED], axis=1)
    lengths = np.diff(boundaries, axis=1)
    told = (stamps >= 0).all(axis=1) & (free >= 0) & (lengths >= 0).all(axis=1)
    found: Floats = np.where(told[:, None], lengths * NS, np.nan)
    if sent is None:
        found[:, 0] = np.nan
    return found


def free_at(columns: Columns, *, capacity: int) -> Moments:
    """(n,) when an executor was free for each request and the request was there; ns, NOT_KNOWN where that is not told."""
    begin, written = columns["begin"].astype(np.int64), _written(columns)
    order = np.argsort(begin, kind="stable")
    order = order[begin[order] >= 0]
    ends = np.where(written >= 0, written, np.iinfo(np.int64).max)  # a request without an end keeps its slot
    slots = [0] * capacity
    found = np.full(len(begin), NOT_KNOWN, dtype=np.int64)
    taken = []
    for start, end in zip(begin[order].tolist(), ends[order].tolist(), strict=True):
        if slots[0] <= start:
            taken.append(heapq.heapreplace(slots, end))
        else:  # all slots are taken, and yet it began: there is one executor more than we knew of
            heapq.heappush(slots, end)
            taken.append(NOT_KNOWN)
    slot = np.array(taken, dtype=np.int64)
    found[order] = np.where(slot == NOT_KNOWN, NOT_KNOWN, np.maximum(slot, columns["worker_received"][order]))
    return found


#: Where a request waits, in words, in the order of its way.
PLACES = {
    "broker": "in the broker (published, not received by the worker)",
    "dispatch": "in dispatch (received by the worker, not given to a free executor)",
    "worker": "in the worker (received, not begun)",
    "write": "in the result's write (begun, no result stored)",
    "read": "in the result's read (stored, not received by the client)",
}


def waited_in(columns: Columns, *, capacity: int, begin_s: float, end_s: float, nobody: bool = False) -> dict[str, float]:
    """The shares of the waiting, in request-seconds between two moments, by place: `broker` and `dispatch`; 0..1.

    Only intervals with an executor free count, or with `nobody` those in which no executor held a request at all: a stall
    is a wait that free executors do not explain. What never came, came after the end. {} where nothing waited so, and
    where the worker left no stamps.
    """
    if not (columns["worker_received"] >= 0).any() or end_s <= begin_s:
        return {}
    published, received, begin = (_until(columns[name], end_s) for name in ("published", "worker_received", "begin"))
    taken = np.minimum(received, begin)
    written = np.maximum(begin, _until(_written(columns), end_s))
    lengths, (broker, worker, running) = sweep(
        [(published, taken), (taken, begin), (begin, written)], begin_s=begin_s, end_s=end_s
    )
    free = lengths * (running < (0.5 if nobody else capacity - 0.5))
    waits = {"broker": float((free * broker).sum()), "dispatch": float((free * worker).sum())}
    whole = sum(waits.values())
    return {place: wait / whole for place, wait in waits.items() if wait > 0}


def standing_in(columns: Columns) -> dict[str, float]:
    """The shares of the requests without an answer, by the place where the last stamp leaves them; {} without stamps."""
    if not (columns["worker_received"] >= 0).any():
        return {}
    came = {name: columns[name] >= 0 for name in ("worker_received", "begin", "written")}
    open_ = (columns["published"] >= 0) & (columns["received"] < 0)
    places = {
        "broker": ~came["worker_received"] & ~came["begin"],
        "worker": came["worker_received"] & ~came["begin"],
        "write": came["begin"] & ~came["written"],
        "read": came["begin"] & came["written"],
    }
    return {place: float((here & open_).sum() / open_.sum()) for place, here in places.items() if (here & open_).any()}


def in_words(shares: Mapping[str, float], verb: str = "waited") -> str:
    """
    >>> in_words({"broker": 0.25, "dispatch": 0.75})[:50]
    'they waited 75% in dispatch (received by the worke'
    """
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    told = [f"{share:.0%} {PLACES[place]}" for place, share in ranked if share >= LEAST_SHARE]
    return f"they {verb} {', '.join(told)}" if told else ""


def _written(columns: Columns) -> npt.NDArray[Any]:
    """When each result was written; the client's receiving where the process died before it could say so."""
    result: npt.NDArray[Any] = np.where(columns["written"] >= 0, columns["written"], columns["received"])
    return result


def _until(column: npt.NDArray[Any], end_s: float) -> Floats:
    return np.where(column >= 0, column * NS, end_s)


def read(path: Path, *, capacity: int) -> Floats | None:
    """The stages of the requests in a saved file, see `measured`. Raises FileNotFoundError."""
    schema = set(pq.read_schema(path).names)
    if not schema >= set(STAMPED):
        return None
    table = pq.read_table(path, columns=[*NEEDED, "phase", "right", *({"intended", "sent"} & schema)])
    return measured({name: table[name].to_numpy() for name in table.column_names}, capacity=capacity)


def measured(columns: Columns, *, capacity: int) -> Floats | None:
    """(n, len(STAGES)) of the measured requests that were answered rightly, and whose way is known. `columns`: those of
    `stages`, `phase` and `right`.

    None where there are no stamps of the worker: they were written before they existed, or are a baseline's.
    """
    if not set(STAMPED) <= set(columns) or not (columns["worker_received"] >= 0).any():
        return None
    found = stages(columns, capacity=capacity)[columns["right"] & (columns["phase"] == MEASURE)]
    known: Floats = found[~np.isnan(found[:, 1:]).any(axis=1)]
    return known


def of_trials(records: Iterable[TrialRecord], folder: Path) -> Floats | None:
    """The stages of all measured requests of these trials of one cell, see `read`; None where no trial has stamps."""
    found = [
        read(folder / record.answers.requests_file, capacity=record.as_cell.concurrency)
        for record in records
        if record.answers.requests_file
    ]
    known = [lengths for lengths in found if lengths is not None]
    return np.concatenate(known) if known else None


def medians_of(requests: Requests, *, capacity: int) -> dict[str, float]:
    """The median seconds of each stage in one trial; without those that are not known or rest on too few requests."""
    lengths = measured({**requests.columns, "right": requests.right}, capacity=capacity)
    if lengths is None:
        return {}
    known = {name: intervals.percentile(x[~np.isnan(x)], 0.5) for name, x in zip(STAGES, lengths.T, strict=True)}
    return {name: value for name, value in known.items() if value is not None}
