"""Threads of Python's that a forked child lacks, by what its tasks expect of them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.applications.check import functions
from harness.applications.check.finding import ORDER, Finding, Level
from harness.applications.check.lost import pools, words
from harness.texts import visible

TODO = "start the thread in a function that the first task of each process calls, or in worker_process_init"
TAKES = ("get", "get_nowait", "popleft", "pop")
ANSWERS = ("set", "set_result", "set_exception", "put", "put_nowait", "notify", "notify_all", "release", "cancel")
WORTH_S = 0.1  # of a wait: who waits for less only looks
STAYS = "stays in the main process"
ANSWERED = f"{STAYS}: in each child {{user}} waits for its answer for ever"

Judged = tuple[Level | None, str]  # how grave, and what: a text with {thread}, {label} and {user}
Nodes = list[ast.AST]
NOTHING: Judged = (None, "")


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    served = pools.served(looked, folder)
    return [one for thread in looked["threads"] for one in _of(thread, served.get(thread["ident"], ""), folder)]


def _of(thread: Mapping[str, Any], serves: str, folder: Path) -> list[Finding]:
    """All errors that a thread makes; if it makes none, the gravest of the rest; if nothing, that it stays behind."""
    told = [one for shared in thread["shared"] if (one := _shared(thread, shared, folder)) is not None]
    errors = [one for one in told if one.level is Level.ERROR]
    return errors or sorted(told, key=lambda one: ORDER.index(one.level))[:1] or [_alone(thread, serves, folder)]


def _alone(thread: Mapping[str, Any], serves: str, folder: Path) -> Finding:
    """`serves`: the pool or loop whose thread it is, of which more is told elsewhere; '' if it is of none."""
    file, line = words.own_place(thread["by"], folder)
    who = f"it serves {visible(serves)}" if serves else "no task is seen to wait for it"
    todo = "nothing, if it is to run once per worker; if each process needs it, start it in worker_process_init"
    return Finding(
        rule="lost-thread", level=Level.NOTE, file=file, line=line, evidence=_evidence(thread, folder),
        what=f"the thread {words.name(thread)} runs in the main process alone; {who}",
        todo=f"what is said of {visible(serves)}" if serves else todo,
    )  # fmt: skip


def _evidence(thread: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    stands = words.frame(thread["stands"], folder)
    return (f"the thread stands in {stands}{words.begun(thread, folder)}",) if stands else ()


def _shared(thread: Mapping[str, Any], shared: Mapping[str, Any], folder: Path) -> Finding | None:
    """What the fork does to one object that a task and this thread use; None if nothing."""
    tasks, theirs = functions.known(shared["tasks"]), functions.known(shared["thread"])
    named = str(shared["label"]).rpartition(".")[2].partition(" ")[0]
    level, what = JUDGES[shared["kind"]](shared, named, tasks, theirs) if shared["kind"] in JUDGES else NOTHING
    if level is None:
        return None
    if shared.get("aware"):
        level, what = words.unless(level, what, words.AWARE)
    if thread.get("again"):
        level, what = words.unless(level, what, "it is started again there, as the source has it")
    file, line = words.own_place(thread["by"], folder)
    told = what.format(
        thread=words.name(thread), label=visible(str(shared["label"])), user=words.users(shared["tasks"], folder)
    )  # fmt: skip
    return Finding(
        rule="lost-thread",
        level=level,
        file=file,
        line=line,
        what=told,
        todo=TODO,
        evidence=_evidence(thread, folder),
        made=str(shared["label"]),
    )


def _event(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    waits = [one for one in functions.calls(tasks, ("wait",), named) if _is_long(functions.limit_s(one))]
    if shared["state"].get("set") or not waits or not any(functions.calls(theirs, ("set",))):
        return NOTHING
    limits = [limit for one in waits if (limit := functions.limit_s(one)) is not None]
    how = f"{limits[0]:g} s in vain, each time" if len(limits) == len(waits) else "for ever"
    return Level.ERROR, f"the thread {{thread}}, which sets {{label}}, {STAYS}: in each child {{user}} waits for it {how}"


def _is_long(limit_s: float | None) -> bool:
    return limit_s is None or limit_s >= WORTH_S


def _told(
    waits: tuple[str, ...], tells: tuple[str, ...], what: str
) -> Callable[[Mapping[str, Any], str, Nodes, Nodes], Judged]:
    """The judge of what a task waits for by one of some methods, and a thread ends that wait by one of some others."""

    def judge(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
        if any(functions.calls(tasks, waits, named)) and any(functions.calls(theirs, tells)):
            return Level.ERROR, f"the thread {{thread}}, which {what} {{label}}, {STAYS}: in each child {{user}} waits for it"
        return NOTHING

    return judge


def _queue(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    taken, given = any(functions.calls(theirs, TAKES)), any(functions.calls(theirs, ("put", "put_nowait")))
    puts = [*functions.calls(tasks, ("put",), named)]
    replied = any(functions.waits_for_reply(node, named) for node in tasks) or any(functions.calls(tasks, ("join",), named))
    most = shared["state"].get("most")
    if taken and replied:
        return Level.ERROR, f"the thread {{thread}}, which takes from {{label}} and answers, {ANSWERED}"
    if given and any(functions.blocks(one) for one in functions.calls(tasks, ("get",), named)):
        return Level.ERROR, f"the thread {{thread}}, which puts into {{label}}, {STAYS}: in each child {{user}} waits for it"
    if taken and most and any(functions.blocks(one) for one in puts):
        full = f"in each child {{user}} waits for ever as soon as {most} are in it"
        return Level.ERROR, f"the thread {{thread}}, which takes from {{label}}, {STAYS}: {full}"
    if taken and (puts or any(functions.calls(tasks, ("put_nowait",), named))):
        return (
            Level.WARNING,
            f"the thread {{thread}}, which takes from {{label}}, {STAYS}: in a child nobody takes what {{user}} puts",
        )
    return NOTHING


def _container(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    if any(functions.waits_for_reply(node, named) for node in tasks) and any(functions.calls(theirs, ANSWERS)):
        return Level.ERROR, f"the thread {{thread}}, which answers what stands in {{label}}, {ANSWERED}"
    if functions.changes(theirs, named):
        old = "each child has it as it was at the fork, and {user} reads it"
        return Level.WARNING, f"the thread {{thread}}, which changes {{label}}, {STAYS}: {old}"
    return NOTHING


def _owner(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    return (
        Level.WARNING,
        f"the thread {{thread}} of {{label}} {STAYS}: what it does there for {{user}}, it does not do in a child",
    )


JUDGES: Mapping[str, Callable[[Mapping[str, Any], str, Nodes, Nodes], Judged]] = {
    "Event": _event,
    "Condition": _told(("wait", "wait_for"), ("notify", "notify_all"), "notifies"),
    "Semaphore": _told(("acquire",), ("release",), "releases"),
    "Future": _told(("result", "exception"), ("set_result", "set_exception"), "ends"),
    "Queue": _queue,
    "SimpleQueue": _queue,
    "container": _container,
    "owner": _owner,
}
