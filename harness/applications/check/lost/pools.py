"""Executors, pools of multiprocessing and event loops: their threads stay in the main process, and they do not notice."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.applications.check import functions, polling, waiting
from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import words
from harness.texts import visible

COUNTS_IDLE = [3, 8]  # since this Python an executor starts no thread while it believes one to be idle
GIVING = ("submit", "apply_async", "map_async", "starmap_async")
SUBMIT = "submit it in a function that the first task of each process calls, to an executor that is made there"
HANDED = ("run_coroutine_threadsafe", "call_soon_threadsafe")


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    return [*(one for _, one in _judged(looked, folder)), *(_future(each, folder) for each in looked["futures"])]


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
        users=words.places(each["tasks"]),
        what=what.format(label=visible(each["label"]), user=words.users(each["tasks"], folder)),
    )  # fmt: skip


def _limits(each: Mapping[str, Any]) -> list[waiting.Limit] | None:
    """How long the functions wait that use a pool or loop; None if one does more with it than to hand it work."""
    named, found = str(each["label"]).rpartition(".")[2], list[waiting.Limit]()
    for place in each["tasks"]:
        node = functions.function(place)
        if node is None:
            return None
        given = [*functions.calls([node], GIVING, named)]
        given += [one for one in functions.calls_at(node) if functions.last(one.func) in HANDED]
        seen = [functions.last(one) for one in ast.walk(node) if isinstance(one, ast.Name | ast.Attribute)]
        limits = waiting.for_work(node, given)
        if not given or limits is None or len(given) != seen.count(named):
            return None
        found += limits
    return found


def _few(each: Mapping[str, Any], idle: int) -> bool:
    """Whether each function that uses an executor is seen to hand it no more than so many before it waits for one of them."""
    named = str(each["label"]).rpartition(".")[2]
    return all(
        node is not None and 0 < waiting.handed_first(node, list(functions.calls([node], GIVING, named))) <= idle
        for node in map(functions.function, each["tasks"])
    )


def _waited(each: Mapping[str, Any], folder: Path, head: str, waits: str = "waits") -> Finding:
    """What nobody in a child does: an error, unless nobody waits for it, or not for long."""
    limits = _limits(each)
    if limits == []:
        return _finding(each, folder, Level.WARNING, f"{head}: in a child nobody does what {{user}} hands to it")
    level, waits = waiting.told(waiting.EVER if limits is None else waiting.longest(limits), waits)
    return _finding(each, folder, level, f"{head}: in each child {{user}} {waits}")


def _executor(each: Mapping[str, Any], folder: Path) -> Finding | None:
    state = each["state"]
    if state["processes"]:
        if not state["managed"]:
            return None
        head = "the process pool {label} is in use before the fork"
        return _waited(each, folder, head, "waits for its manager thread")
    threads, idle, most = state["threads"], state["idle"] or 0, state["most"] or 0
    if not threads:
        return None
    counts = state["python"] >= COUNTS_IDLE and idle > 0
    if threads >= most or counts:
        head = f"the executor {{label}} has {threads} of {most} threads before the fork, {idle} of them idle"
        if threads >= most or _few(each, idle):
            return _waited(each, folder, f"{head}, and a child starts none")
        what = f"{head}: in a child nobody does what {{user}} hands to it, until it has been handed more than {idle}"
        return _finding(each, folder, Level.WARNING, what)
    return _finding(
        each, folder, Level.WARNING, f"the executor {{label}} has {threads} threads before the fork; {{user}} uses it"
    )


def _pool(each: Mapping[str, Any], folder: Path) -> Finding:
    return _waited(each, folder, "the pool {label} was made before the fork", "waits for its handler threads")


def _future(each: Mapping[str, Any], folder: Path) -> Finding:
    """Work that was begun before the fork and is not done: the thread that does it stays in the main process."""
    named, waits, ends = words.named(str(each["label"])), ("result", "exception"), ("set_result", "set_exception")
    tasks = functions.known(each["tasks"])
    limits = [*waiting.of(tasks, waits, named), *(one for node in tasks for one in _gathered(node, named))]
    level, in_words = waiting.told(waiting.longest(limits)) if limits else (Level.WARNING, "uses it")
    head = "the future {label} is not done at the fork, and who ends it stays in the main process"
    what = f"{head}: in each child {{user}} {in_words}"
    if level is Level.ERROR and polling.others_tell(each, named, waits, ends):
        level, what = words.unless(level, what, words.OTHERS)
    elif level is Level.ERROR and _asks_first(tasks, named):
        level, what = words.unless(level, what, "that is not come to, for it asks first whether the future is done")
    elif level is Level.ERROR and any(_set_before(node, waits, named) for node in tasks):
        level, what = words.unless(level, what, "another function has set before what it asks for")
    return replace(_finding(each, folder, level, what), made="", todo=SUBMIT)


def _gathered(node: ast.AST, named: str) -> Iterator[waiting.Limit]:
    """How long a function waits for all futures that it hands to `wait` or `as_completed` of `concurrent.futures`."""
    origins = functions.origins(functions.home(node))
    loops = [each for each in ast.walk(node) if isinstance(each, ast.For | ast.comprehension)]
    left = [each for each in loops if any(isinstance(one, ast.Break | ast.Return) for one in ast.walk(each))]
    to_its_end = [each.iter for each in loops if each not in left]
    for call in functions.calls_at(node):
        root = ast.unparse(call.func).partition(".")[0]
        given = call.args[0] if call.args else call
        given = given.func.value if isinstance(given, ast.Call) and isinstance(given.func, ast.Attribute) else given
        whole = isinstance(given, ast.Name | ast.Attribute) and functions.last(given) == named
        plain = whole and not any(one.arg == "return_when" for one in call.keywords) and len(call.args) < 3
        verb = functions.last(call.func)
        waits = verb == "wait" or (verb == "as_completed" and call in to_its_end)
        if plain and waits and origins.get(root) == "concurrent":
            yield waiting.EVER if functions.argument(call, ("timeout",), 1) is None else None


def _asks_first(nodes: Iterable[ast.AST], named: str) -> bool:
    """Whether one does something else if a future is not done: `MODEL.result() if MODEL.done() else load()`."""
    within = [each for node in nodes for each in ast.walk(node)]
    tests: list[ast.AST] = [each.test for each in within if isinstance(each, ast.If | ast.IfExp)]
    tests += [one for each in within if isinstance(each, ast.BoolOp) for one in each.values[:-1]]
    return any(functions.calls(tests, ("done", "running", "cancelled"), named))


def _set_before(node: ast.AST, waits: Sequence[str], named: str) -> bool:
    """Whether it waits under a condition on what another function of its file sets: `if cls.model is None: … .result()`."""
    tests = [each.test for each in ast.walk(node) if isinstance(each, ast.If) and any(functions.calls([each], waits, named))]
    asked = {functions.last(one) for test in tests for one in ast.walk(test)} - {"", named}
    tree = functions.home(node)
    others = [each for each in ast.walk(tree) if isinstance(each, functions.Function)] if tree is not None else []
    return any(polling.sets(each, asked) for each in others if each is not node and each.name != "__init__")


def _loop(each: Mapping[str, Any], folder: Path) -> Finding | None:
    if not each["state"]["running"]:
        return None
    names = {functions.last(node.func) for one in functions.known(each["tasks"]) for node in functions.calls_at(one)}
    if names & set(HANDED):
        return _waited(each, folder, "the event loop {label} runs in a thread that stays in the main process", "waits for it")
    return _finding(each, folder, Level.WARNING, "the event loop {label} runs in a thread of the main process; {user} uses it")
