"""Texts of others (exceptions, log lines, stacks, model names), made fit to be kept and shown.

`visible`: control characters become what they are; an escape sequence would act on a terminal, and marks of direction would
hide or reorder what stands beside them on a page. `portable`: this machine's folders become what they are, so that evidence
can be read, compared and published elsewhere. `escaped`: no markup in a table of Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from harness.places import CHECKOUT, home

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # all but tab and newline
# From the beginning of a word, or a word of a million characters is tried from each of them.
_INTERPRETER = re.compile(r"(?<![^\s\"'(<])[^\s\"'(<]*\.pyenv/versions/[^/\s]+")


def visible(text: str) -> str:
    r"""The text with control characters written out.

    >>> visible("\x1b[31mred") == r"\x1b[31mred"
    True
    """
    return text if text.isprintable() else CONTROLS.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text)


@cache
def _folders() -> tuple[tuple[str, str], ...]:
    """(folder, name), the deeper ones first."""
    named = ((home(), "ENVIRONMENTS"), (CHECKOUT, "CHECKOUT"), (Path.home(), "~"))
    found = {str(place): name for folder, name in named for place in (folder, folder.resolve())}
    return tuple(sorted(found.items(), key=lambda item: -len(item[0])))


def portable(text: str) -> str:
    """The text with this machine's folders named: ENVIRONMENTS, CHECKOUT, PYTHON (an interpreter's own), ~."""
    text = _INTERPRETER.sub("PYTHON", text)
    for folder, name in _folders():
        text = re.sub(rf"{re.escape(folder)}(?=[/\s:)\"']|$)", name, text)
    return text


def escaped(said: object) -> str:
    """Words of others in a table of Markdown: no markup, no new column, no second line."""
    plain = " ".join(visible(str(said)).split())
    for sign in "\\`*_|<>[]":
        plain = plain.replace(sign, f"\\{sign}")
    return plain


def milliseconds(seconds: float) -> str:
    """
    >>> milliseconds(0.0072), milliseconds(1.12), milliseconds(50.04), milliseconds(0.00001234)
    ('7.2 ms', '1120 ms', '50 s', '0.0123 ms')
    """
    if seconds >= 10.0:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 1.0 else f"{seconds * 1e3:.3g} ms"


def few(names: Sequence[str], most: int = 3) -> str:
    """
    >>> few(["a", "b"]), few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(names: Iterable[str]) -> list[str]:
    """['2 x tf_Compute', '1 x python']."""
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return [f"{count} x {name}" for name, count in found.items()]
