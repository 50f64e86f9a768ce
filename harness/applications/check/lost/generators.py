"""Generators of random numbers from before the fork: each child has a copy in the same state, and repeats its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible

RULE = "copied-generator"
TODO = "make it in a function that the first task of each process calls, or seed it anew in worker_process_init"


def found(looked: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """One for all that a function draws by, but for those which something seeds that asked to be told of a fork."""
    if any("seed" in str(name) for _, name, _ in looked["at_fork"]):
        return
    for label, users in looked["generators"]:
        file, line = words.made_at(label, folder)
        file, line = (file, line) if file else next(((words.short(one[0], folder), int(one[1])) for one in users), ("", 0))
        yield Finding(
            rule=RULE, level=Level.WARNING, todo=TODO, file=file, line=line, made=str(label),
            what=f"{words.users(users, folder)} draws random numbers from {visible(str(label))}, which is as it was at the "
            "fork in each child: all children draw the same",
        )  # fmt: skip
