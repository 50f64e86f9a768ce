"""Files that were open for reading at the fork: parent and children have one place in each, see fork(2). And pipes from another
process: what one child has read of it, no other child gets. A lock of flock(2) is the open file's, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible


def found(looked: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    for label, where, users in looked["locking"]:
        if where in looked["files"]:
            file, line = words.made_at(label, folder)
            yield Finding(
                rule="shared-file", level=Level.WARNING, todo="open it in the task that locks it", file=file, line=line,
                made=str(label), evidence=("a lock of flock(2) is the open file's, and a fork does not open it anew",),
                what=f"the file {words.short(where, folder)} was opened before the fork as {visible(str(label))}, and "
                f"{words.users(users, folder)} locks it by flock: all children share the lock, so it keeps none of them out",
            )  # fmt: skip
    for label, where, users in looked["reading"]:
        if where not in looked["files"]:  # a library's own, or open since before the application
            continue
        file, line = words.made_at(label, folder)
        of = _of_pipe if where.startswith("pipe:") else _of_file
        rule, what, seen = of(visible(str(label)), words.users(users, folder), words.short(where, folder))
        yield Finding(
            rule=rule, level=Level.ERROR, todo=words.FIRST_TASK, file=file, line=line, made=str(label), evidence=(seen,),
            what=what,
        )  # fmt: skip


def _of_file(label: str, user: str, path: str) -> tuple[str, str, str]:
    """(rule, what, what was seen)."""
    what = (
        f"the file {path} was opened before the fork as {label}, and {user} reads it: each child reads on where another one "
        "stopped"
    )
    return "shared-file", what, "parent and children have one place in it, see fork(2)"


def _of_pipe(label: str, user: str, _: str) -> tuple[str, str, str]:
    what = (
        f"the pipe from another process was opened before the fork as {label}, and {user} reads it: children get each "
        "other's answers, or wait for one that another child has read"
    )
    return "shared-connection", what, "the end that writes is in no process that was forked"
