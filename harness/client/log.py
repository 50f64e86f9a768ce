"""Every request's moments, kept as they happen, and their table once the run is over. Answers stay raw until then."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.worker import contract


@dataclass
class Log:
    """One entry a request; moments in nanoseconds of CLOCK_MONOTONIC, -1 where they have not come."""

    row: list[int] = field(default_factory=list)
    phase: list[int] = field(default_factory=list)
    intended: list[int] = field(default_factory=list)
    published: list[int] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    raw: list[bytes | None] = field(default_factory=list)

    def add(self, *, row: int, phase: int, intended: int, published: int) -> int:
        """Note a request that is about to be published; its number."""
        self.row.append(row)
        self.phase.append(phase)
        self.intended.append(intended)
        self.published.append(published)
        self.sent.append(-1)
        self.received.append(-1)
        self.raw.append(None)
        return len(self.raw) - 1

    def __len__(self) -> int:
        return len(self.raw)


def executor(raw: bytes) -> tuple[int, int] | None:
    """(pid, tid) of who answered; None where the task raised: then the answer does not say."""
    result = json.loads(raw).get("result")
    if isinstance(result, dict) and contract.PID in result:
        return result[contract.PID], result[contract.TID]
    return None


def moments(log: Log) -> dict[str, Any]:
    """What the client itself knows, as columns of contract.REQUEST_FIELDS; -1 for what only an answer tells."""
    n = len(log)
    columns: dict[str, Any] = {name: np.full(n, -1, dtype=np.int64) for name in contract.REQUEST_FIELDS[:-2]}
    columns["number"] = np.arange(n)
    for name in ("row", "phase", "intended", "published", "sent", "received"):
        columns[name] = np.array(getattr(log, name), dtype=np.int64)
    return columns


def table(log: Log) -> dict[str, Any]:
    """The log as the columns of contract.REQUEST_FIELDS."""
    n, columns = len(log), moments(log)
    errors = [""] * n
    answers: list[Any] = [None] * n
    for number, raw in enumerate(log.raw):
        if raw is None:
            continue
        message = json.loads(raw)
        result = message["result"]
        if message["status"] != "SUCCESS":
            errors[number] = error_text(result, message.get("traceback") or "")
            continue
        answers[number] = np.ravel(result[contract.ANSWER])
        stamps = result[contract.STAMPS]
        for name, value in zip(("begin", "predict_begin", "predict_end"), stamps, strict=True):
            columns[name][number] = value
        columns["pid"][number], columns["tid"][number] = result[contract.PID], result[contract.TID]
    width = max((answer.size for answer in answers if answer is not None), default=0)
    nothing = np.full(width, np.nan)
    columns["error"] = np.array(errors, dtype=np.str_)  # as wide as the longest: 300 characters would be 1.2 GB for a million
    columns["answers"] = np.array([nothing if a is None or a.size != width else a for a in answers], dtype=np.float64)
    return columns


def error_text(result: Any, traceback: str) -> str:
    """'ValueError: what it said'. TensorFlow's errors keep their text out of `args`, so the traceback may have to tell."""
    if not isinstance(result, dict) or "exc_type" not in result:
        return contract.error_line(str(result))
    name, message = result["exc_type"], result.get("exc_message")
    text = " ".join(map(str, message)) if isinstance(message, list) else str(message or "")
    if not text:
        named = [line.partition(f"{name}: ")[2] for line in traceback.splitlines() if f"{name}: " in line]
        text = named[-1] if named else ""
    return contract.error_line(f"{name}: {text}")
