"""Files that were open for reading at the fork: parent and children have one place in each, see fork(2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible


def found(looked: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    for label, where, users in looked["reading"]:
        if where not in looked["files"]:  # a library's own, or open since before the application
            continue
        file, line = words.made_at(label, folder)
        yield Finding(
            rule="shared-file", level=Level.ERROR, todo=words.FIRST_TASK, file=file, line=line, made=str(label),
            what=f"the file {words.short(where, folder)} was opened before the fork as {visible(str(label))}, and "
            f"{words.users(users, folder)} reads it: each child reads on where another one stopped",
            evidence=("parent and children have one place in it, see fork(2)",),
        )  # fmt: skip
