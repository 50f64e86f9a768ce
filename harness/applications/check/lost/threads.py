"""Threads of Python's that a forked child lacks, by what its tasks expect of them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.applications.check import functions
from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible

TODO = "start the thread in a function that the first task of each process calls, or in worker_process_init"
TAKES = ("get", "get_nowait", "popleft", "pop")
ANSWERS = ("set", "set_result", "set_exception", "put", "put_nowait", "notify", "notify_all", "release", "cancel")
GRAVE = {Level.ERROR: 0, Level.WARNING: 1, Level.NOTE: 2}


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    result = []
    for thread in looked["threads"]:
        told = [one for shared in thread["shared"] if (one := _shared(thread, shared, folder)) is not None]
        told.sort(key=lambda one: GRAVE[one.level])
        result += told[:1] if told and told[0].level is not Level.ERROR else [one for one in told if one.level is Level.ERROR]
        if not told:
            result.append(_alone(thread, folder))
    return result


def _alone(thread: Mapping[str, Any], folder: Path) -> Finding:
    file, line = words.own_place(thread["by"], folder)
    return Finding(
        rule="lost-thread", level=Level.NOTE, file=file, line=line,
        what=f"the thread {words.name(thread)} runs in the main process alone; no task is seen to wait for it",
        todo="nothing, if it is to run once per worker; if each process needs it, start it in worker_process_init",
        evidence=_evidence(thread, folder),
    )  # fmt: skip


def _evidence(thread: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    stands = words.frame(thread["stands"], folder)
    return (f"the thread stands in {stands}{words.begun(thread, folder)}",) if stands else ()


def _shared(thread: Mapping[str, Any], shared: Mapping[str, Any], folder: Path) -> Finding | None:
    """What the fork does to one object that a task and this thread use; None if nothing."""
    tasks, theirs = functions.known(shared["tasks"]), functions.known(shared["thread"])
    named = str(shared["label"]).rpartition(".")[2].partition(" ")[0]
    judge = {
        "Event": _event, "Condition": _condition, "Semaphore": _semaphore, "Queue": _queue, "SimpleQueue": _queue,
        "container": _container, "Future": _future,
    }.get(shared["kind"])  # fmt: skip
    level, what = judge(shared, named, tasks, theirs) if judge is not None else (None, "")
    if level is None:
        return None
    file, line = words.own_place(thread["by"], folder)
    label, user = visible(str(shared["label"])), words.users(shared["tasks"], folder)
    return Finding(
        rule="lost-thread", level=level, file=file, line=line, todo=TODO, evidence=_evidence(thread, folder),
        what=what.format(thread=words.name(thread), label=label, user=user),
    )  # fmt: skip


Judged = tuple[Level | None, str]
Nodes = list[ast.AST]
NOTHING: Judged = (None, "")


def _event(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    waits = [*functions.calls(tasks, ("wait",), named)]
    if shared["state"].get("set") or not waits or not any(functions.calls(theirs, ("set",))):
        return NOTHING
    limits = [limit for one in waits if (limit := functions.limit_s(one)) is not None]
    how = (
        f"waits for {{label}} {limits[0]:g} s in vain, each time" if len(limits) == len(waits) else "waits for {label} for ever"
    )
    return Level.ERROR, f"the thread {{thread}}, which sets {{label}}, stays in the main process: in each child {{user}} {how}"


def _condition(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    if any(functions.calls(tasks, ("wait", "wait_for"), named)) and any(functions.calls(theirs, ("notify", "notify_all"))):
        return Level.ERROR, "the thread {thread}, which notifies {label}, stays in the main process: {user} waits for it"
    return NOTHING


def _semaphore(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    if any(functions.calls(tasks, ("acquire",), named)) and any(functions.calls(theirs, ("release",))):
        return Level.ERROR, "the thread {thread}, which releases {label}, stays in the main process: {user} waits for it"
    return NOTHING


def _future(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    if any(functions.calls(tasks, ("result", "exception"), named)) and any(
        functions.calls(theirs, ("set_result", "set_exception"))
    ):
        return Level.ERROR, "the thread {thread}, which ends {label}, stays in the main process: {user} waits for it"
    return NOTHING


def _queue(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    taken, given = [*functions.calls(theirs, TAKES)], [*functions.calls(theirs, ("put", "put_nowait"))]
    puts = [*functions.calls(tasks, ("put",), named)]
    gets = [one for one in functions.calls(tasks, ("get",), named) if functions.blocks(one)]
    if taken and (
        any(functions.waits_for_reply(node, named) for node in tasks) or any(functions.calls(tasks, ("join",), named))
    ):
        return Level.ERROR, (
            "the thread {thread}, which takes from {label} and answers, stays in the main process: in each child {user} waits for "
            "its answer for ever"
        )
    if given and gets:
        return Level.ERROR, "the thread {thread}, which puts into {label}, stays in the main process: {user} waits for it"
    most = shared["state"].get("most")
    if taken and most and any(functions.blocks(one) for one in puts):
        return Level.ERROR, (
            f"the thread {{thread}}, which takes from {{label}}, stays in the main process: in each child {{user}} waits for ever as "
            f"soon as {most} are in it"
        )
    if taken and puts:
        return Level.WARNING, (
            "the thread {thread}, which takes from {label}, stays in the main process: what {user} puts there in a child, nobody takes"
        )
    return NOTHING


def _container(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    if any(functions.waits_for_reply(node, named) for node in tasks) and any(functions.calls(theirs, ANSWERS)):
        return Level.ERROR, (
            "the thread {thread}, which answers what stands in {label}, stays in the main process: in each child {user} waits for "
            "its answer for ever"
        )
    if functions.changes(theirs, named):
        return Level.WARNING, (
            "the thread {thread}, which keeps {label} up to date, stays in the main process: each child has it as it was at the "
            "fork, and {user} reads it"
        )
    return NOTHING
