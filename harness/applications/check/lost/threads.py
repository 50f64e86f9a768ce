"""Threads of Python's that a forked child lacks, by what its tasks expect of them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.applications.check import functions, polling, unset, waiting
from harness.applications.check.finding import ORDER, Finding, Level, Place
from harness.applications.check.lost import pools, words
from harness.texts import visible

TODO = "start the thread in a function that the first task of each process calls, or in worker_process_init"
TAKES = ("get", "get_nowait", "popleft", "pop")
PUTS = ("put", "put_nowait")
ANSWERS = ("set", "set_result", "set_exception", "put", "put_nowait", "notify", "notify_all", "release", "cancel")
WORTH_S = 0.1  # of a wait: who waits for less only looks
STAYS = "stays in the main process"
SOON = "as soon as"  # so one call need not show it
NEEDS = "in each child {user} needs it in vain, for nobody does so there"
LOOPS = "in each child {user} asks for it in a loop, for ever"
JOINS = "in each child {user} waits for ever until all is taken"

Judged = tuple[Level | None, str]  # how grave, and what: a text with {thread}, {label} and {user}
Nodes = list[ast.AST]
Judge = Callable[[Mapping[str, Any], str, Nodes, Nodes], Judged]
NOTHING: Judged = (None, "")
CHANGED: Judged = (
    Level.WARNING,
    f"the thread {{thread}}, which changes {{label}}, {STAYS}: each child has it as it was at the fork, and {{user}} reads it",
)


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
    named = words.named(str(shared["label"]))
    judge, users = JUDGES.get(shared["kind"], _nothing), words.places(shared["tasks"])
    level, what = judge(shared, named, tasks, theirs)
    if level is None:
        (level, what), users = _handed_on(shared, named, theirs, judge)
    if level is not Level.ERROR and (asking := polling.endless(shared, named)):
        does = polling.DOES[shared["kind"]]
        level, what, users = Level.ERROR, f"the thread {{thread}}, which {does} {{label}}, {STAYS}: {LOOPS}", asking
    elif level is not Level.ERROR and (raising := unset.raising(shared, named)):
        does = polling.DOES[shared["kind"]]
        level, what, users = Level.ERROR, f"the thread {{thread}}, which {does} {{label}}, {STAYS}: {NEEDS}", raising
    if level is None:
        return None
    if shared.get("aware"):
        level, what = words.unless(level, what, words.AWARE)
    if thread.get("again"):
        level, what = words.unless(level, what, "it is started again there, as the source has it")
    file, line = words.own_place(thread["by"], folder)
    told = what.format(
        thread=words.name(thread), label=visible(str(shared["label"])), user=words.users(users, folder)
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
        users=() if SOON in what else users,
        started=words.own_frames(thread["by"], folder),
    )


def _handed_on(shared: Mapping[str, Any], named: str, theirs: Nodes, judge: Judge) -> tuple[Judged, tuple[Place, ...]]:
    """What a task makes with an object, such as a client that each process makes for itself, may wait as the task would;
    and who does so."""
    for file, line, function in words.places(shared["tasks"]):
        node = functions.function((file, line, function))
        for methods, attribute in functions.handed_on(node, named) if node is not None else ():
            if attribute and any(functions.calls(methods, TAKES, attribute)):
                return NOTHING, ()  # it does in the child what the thread does
            if attribute:
                level, what = judge(shared, attribute, list[ast.AST](methods), theirs)
                if level is not None:
                    using = [one for one in methods if any(functions.last(each) == attribute for each in ast.walk(one))]
                    return (level, what), tuple((file, one.lineno, one.name) for one in using if one.name != "__init__")
            elif shared["kind"] in ("Queue", "SimpleQueue") and any(functions.calls(theirs, TAKES)):
                vain = "in a child nobody takes what is put into it by what {user} hands it to"
                what = f"the thread {{thread}}, which takes from {{label}}, {STAYS}: {vain}"
                return (Level.WARNING, what), ((file, line, function),)
    return NOTHING, ()


def _event(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    limits = waiting.of(tasks, ("wait",), named)
    if not limits or not any(functions.calls(theirs, ("set",))):
        return NOTHING
    longest, cleared = waiting.longest(limits), any(functions.calls(tasks, ("clear",), named))
    if shared["state"].get("set") and not cleared:
        return NOTHING
    level, waits = waiting.told(longest, "clears it, and waits for it" if cleared else "waits for it")
    if longest is not None and longest < WORTH_S:
        level = Level.NOTE  # who waits for so short a time only looks
    what = f"the thread {{thread}}, which sets {{label}}, {STAYS}: in each child {{user}} {waits}"
    return _unless_others(shared, named, ("wait",), ("set",), (level, what))


def _told(waits: tuple[str, ...], tells: tuple[str, ...], what: str) -> Judge:
    """The judge of what a task waits for by one of some methods, and a thread ends that wait by one of some others."""

    def judge(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
        limits = waiting.of(tasks, waits, named)
        if not limits or shared["state"].get("done") or not any(functions.calls(theirs, tells)):
            return NOTHING
        level, in_words = waiting.told(waiting.longest(limits))
        told = f"the thread {{thread}}, which {what} {{label}}, {STAYS}: in each child {{user}} {in_words}"
        return _unless_others(shared, named, waits, tells, (level, told))

    return judge


def _unless_others(shared: Mapping[str, Any], named: str, waits: Sequence[str], tells: Sequence[str], judged: Judged) -> Judged:
    """Of a wait that somebody else may end in a child: worker_process_init, a method that is kept for it, a time limit."""
    level, what = judged
    if level is Level.ERROR and polling.others_tell(shared, named, waits, tells):
        return words.unless(level, what, words.OTHERS)
    return judged


def _semaphore(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    level, what = RELEASED(shared, named, tasks, theirs)
    left = shared["state"].get("value")
    if level is not None and left and any(functions.calls(tasks, ("release",), named)):
        return _given_back("releases")
    return _until(left, (level, what))


def _until(left: int | None, judged: Judged) -> Judged:
    """That the wait begins once what is there is used up."""
    level, what = judged
    if level is not Level.ERROR or not left:
        return judged
    return level, f"{what}, {SOON} {left} {'is' if left == 1 else 'are'} taken"


def _given_back(what: str) -> Judged:
    """Of tasks that give back themselves what they take, as from a pool of models, and find something there."""
    has = "what it has at the fork, no child gets back"
    return Level.WARNING, f"the thread {{thread}}, which {what} {{label}} as {{user}} does, {STAYS}: {has}"


def _queue(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    taken, given = any(functions.calls(theirs, TAKES)), any(functions.calls(theirs, PUTS))
    both = all(any(functions.calls(tasks, methods, named)) for methods in (TAKES, PUTS))
    if both and shared["state"].get("size"):
        return _given_back("puts into") if given else NOTHING
    found = [*_answered(named, tasks, "takes from {label} and answers")] if taken else []
    if taken and any(functions.calls(tasks, ("join",), named)):
        found.append((Level.ERROR, f"the thread {{thread}}, which takes from {{label}}, {STAYS}: {JOINS}"))
    if given and (limits := waiting.of(tasks, ("get",), named)):
        level, waits = _until(shared["state"].get("size"), waiting.told(waiting.longest(limits)))
        what = f"the thread {{thread}}, which puts into {{label}}, {STAYS}: in each child {{user}} {waits}"
        found.append(_unless_others(shared, named, ("get",), PUTS, (level, what)))
    if taken:
        found += _full(shared["state"].get("most"), waiting.of(tasks, ("put",), named))
        if any(functions.calls(tasks, PUTS, named)):
            vain = "in a child nobody takes what {user} puts"
            found.append((Level.WARNING, f"the thread {{thread}}, which takes from {{label}}, {STAYS}: {vain}"))
    return next((one for one in found if one[0] is Level.ERROR), found[0] if found else NOTHING)


def _answered(named: str, tasks: Nodes, what: str) -> Iterator[Judged]:
    """That tasks hand something over with what the answer comes by, and wait for that."""
    limits = [limit for node in tasks for limit in waiting.for_reply(node, named)]
    if limits:
        level, waits = waiting.told(waiting.longest(limits), "waits for its answer")
        yield level, f"the thread {{thread}}, which {what}, {STAYS}: in each child {{user}} {waits}"


def _full(most: int | None, limits: Sequence[waiting.Limit]) -> Iterator[Judged]:
    """That a queue with a limit is full, if it makes tasks wait for long."""
    level, waits = waiting.told(waiting.longest(limits), "waits")
    if most and level is Level.ERROR:
        full = f"in each child {{user}} {waits}, {SOON} {most} are in it"
        yield level, f"the thread {{thread}}, which takes from {{label}}, {STAYS}: {full}"


def _container(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    for judged in _answered(named, tasks, "answers what stands in {label}") if any(functions.calls(theirs, ANSWERS)) else ():
        return judged
    return CHANGED if functions.changes(theirs, named) else NOTHING


def _holder(_shared: Mapping[str, Any], _named: str, _tasks: Nodes, _theirs: Nodes) -> Judged:
    return CHANGED


def _owner(shared: Mapping[str, Any], named: str, tasks: Nodes, theirs: Nodes) -> Judged:
    return (
        Level.WARNING,
        f"the thread {{thread}} of {{label}} {STAYS}: what it does there for {{user}}, it does not do in a child",
    )


def _nothing(_shared: Mapping[str, Any], _named: str, _tasks: Nodes, _theirs: Nodes) -> Judged:
    return NOTHING


RELEASED = _told(("acquire",), ("release",), "releases")
JUDGES: Mapping[str, Judge] = {
    "Event": _event,
    "Condition": _told(("wait", "wait_for"), ("notify", "notify_all"), "notifies"),
    "Semaphore": _semaphore,
    "Future": _told(("result", "exception"), ("set_result", "set_exception"), "ends"),
    "Queue": _queue,
    "SimpleQueue": _queue,
    "container": _container,
    "owner": _owner,
    "holder": _holder,
    "name": _holder,
}
