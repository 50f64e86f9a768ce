"""The new text of a module, whose objects each process is to make at its first task. Pure."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Sequence

FUNCTION = "load_in_this_process"


def rewritten(text: str, before: Sequence[ast.stmt], block: Sequence[ast.stmt], names: Sequence[str]) -> str:
    """The text with `block`, which binds these names, in a function that is called before each of the statements `before`."""
    lines = text.splitlines(True)
    calls = [(each.lineno - 1, " " * each.col_offset + f"{FUNCTION}()\n") for each in before]
    for place, line in sorted(calls, reverse=True):
        lines.insert(place, line)
    shift = [place for place, _ in calls]
    moved = "".join("".join(lines[begin:end]) for begin, end in (_span(statement, shift) for statement in block))
    for statement in reversed(block[1:]):
        begin, end = _span(statement, shift)
        del lines[begin:end]
    begin, end = _span(block[0], shift)
    lines[begin:end] = [_function(moved, names)]
    return "".join(lines)


def _span(statement: ast.stmt, inserted: Sequence[int]) -> tuple[int, int]:
    """Its lines, [begin, end), after lines were inserted at these places of the old text."""
    begin, end = statement.lineno - 1, statement.end_lineno or statement.lineno
    before = sum(place <= begin for place in inserted)
    return begin + before, end + before


def _function(moved: str, names: Sequence[str]) -> str:
    body = textwrap.indent(moved if moved.endswith("\n") else moved + "\n", " " * 16)
    return (
        "import threading\n\n"
        f"{' = '.join(names)} = None\n"
        "_LOADED, _LOADING = False, threading.RLock()  # what is loaded may ask for it again\n\n\n"
        f"def {FUNCTION}():\n"
        '    """Load at the first task of each process: what runs in the main process does not run in its forked children."""\n'
        f"    global {', '.join(names)}, _LOADED\n"
        "    with _LOADING:\n"
        "        if not _LOADED:\n"
        "            _LOADED = True\n"
        "            try:\n"
        f"{body}"
        "            except BaseException:\n"
        "                _LOADED = False\n"
        "                raise\n\n"
    )
