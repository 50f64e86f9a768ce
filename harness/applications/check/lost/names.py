"""Names for files that a module makes once, as it is imported: they are the same in each child."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check import functions, scratch_files
from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.applications.check.written import Use
from harness.texts import visible


def found(looked: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    for label, users in looked["paths"]:
        name = words.named(str(label))
        uses = {tuple(user): use for user in users if (use := _use(user, name)) is not None}
        if not uses:
            continue
        again = [user for user, use in uses.items() if use is Use.SCRATCH]
        file, line = words.made_at(str(label), folder)
        then = "and reads it again: another child may have written it in between" if again else "as all children do"
        who = words.users(again or list(uses), folder)
        yield Finding(
            rule="copied-name", level=Level.ERROR if again else Level.WARNING, file=file, line=line,
            todo="make the name in the task, of what differs from call to call, such as its request's id",
            what=f"{visible(str(label))} is made once, before the fork. {who} writes a file by that name, {then}",
            users=words.places(again),
        )  # fmt: skip


def _use(user: functions.Place, name: str) -> Use | None:
    """How a function uses files by this name, if its module makes that name for its process."""
    node = functions.function(user)
    tree = functions.home(node) if node is not None else None
    return scratch_files.use(node, name) if node is not None and tree is not None and scratch_files.is_own(tree, name) else None
