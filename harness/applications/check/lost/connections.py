"""What was open at the fork: of a socket, parent and children write to and read from one stream; a connection of SQLite must
not be carried over a fork (https://www.sqlite.org/howtocorrupt.html, 2.6)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check import exclusive, functions
from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible

TAKES = {"queue": ("get", "get_nowait"), "pipe": ("recv", "recv_bytes")}
SENDS = ("put", "put_nowait", "send", "send_bytes")
SQLITE = b"SQLite format 3\0"  # how such a file begins, https://www.sqlite.org/fileformat.html


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    return [
        *(one for each in looked["connections"] if (one := _of(each, folder)) is not None),
        *_of_databases(looked, folder), *_of_channels(looked, folder),
    ]  # fmt: skip


def _of_databases(looked: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """Connections of SQLite that tasks reach, if one of its files was open at the fork: in memory, each child has its own."""
    files = [file for file in looked["files"] if _begins(file) == SQLITE]
    for label, users in looked["databases"] if files else ():
        file, line = words.made_at(label, folder)
        yield Finding(
            rule="shared-connection", level=Level.WARNING, todo=words.FIRST_TASK, file=file, line=line, made=str(label),
            what=f"the SQLite connection {visible(str(label))} was opened before the fork, and {words.users(users, folder)} "
            "uses it: SQLite forbids that in a child, which may lose its locks and damage the file",
            evidence=(f"open at the fork: {words.short(files[0], folder)}",),
        )  # fmt: skip


def _of_channels(looked: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """Queues and pipes of multiprocessing that tasks take from: what one child takes, no other one gets. Who gives back what
    it takes from a queue uses it as a pool for all children."""
    for label, kind, users in looked["channels"]:
        named = words.named(str(label))
        readers = [one for one in users if any(functions.calls(functions.known([one]), TAKES[kind], named))]
        nodes = functions.known(readers)
        if not readers or (kind == "queue" and all(any(functions.calls([node], SENDS, named)) for node in nodes)):
            continue
        asks = any(_asks(node, kind, named) for node in nodes)
        level = Level.ERROR if asks else Level.WARNING
        then = "asks, and takes the answer from it: children get each other's answers"
        then = then if asks else "takes from it: each child gets a part"
        head = f"the {kind} {visible(str(label))} of multiprocessing was made before the fork"
        what = f"{head}, and {words.users(readers, folder)} {then}"
        if any(map(exclusive.may_run_alone, nodes)):
            level, what = words.unless(level, what, "the lock that is held there is one between processes")
        elif kind == "queue" and any(functions.calls(functions.known(users), SENDS, named)):
            level, what = words.unless(level, what, "what tasks put into it themselves is what they take")
        elif any(_chooses(node, kind, named) for node in nodes):
            level, what = words.unless(level, what, f"each process chooses a {kind} of its own there")
        file, line = words.made_at(str(label), folder)
        yield Finding(
            rule="shared-connection", level=level, todo=f"give each process a {kind} of its own", file=file, line=line,
            what=what, users=words.places(readers) if level is Level.ERROR else (),
        )  # fmt: skip


def _asks(node: ast.AST, kind: str, named: str) -> bool:
    """Whether a function sends something before it takes from this queue, or pipe."""
    last_take = max((call.lineno for call in functions.calls([node], TAKES[kind], named)), default=0)
    sends = [call for call in functions.calls([node], SENDS) if call.lineno <= last_take]
    own = [*functions.calls([node], SENDS, named)] if kind == "queue" else []
    return any(call not in own for call in sends)


def _chooses(node: ast.AST, kind: str, named: str) -> bool:
    """Whether it takes from one of several, and which one the call tells: `BOXES[slot].get()`."""
    places = [call.func.value for call in functions.calls([node], TAKES[kind], named) if isinstance(call.func, ast.Attribute)]
    return any(isinstance(each, ast.Subscript) and not isinstance(each.slice, ast.Constant) for each in places)


def _begins(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read(len(SQLITE))
    except OSError:
        return b""


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
    level = Level.ERROR
    what = (
        f"the connection to {told} was opened before the fork, and tasks use it through {label}: children get each "
        "other's answers, or wait for one that another child has read"
    )
    if each.get("aware"):
        level, what = words.unless(level, what, words.AWARE)
    return Finding(
        rule="shared-connection", level=level, todo=words.FIRST_TASK, file=file, line=line, made=label, what=what,
        evidence=(f"descriptor {each['descriptor']} is the same socket in parent and child",),
    )  # fmt: skip
