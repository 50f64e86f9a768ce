"""Executors, pools of multiprocessing and event loops: their threads stay in the main process, and they do not notice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check import functions
from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible

COUNTS_IDLE = [3, 8]  # since this Python an executor starts no thread while it believes one to be idle
HANDED = ("run_coroutine_threadsafe", "call_soon_threadsafe")


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    return [one for _, one in _judged(looked, folder)]


def served(looked: Mapping[str, Any], folder: Path) -> dict[int, str]:
    """{ident of a thread: label of the pool or loop that it serves}, of those that something is found of."""
    return {ident: str(each["label"]) for each, _ in _judged(looked, folder) for ident in each["state"].get("idents", ())}


def _judged(looked: Mapping[str, Any], folder: Path) -> Iterator[tuple[Mapping[str, Any], Finding]]:
    judge = {"Executor": _executor, "Pool": _pool, "loop": _loop}
    for each in looked["pools"]:
        if each["tasks"] and (one := judge[each["kind"]](each, folder)) is not None:
            yield each, one


def _finding(each: Mapping[str, Any], folder: Path, level: Level, what: str) -> Finding:
    if each["aware"]:
        level, what = words.unless(level, what, words.AWARE)
    file, line = words.made_at(each["label"], folder)
    return Finding(
        rule="lost-pool", level=level, file=file, line=line, todo=words.FIRST_TASK, made=each["label"],
        what=what.format(label=visible(each["label"]), user=words.users(each["tasks"], folder)),
    )  # fmt: skip


def _executor(each: Mapping[str, Any], folder: Path) -> Finding | None:
    state = each["state"]
    if state["processes"]:
        if not state["managed"]:
            return None
        what = "the process pool {label} is in use before the fork: in each child {user} waits for its manager thread for ever"
        return _finding(each, folder, Level.ERROR, what)
    threads, idle, most = state["threads"], state["idle"] or 0, state["most"] or 0
    if not threads:
        return None
    if threads >= most or (state["python"] >= COUNTS_IDLE and idle > 0):
        what = (
            f"the executor {{label}} has {threads} of {most} threads before the fork, {idle} of them idle: in a child it "
            "starts none, and {user} waits for ever"
        )
        return _finding(each, folder, Level.ERROR, what)
    return _finding(
        each, folder, Level.WARNING, f"the executor {{label}} has {threads} threads before the fork; {{user}} uses it"
    )


def _pool(each: Mapping[str, Any], folder: Path) -> Finding:
    what = "the pool {label} was made before the fork: in each child {user} waits for its handler threads for ever"
    return _finding(each, folder, Level.ERROR, what)


def _loop(each: Mapping[str, Any], folder: Path) -> Finding | None:
    if not each["state"]["running"]:
        return None
    names = {functions.last(node.func) for one in functions.known(each["tasks"]) for node in functions.calls_at(one)}
    if names & set(HANDED):
        what = "the event loop {label} runs in a thread that stays in the main process: {user} waits for it for ever"
        return _finding(each, folder, Level.ERROR, what)
    return _finding(each, folder, Level.WARNING, "the event loop {label} runs in a thread of the main process; {user} uses it")
