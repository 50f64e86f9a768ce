"""The change of code that makes an object in each process, for errors that name one: `probe.code_change`, asked beforehand."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.check.static import names
from harness.applications.probe import code_change
from harness.applications.probe.implicated import objects

Moved = Sequence[tuple[int, int]]  # (first, last) line of each statement that moves
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: what these make is a plain value: nothing of it is lost by a fork
VALUES = frozenset({
    "os", "pathlib", "urllib", "json", "numpy", "pandas", "str", "int", "float", "bool", "bytes", "dict", "list", "tuple",
    "set", "frozenset", "sorted", "len", "range", "re", "datetime", "",
})  # fmt: skip


def proposed(found: Iterable[Finding], sources: Sequence[Source]) -> list[Finding]:
    """With a diff, or with what stands in its way, at each error whose object one of these modules makes."""
    return [_with_change(one, sources) if one.level is Level.ERROR and one.made else one for one in found]


def _with_change(one: Finding, sources: Sequence[Source]) -> Finding:
    source, name = made_in(one.made, sources)
    if source is None or name not in objects(source.tree):
        return one
    texts = {each.path: each.text for each in sources}
    asked, why_not = frozenset({name}), ""
    while True:
        change = next(iter(code_change.propose(texts, {source.path: asked})), None)
        if change is None:
            return one
        why_not = change.why_not or leaves(one, source, change.moved)
        more = asked | _behind(one, source, change.moved) if why_not and not change.why_not else asked
        if more == asked:
            break
        asked = more  # with what starts the thread
    return replace(one, todo=f"{one.todo}; no diff is made, for {why_not}") if why_not else replace(one, diff=change.diff)


def leaves(one: Finding, source: Source, moved: Moved) -> str:
    """What is lost would stay in the main process, if these lines moved: why, in words; '' if all that is known of moves."""
    if one.started is not None:
        line = _start(one, source)
        if not line:
            return "no line of this module starts the thread as it is imported; start both in one function by hand"
        if not any(begin <= line <= end for begin, end in moved):
            return f"line {line} starts the thread, and would stay in the main process; move both by hand"
    moving, staying = _parted(source, moved)
    known = names.aliases(source.tree)
    if one.rule == "lost-engine":
        packages = {full.partition(".")[0] for full in known.values()}
        engines = {_root(call, known) for call in _calls(moving)} & packages
        for each in staying:
            if any(_root(call, known) in engines for call in _calls([each])):
                return (
                    f"line {each.lineno} computes with the same package, and would stay in the main process; move both by hand"
                )
    elif taken := sorted(_objects_of(staying, known) & _handed(moving)):
        return f"it is made of {', '.join(taken)}, which would stay in the main process; move both by hand"
    return ""


def _start(one: Finding, source: Source) -> int:
    """The line of the module's top level that led to the thread's start; 0 if none of this module did."""
    top = [place for place in one.started or () if place[2] == "<module>"]
    return top[0][1] if top and top[0][0] == source.path else 0


def _parted(source: Source, moved: Moved) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The statements of the top level that move, and those that stay."""
    moving = [each for each in source.tree.body if any(begin <= each.lineno <= end for begin, end in moved)]
    return moving, [each for each in source.tree.body if each not in moving]


def _behind(one: Finding, source: Source, moved: Moved) -> frozenset[str]:
    """The objects that have to move, too: those which the line asks that starts the thread, and what the moved are made of."""
    line = _start(one, source)
    there = [each for each in source.tree.body if each.lineno <= line <= (each.end_lineno or each.lineno)]
    read = {node.id for each in there for node in ast.walk(each) if isinstance(node, ast.Name)}
    read |= _handed(_parted(source, moved)[0]) if one.rule != "lost-engine" else set()
    return frozenset(read & _objects_of(source.tree.body, names.aliases(source.tree)))


def _root(call: ast.Call, known: dict[str, str]) -> str:
    return names.full(call.func, known).partition(".")[0]


def _calls(statements: Iterable[ast.stmt]) -> list[ast.Call]:
    running = [node for each in statements if not isinstance(each, FUNCTIONS) for node in names.running(each)]
    return [node for node in running if isinstance(node, ast.Call)]


def _objects_of(statements: Iterable[ast.stmt], known: dict[str, str]) -> frozenset[str]:
    """Names that are bound to what a call gives, but for what is a plain value."""
    return frozenset(
        target.id
        for each in statements
        if isinstance(each, ast.Assign | ast.AnnAssign) and isinstance(each.value, ast.Call)
        and _root(each.value, known) not in VALUES
        for target in (each.targets if isinstance(each, ast.Assign) else [each.target])
        if isinstance(target, ast.Name)
    )  # fmt: skip


def _handed(statements: Iterable[ast.stmt]) -> set[str]:
    """Names that calls are given as they are."""
    given = [part.value if isinstance(part, ast.keyword) else part
             for call in _calls(statements) for part in (*call.args, *call.keywords)]  # fmt: skip
    return {each.id for each in given if isinstance(each, ast.Name)}


def made_in(label: str, sources: Sequence[Source]) -> tuple[Source | None, str]:
    """The module that makes an object, and its name there: of 'shop.store.STORE.pool' the module shop.store, and STORE."""
    fitting = [one for one in sources if label.startswith(f"{one.module}.")]
    source = max(fitting, key=lambda one: len(one.module), default=None)
    name = label[len(source.module) + 1 :].partition(".")[0] if source is not None else ""
    return source, name
