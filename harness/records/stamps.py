"""The moments that a worker stamped on its requests' way, read from the files it left behind, and put beside the requests.

A worker's main process stamps each request as it takes it from the broker; the process that ran it, once the result is
stored. The task's answer cannot carry the second, and a request that raised has no answer at all: its begin is taken from
the events. Everything is nanoseconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.worker import contract

#: One event or stamp as `contract.pack` writes it.
RECORD = np.dtype([("kind", "u1"), ("tid", "<i4"), ("number", "<i8"), ("at_ns", "<i8")])
NEVER = np.iinfo(np.int64).max
Column = npt.NDArray[Any]


def read(folder: Path, pattern: str, kinds: tuple[int, ...]) -> Column:
    """All records of these kinds in the files that match `pattern`, with the `pid` that wrote each; unordered."""
    found = [np.empty(0, dtype=[*RECORD.descr, ("pid", "<i8")])]
    for path in sorted(folder.glob(pattern.format(pid="*"))):
        data = path.read_bytes()
        records = np.frombuffer(data, dtype=RECORD, count=len(data) // RECORD.itemsize)
        records = records[np.isin(records["kind"], kinds)]
        whole = np.empty(len(records), dtype=found[0].dtype)
        for name in RECORD.names or ():
            whole[name] = records[name]
        whole["pid"] = int(path.stem)
        found.append(whole)
    return np.concatenate(found)


def joined(columns: Mapping[str, Column], folder: Path) -> dict[str, Column]:
    """The requests' columns with those of contract.WORKER_FIELDS, and `begin`, `pid`, `tid` of the unanswered and raised.

    A request that was delivered more than once has several stamps. The ones that belong to its answer are kept: the last
    time it was received before it began, and the first time its result was written after the predict.
    """
    n = len(columns["number"])
    stamps = read(folder, contract.STAMPS_FILE_NAME, (contract.WORKER_RECEIVED, contract.WRITTEN))
    stamps = stamps[(stamps["number"] >= 0) & (stamps["number"] < n)]
    begun = _begun(columns, folder, n)
    begin, end = begun["begin"], columns["predict_end"]
    received = stamps[stamps["kind"] == contract.WORKER_RECEIVED]
    written = stamps[stamps["kind"] == contract.WRITTEN]
    return {
        **columns,
        **begun,
        "worker_received": _last(received, n, not_after=np.where(begin >= 0, begin, NEVER)),
        "written": _first(written, n, not_before=end),
    }


def ended(columns: Mapping[str, Column], folder: Path) -> Column:
    """(n,) when a worker had done with each request, by its own events: for tasks whose answer does not say.

    Celery signals the end of a task once the result is stored (celery/app/trace.py), and a fast client has read the answer
    before that signal runs. A task whose answer was received had ended, so its end is then the receiving.
    """
    n = len(columns["number"])
    events = read(folder, contract.FILE_NAME, (contract.TASK_END,))
    events = events[(events["number"] >= 0) & (events["number"] < n)]
    end, received = _first(events, n, not_before=columns["begin"]), columns["received"]
    return np.where(received >= 0, np.minimum(end, received), end)


def freed(columns: Mapping[str, Column]) -> Column:
    """(n,) when the executor of each request had done with it: once its result was stored and what runs after that had ended
    (`after_return`), which its answer does not wait for. NEVER for a right answer whose executor was not seen to end, if those
    of others were; of a request that raised its child may have been killed.
    """
    end, written = columns["predict_end"], columns.get("written")
    if written is None or not (written >= 0).any():
        return end
    on = (written < 0) & (end >= 0) & (columns["error"] == "")
    return np.where(on, NEVER, np.maximum(end, written))


def marked(folder: Path, kind: int) -> set[int]:
    """The numbers of the requests that have a stamp of this kind."""
    return set(read(folder, contract.STAMPS_FILE_NAME, (kind,))["number"].tolist())


def other_tasks(folder: Path) -> tuple[Column, Column]:
    """When tasks that are none of our requests began and ended, ns each; NEVER for the end of one that did not end."""
    begun, ended = _others(folder)
    return begun["at_ns"].astype(np.int64), ended


def others_s(folder: Path, until_s: float) -> dict[str, float]:
    """For how long such tasks ran, by name, all executors together; one that did not end, until that moment. Seconds."""
    names = {}
    for path in sorted(folder.glob(contract.OTHERS_FILE_NAME.format(pid="*"))):
        for number, _, name in (line.partition(" ") for line in path.read_text(errors="replace").splitlines()):
            names[int(path.stem), int(number)] = name
    found: dict[str, float] = {}
    for one, end in zip(*_others(folder), strict=True):
        name = names.get((int(one["pid"]), int(one["number"])), "")
        took_s = (min(end, until_s * 1e9) - one["at_ns"]) * 1e-9
        found[name] = found.get(name, 0.0) + max(0.0, float(took_s))
    return found


def _others(folder: Path) -> tuple[Column, Column]:
    events = read(folder, contract.FILE_NAME, (contract.OTHER_BEGIN, contract.OTHER_END))
    ends = {(one["pid"], one["number"]): one["at_ns"] for one in events[events["kind"] == contract.OTHER_END]}
    begun = events[events["kind"] == contract.OTHER_BEGIN]
    ended = [ends.get((one["pid"], one["number"]), NEVER) for one in begun]
    return begun, np.array(ended, dtype=np.int64)


def _begun(columns: Mapping[str, Column], folder: Path, n: int) -> dict[str, Column]:
    """When a worker began each request, and who; from the last such event where no answer tells."""
    events = read(folder, contract.FILE_NAME, (contract.TASK_BEGIN,))
    events = np.sort(events[(events["number"] >= 0) & (events["number"] < n)], order="at_ns")
    events = events[columns["begin"][events["number"]] < 0]
    found = {name: columns[name].copy() for name in ("begin", "pid", "tid")}
    for name, source in (("begin", "at_ns"), ("pid", "pid"), ("tid", "tid")):
        found[name][events["number"]] = events[source]  # of equal numbers, NumPy keeps the last
    return found


def _last(stamps: Column, n: int, *, not_after: Column) -> Column:
    """(n,) the last moment of each number that is not after its limit, -1 where there is none."""
    chosen = stamps[stamps["at_ns"] <= not_after[stamps["number"]]]
    moments = np.full(n, -1, dtype=np.int64)
    np.maximum.at(moments, chosen["number"], chosen["at_ns"])
    return moments


def _first(stamps: Column, n: int, *, not_before: Column) -> Column:
    """(n,) the first moment of each number that is not before its limit, -1 where there is none."""
    chosen = stamps[stamps["at_ns"] >= not_before[stamps["number"]]]
    moments = np.full(n, NEVER, dtype=np.int64)
    np.minimum.at(moments, chosen["number"], chosen["at_ns"])
    return np.where(moments == NEVER, -1, moments)
