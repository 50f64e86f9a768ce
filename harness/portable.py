"""Texts that leave this machine: its folders are replaced by what they are, so that evidence can be read, compared and
published elsewhere. Used for stacks, log tails and error texts before they are kept."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from harness import environments

CHECKOUT = Path(__file__).resolve().parent.parent
_INTERPRETER = re.compile(r"[^\s\"'(<]*\.pyenv/versions/[^/\s]+")


@cache
def _folders() -> tuple[tuple[str, str], ...]:
    """(folder, name), the deeper ones first."""
    named = ((environments.home(), "ENVIRONMENTS"), (CHECKOUT, "CHECKOUT"), (Path.home(), "~"))
    found = {str(place): name for folder, name in named for place in (folder, folder.resolve())}
    return tuple(sorted(found.items(), key=lambda item: -len(item[0])))


def portable(text: str) -> str:
    """The text with this machine's folders named: ENVIRONMENTS, CHECKOUT, PYTHON (an interpreter's own), ~."""
    text = _INTERPRETER.sub("PYTHON", text)
    for folder, name in _folders():
        text = re.sub(rf"{re.escape(folder)}(?=[/\s:)\"']|$)", name, text)
    return text
