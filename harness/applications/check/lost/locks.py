"""Locks that another thread holds at the fork, and modules that it imports: in the child nobody is there to release them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check import functions
from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible

TODO = "start the thread in a function that the first task of each process calls, so that each process has its own"


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    seen = {one["label"] for one in looked["locks"] if one["ident"]}
    return [
        *_no_answer(looked),
        *(finding for one in looked["locks"] if (finding := _lock(one, looked, folder)) is not None),
        *_may_be_held(looked, folder, seen),
        *(_import(one, looked, folder) for one in looked["imports"]),
    ]


def _no_answer(looked: Mapping[str, Any]) -> Iterator[Finding]:
    if not looked["child"].get("answered", True):
        yield Finding(
            rule="call-in-child", level=Level.WARNING,
            what="a forked child stood still before anything of a task: what runs in it right after the fork may wait",
            todo="look at the functions that os.register_at_fork was given, and at the libraries that it is called by",
        )  # fmt: skip


def _finding(
    thread: Mapping[str, Any],
    folder: Path,
    level: Level,
    what: str,
    *evidence: str,
    rule: str = "held-lock",
    todo: str = TODO,
    made: str = "",
) -> Finding:
    file, line = words.own_place(thread["by"], folder)
    return Finding(
        rule=rule, level=level, file=file, line=line, what=what, todo=todo, evidence=evidence, made=made,
        started=words.own_frames(thread["by"], folder),
    )  # fmt: skip


def _lock(one: Mapping[str, Any], looked: Mapping[str, Any], folder: Path) -> Finding | None:
    label = visible(one["label"]) or f"a lock of {words.short(one['file'], folder)}:{one['line']}"
    if not one["ident"]:
        return _of_nobody(one, looked, folder, label)
    thread = words.thread_of(looked, one["ident"])
    where = f" at {words.short(one['file'], folder)}:{one['line']}" if one["file"] else ""
    child = "and the forked child has it locked" if one["in_child"] else "though not at the moment of our fork"
    evidence = f"held by the thread {words.name(thread)}{where} in {one['times']} of {looked['glances']} glances, {child}"
    begin = f"the thread {words.name(thread)} holds the lock {label} as the main process forks"
    if one["tasks"] and not one.get("aware"):
        what = f"{begin}: a child that wants it waits for ever, and {words.users(one['tasks'], folder)} takes it"
        return _finding(thread, folder, Level.ERROR, what, evidence, made=one["label"])
    taken = "whoever takes it may know of forks" if one["tasks"] else "no task is seen to take it"
    return _finding(thread, folder, Level.WARNING, f"{begin}; {taken}", evidence)


def _of_nobody(one: Mapping[str, Any], looked: Mapping[str, Any], folder: Path, label: str) -> Finding | None:
    """A lock that is locked, and that no thread is seen to hold: whoever is to release it."""
    if not one["in_child"] or not one["tasks"]:
        return None
    user = words.users(one["tasks"], folder)
    for thread in looked["threads"]:
        for shared in thread["shared"]:
            if shared["kind"] == "lock" and shared["label"] == one["label"]:
                what = (
                    f"the lock {label} is locked at the fork, and the thread {words.name(thread)}, which takes or releases it, "
                    f"stays in the main process: {user} waits for it for ever"
                )
                return _finding(
                    thread, folder, Level.ERROR, what, f"that thread uses it in {words.users(shared['thread'], folder)}"
                )
    return Finding(
        rule="held-lock", level=Level.WARNING, what=f"the lock {label} is locked at the fork, and {user} takes it",
        todo="release it before the worker forks",
    )  # fmt: skip


def _may_be_held(looked: Mapping[str, Any], folder: Path, seen: set[str]) -> Iterator[Finding]:
    """Locks that a thread and a task take, which were free whenever we looked."""
    for thread in looked["threads"]:
        for shared in thread["shared"]:
            if shared["kind"] != "lock" or shared["label"] in seen or shared["state"].get("locked"):
                continue
            if any(words.is_own(place[0], folder) for place in shared["thread"]):
                what = (
                    f"the thread {words.name(thread)} and {words.users(shared['tasks'], folder)} take the lock "
                    f"{visible(shared['label'])}: a fork while the thread has it makes a child that waits for ever"
                )
                yield _finding(thread, folder, Level.WARNING, what, f"it was free in {looked['glances']} glances")


def _import(one: Mapping[str, Any], looked: Mapping[str, Any], folder: Path) -> Finding:
    thread, module = words.thread_of(looked, one["ident"]), visible(one["module"])
    sure = bool(functions.known(one["tasks"]))
    child = ", and the forked child has its lock locked" if one["in_child"] else ""
    who = f": {words.users(one['tasks'], folder)} imports it, too, and waits for ever" if sure else ""
    return _finding(
        thread, folder, Level.ERROR if sure else Level.WARNING,
        f"the thread {words.name(thread)} is importing {module} as the main process forks{who}",
        f"in {one['times']} of {looked['glances']} glances{child}",
        rule="held-import", todo=f"import {module} where the module begins, or wait for the thread before the worker starts",
    )  # fmt: skip
