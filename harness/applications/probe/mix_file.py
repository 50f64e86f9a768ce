"""A mix file, read and checked: several tasks of one application, with their arguments and their shares of the requests."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.applications.probe import order as orders
from harness.errors import BadInput
from harness.experiment.mix import Mix, in_turn

WORDS = ("name", "args", "share")
MOST_TASKS = 20
EXAMPLE = 'one [[task]] per task: name = "proj.tasks.price", args = "rows.json" (or [[1, 2]]), share = 9'


def read(path: Path) -> tuple[Mix, list[Any]]:
    """(the mix, the rows of all tasks in turn). Raises BadInput."""
    tasks = [_task(entry, f"--mix {path}: task {number}", path) for number, entry in enumerate(_entries(path), 1)]
    names = [name for name, _, _ in tasks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(
            f"--mix {path}: {', '.join(twice)} is named twice",
            remedy="put the rows of a task into one entry: args = [[1], [2]]",
        )
    rows, of_rows = in_turn([found for _, found, _ in tasks])
    whole = math.fsum(share for _, _, share in tasks)
    shares = tuple(share / whole for _, _, share in tasks)
    return Mix(name=path.stem, tasks=tuple(names), shares=shares, of_rows=of_rows), rows


def _entries(path: Path) -> list[Any]:
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"--mix {path}: {error.strerror}", remedy=EXAMPLE) from error
    except ValueError as error:
        raise BadInput(f"--mix {path} is not TOML: {error}", remedy=EXAMPLE) from error
    entries = found.get("task")
    if not isinstance(entries, list) or found.keys() - {"task"}:
        strange = ", ".join(sorted(found.keys() - {"task"}))
        raise BadInput(f"--mix {path}: {f'it knows no {strange}' if strange else 'it has no [[task]]'}", remedy=EXAMPLE)
    if not 2 <= len(entries) <= MOST_TASKS:
        few = "one task is no mix: give it with --task and --args" if len(entries) == 1 else EXAMPLE
        many = f"{len(entries)} task{'s' * (len(entries) != 1)}"
        raise BadInput(f"--mix {path}: it has {many}, and takes 2 to {MOST_TASKS}", remedy=few)
    return entries


def _task(entry: Any, where: str, path: Path) -> tuple[str, list[Any], float]:
    """(name, rows, share) of one entry."""
    if not isinstance(entry, Mapping):
        raise BadInput(f"{where}: not a table", remedy=EXAMPLE)
    name = entry.get("name")
    if unknown := ", ".join(sorted(entry.keys() - set(WORDS))):
        raise BadInput(f"{where}: it knows no {unknown}", remedy=f"a task has {', '.join(WORDS)}")
    if not isinstance(name, str) or not name:
        raise BadInput(f"{where}: it has no name", remedy="the task's name, as the worker prints it below [tasks]")
    share = entry.get("share", 1)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < math.inf:
        raise BadInput(
            f"{where} ({name}): share = {share!r} is no number above 0", remedy="9 beside 1 is nine in ten; or leave it out"
        )
    return name, _rows(entry.get("args", [[]]), f"{where} ({name}): args", path), float(share)


def _rows(args: Any, where: str, path: Path) -> list[Any]:
    """Inline, or of a JSON file whose path counts from the mix file."""
    if not isinstance(args, str):
        try:
            return orders.checked_rows(json.loads(json.dumps(args)), where)
        except TypeError as error:
            raise BadInput(f"{where} cannot be JSON: {error}", remedy="write a date as a text") from error
    file = path.parent / args
    try:
        return orders.checked_rows(json.loads(file.read_text()), f"{where} {file}")
    except OSError as error:
        raise BadInput(
            f"{where} {file}: {error.strerror}", remedy="a JSON file, whose path counts from the folder of the mix file"
        ) from error
    except ValueError as error:
        raise BadInput(f"{where} {file} is not JSON: {error}", remedy=orders.EXAMPLE) from error
