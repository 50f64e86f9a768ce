"""Sockets that were open at the fork: parent and children write to and read from one stream."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    return [one for each in looked["connections"] if (one := _of(each, folder)) is not None]


def _of(each: Mapping[str, Any], folder: Path) -> Finding | None:
    kind, peer, state = each["what"]
    if state != "established" or not peer:
        return None
    told, label = visible(f"{kind} {peer}"), visible(str(each["reached"]))
    if not label:
        return Finding(
            rule="shared-connection",
            level=Level.NOTE,
            what=f"a connection to {told} is open at the fork; no task is seen to use it without looking for a fork",
            todo="close it before the worker forks, or open it in the first task of each process",
        )
    file, line = words.made_at(label, folder)
    return Finding(
        rule="shared-connection", level=Level.ERROR, todo=words.FIRST_TASK, file=file, line=line, made=label,
        what=f"the connection to {told} was opened before the fork, and tasks use it through {label}: children get each "
        "other's answers, or wait for one that another child has read",
        evidence=(f"descriptor {each['descriptor']} is the same socket in parent and child",),
    )  # fmt: skip
