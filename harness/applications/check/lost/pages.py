"""Memory from before the fork that children share, and that tasks write: what one of them writes there, the others read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check import written
from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible

RULE = "shared-writes"


def found(looked: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    for label, users in looked["mapped"]:
        uses = {tuple(user): written.use(user, words.named(str(label))) for user in users}
        level = Level.ERROR if written.Use.SCRATCH in uses.values() else Level.WARNING
        writers = [user for user, use in uses.items() if use is written.Use.SCRATCH or (use and level is Level.WARNING)]
        if writers:
            file, line = words.made_at(str(label), folder)
            then = "and reads it again" if level is Level.ERROR else "and children may be meant to share that, or not"
            yield Finding(
                rule=RULE, level=level, todo=words.FIRST_TASK if level is Level.ERROR else f"if not, {words.FIRST_TASK}",
                file=file, line=line, made=str(label), users=words.places(writers) if level is Level.ERROR else (),
                evidence=("its bytes lie in memory that is mapped as shared, see mmap(2)",),
                what=f"{visible(str(label))} is memory that a fork does not copy. {words.users(writers, folder)} writes there, "
                f"{then}" + (": another child may write there in between" if level is Level.ERROR else ""),
            )  # fmt: skip
