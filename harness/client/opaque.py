"""Answers of somebody's own application: whatever Celery stored, in the application's serialiser.

JSON and msgpack are read; a pickle is never loaded, so of a pickled answer only that it came is known here (whether its task
raised, the worker's own stamps tell). Results stand in a file of their own, a line a request, for the driver to check.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from harness.client.log import Log, error_text, moments

FINAL = ("SUCCESS", "FAILURE", "REVOKED")  # any other state, also one of the application's own, is published on the way
RESULTS = "results.jsonl"  # beside the requests' file: {"number": 3, "result": …}
SUCCESS = "SUCCESS"
NESTED = 1_500  # values inside each other that are read; Python's own limit of 1,000 calls allows for some 450
DEEPEST = 4 * NESTED  # calls inside each other, for what goes through them


@contextmanager
def deep(limit: int = DEEPEST) -> Iterator[None]:
    """Calls may go so deep meanwhile, and no deeper, whatever is allowed around it; also as a decorator."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def read(raw: bytes) -> dict[str, Any] | None:
    """What Celery stored for a task (`status`, `result`, …); None where it is neither JSON nor msgpack."""
    found = decoded(raw)
    return found if isinstance(found, dict) and "status" in found else None


def decoded(raw: bytes) -> Any:
    """What the bytes say, as JSON or as msgpack; None where they are neither, or nested too deeply."""
    for decode in (json.loads, _unpacked):
        with suppress(ValueError, RecursionError, msgpack.exceptions.UnpackException), deep(NESTED):
            found = decode(raw)  # a UnicodeDecodeError is a ValueError
            return None if _too_deep(raw, found) else found
    return None


def _too_deep(raw: bytes, found: Any) -> bool:
    """Since Python 3.14, what is written in C knows no limit of calls, but that of its stack."""
    if raw.count(b"{") + raw.count(b"[") <= NESTED:  # of JSON: it cannot be nested more deeply; msgpack has a limit of its own
        return False
    level, depth = [found], 0
    while level and depth <= NESTED:
        level = [
            each for one in level if isinstance(one, dict | list) for each in (one.values() if isinstance(one, dict) else one)
        ]
        depth += 1
    return bool(level)


def _unpacked(raw: bytes) -> Any:
    return msgpack.unpackb(raw, raw=False, strict_map_key=False)


def is_news(raw: bytes) -> bool:
    """Whether this only tells how far a task has come. What cannot be read is taken for the answer: see `app_facts`."""
    found = read(raw)
    return found is not None and found["status"] not in FINAL


def plain(value: Any) -> Any:
    """The value as JSON has it; bytes in base64."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)  # a msgpack timestamp or extension


@deep()
def table(log: Log, path: Path) -> dict[str, Any]:
    """The log as the columns of contract.REQUEST_FIELDS, with empty answers; results go to RESULTS beside `path`."""
    errors = [""] * len(log)
    with open(path.with_name(RESULTS), "w") as file:
        for number, raw in enumerate(log.raw):
            found = read(raw) if raw is not None else None
            if found is None:
                continue
            if found["status"] == SUCCESS:
                file.write(json.dumps({"number": number, "result": plain(found["result"])}) + "\n")
            else:
                text = error_text(found["result"], found.get("traceback") or "")
                errors[number] = text or str(found["status"])
    return {**moments(log), "error": np.array(errors, dtype=np.str_), "answers": np.empty((len(log), 0))}
