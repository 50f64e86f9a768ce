"""The requests of a probe's trial, checked, as `answers.Requests`: of a worker, or of the serial calls."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from harness.applications.probe.checks import AnswerCheck, Reference
from harness.applications.probe.who import Told
from harness.client import opaque
from harness.records import stamps
from harness.records.answers import Requests
from harness.texts import visible
from harness.trial.left import Left
from harness.worker import contract, serial

UNREAD = "the task raised; its answer is not in JSON or msgpack, and others are not read: see the worker's log"
UNREADABLE = object()
RETURNED = "the task returned an exception instead of an answer"


def of_worker(left: Left, check: AnswerCheck) -> Requests | None:
    """What the client took; when a request ran, and where, from the worker's own events. None: it was killed."""
    try:
        columns, results = _taken(left)
    except (OSError, BadZipFile, KeyError, ValueError):
        return None
    columns = stamps.joined(columns, left.events)
    columns["predict_begin"] = columns["begin"].copy()
    columns["predict_end"] = stamps.ended(columns, left.events)
    marks = {kind: stamps.marked(left.events, kind) for kind in (contract.RAISED, contract.RETURNED_ERROR)}
    errors = columns["error"].astype(object)
    for kind, text in ((contract.RAISED, UNREAD), (contract.RETURNED_ERROR, RETURNED)):
        for number in marks[kind]:
            if number < len(errors) and not errors[number] and (kind == contract.RETURNED_ERROR or number not in results):
                errors[number] = text
    columns["error"] = np.array(errors.tolist(), dtype=np.str_)
    return _checked(columns, results, check)


def _taken(left: Left) -> tuple[dict[str, npt.NDArray[Any]], dict[int, Any]]:
    """What the client saved: the columns of contract.REQUEST_FIELDS, and the answers that can be read, by number."""
    with np.load(left.result, allow_pickle=False) as data:
        columns = {name: data[name] for name in contract.REQUEST_FIELDS}
    return columns, _results(left.result.with_name(opaque.RESULTS))


def told(left: Left) -> Iterator[Told]:
    """(row, result, executor) of each answer of a worker that can be read; of greenlets, the thread that they share."""
    columns, results = _taken(left)
    columns = stamps.joined(columns, left.events)
    for number, result in results.items():
        yield int(columns["row"][number]), result, (int(columns["pid"][number]), int(columns["tid"][number]))


def of_serial(left: Left, check: AnswerCheck) -> Requests | None:
    """What the serial calls left, a line each; a torn last line is left out."""
    lines = whole_lines(left.result)
    if not lines:
        return None
    columns: dict[str, Any] = {
        name: np.array([line.get(name, -1) for line in lines], dtype=np.int64)
        for name in ("number", "row", "phase", "begin", "pid", "tid")
    }
    end = np.array([line["end"] for line in lines], dtype=np.int64)
    for name in ("intended", "published", "sent", "predict_begin"):
        columns[name] = columns["begin"]
    columns |= {"received": end, "predict_end": end, "answers": np.empty((len(lines), 0))}
    columns["error"] = np.array([line["error"] for line in lines], dtype=np.str_)
    results = {number: result for number, _, result in readable(lines)}
    return _checked(columns, results, check)


def whole_lines(path: Path) -> list[Any]:
    """The whole lines of JSON in a file that a worker or serial calls wrote; none if there is no file."""
    found: list[Any] = []
    try:
        for line in path.read_text().splitlines():
            found.append(json.loads(line))
    except (OSError, ValueError):
        return found
    return found


def calls(path: Path) -> list[dict[str, Any]]:
    """The lines of calls that a witness made: none if it could not import the application, which its only line says then."""
    return [line for line in whole_lines(path) if contract.FAILED not in line]


def witnesses(path: Path) -> list[dict[str, Any]]:
    """The lines that all witnesses of these serial calls wrote, see `harness.worker.witness`."""
    return [line for each in sorted(path.parent.glob(contract.WITNESS.replace("%d", "*"))) for line in whole_lines(each)]


def loaded(path: Path, which: str = "packages") -> frozenset[str]:
    """What the process of these serial calls has loaded, as `contract.LOADED` has it; nothing if it ended too soon."""
    try:
        return frozenset(json.loads((path.parent / contract.LOADED).read_text())[which])
    except (OSError, ValueError):
        return frozenset()


def row_in_work(ended: int, rows: int, turns: Sequence[int] = ()) -> int | None:
    """The row that the serial calls were at when so many had ended; None if there are no rows. `turns`: see `serial.row_of`.

    >>> row_in_work(0, 3), row_in_work(3, 3), row_in_work(6, 3)
    (0, 1, 0)
    """
    return int(serial.row_of(ended, rows, turns)) if rows else None  # type: ignore[no-untyped-call]


def kind(error: str) -> str:
    """The name of an exception.

    >>> kind("ValueError: 3")
    'ValueError'
    """
    return error.partition(":")[0]


def all_raised(lines: Sequence[Mapping[str, Any]]) -> str:
    """That each of these serial calls raised, with the last one's exception; '' if one did not, or raised on purpose.

    >>> all_raised([{"error": "ValueError: 3"}] * 2), all_raised([]), all_raised([{"error": "ValueError"}, {"error": ""}])
    ('2 of 2 serial calls raised, the last one ValueError: 3', '', '')
    >>> all_raised([{"error": "Ignore: "}])
    ''
    """
    if not lines or any(kind(line["error"]) in ("", *serial.ON_PURPOSE) for line in lines):
        return ""
    return f"{len(lines)} of {len(lines)} serial calls raised, the last one {visible(lines[-1]['error'])}"


def readable(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, int, Any]]:
    """(number, row, result) of the serial calls whose answers can be read."""
    for line in lines:
        if line["payload"] is not None and (result := stored(line["payload"])) is not UNREADABLE:
            yield line["number"], line["row"], result


def stored(payload: Any) -> Any:
    """The result in a payload as a worker stores it, as JSON has it; UNREADABLE in a serialiser that is not read."""
    raw = payload.encode() if isinstance(payload, str) else base64.b64decode(payload["base64"])
    found = opaque.decoded(raw)
    return opaque.plain(found["result"]) if isinstance(found, dict) and "result" in found else UNREADABLE


def _results(path: Path) -> dict[int, Any]:
    return {each["number"]: each["result"] for each in map(json.loads, path.read_text().splitlines())}


def _checked(columns: dict[str, npt.NDArray[Any]], results: dict[int, Any], check: AnswerCheck) -> Requests:
    raised = columns["error"] != ""
    answered = (columns["received"] >= 0) & ~raised
    right, difference = answered.copy(), np.where(answered, 0.0, np.nan)
    told = [(int(number), int(columns["row"][number])) for number in np.flatnonzero(answered) if number in results]
    if isinstance(check, Reference):
        check.weigh((row, results[number]) for number, row in told)
    for number, row in told:
        right[number], difference[number] = check(row, results[number])
    return Requests(columns=columns, answered=answered, right=right, raised=raised, difference=difference)
