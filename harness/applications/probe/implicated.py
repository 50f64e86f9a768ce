"""Which object of an application's own modules a stack leads through: what a code change may move, and nothing else. Pure.

The frames of a blocked thread are followed from the innermost outwards, to the first line of the application's own code that
asks an object of some module's top level: by the call that leads to the next frame inwards, if one on that line does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath

FRAME = re.compile(r"(?P<function>\S+) \((?P<file>[^():]+\.py):(?P<line>\d+)\)$")
#: what tells of other threads, or keeps them apart: a new one in each child has nobody who sets it
BETWEEN_THREADS = frozenset({
    "Barrier", "BoundedSemaphore", "Condition", "Event", "JoinableQueue", "LifoQueue", "Lock", "PriorityQueue", "Queue",
    "RLock", "Semaphore", "SimpleQueue", "Thread", "Timer",
})  # fmt: skip
NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
Names = dict[str, frozenset[str]]  # by a module's path


def implicated(sources: Mapping[str, str], frames: Sequence[str]) -> Names:
    """The names, by the module that binds them; empty if the stack leads through none.

    `sources`: text by path below the application's folder; `frames`: as py-spy prints them, innermost first.
    """
    trees, inner = parsed(sources), ""
    for frame in frames:
        told = FRAME.search(frame)
        if told is None:
            continue
        for path in _paths(trees, told["file"]):
            if found := _of_line(trees, path, int(told["line"]), inner):
                return found
        inner = told["function"].rpartition(".")[2]
    return {}


def _paths(trees: Mapping[str, ast.Module], file: str) -> list[str]:
    """The module that a shortened name means; none if several may be meant."""
    found = [path for path in trees if path == file] or [path for path in trees if path.endswith(f"/{file}")]
    return found if len(found) == 1 else []


def _of_line(trees: Mapping[str, ast.Module], path: str, line: int, inner: str) -> Names:
    """The object whose call leads to the frame `inner`. If no call on the line bears that name, for a library may wrap its
    functions, the only object that is called on at all.
    """
    calls = [node.func for node in ast.walk(trees[path]) if isinstance(node, ast.Call) and _covers(node, line)]
    leading = [call for call in calls if inner and _leads(ast.unparse(call).rpartition(".")[2], inner)]
    found = {each for call in leading or calls for each in _asked(trees, path, call)}
    return {where: frozenset({name}) for where, name in found} if len(found) == 1 else {}


def _leads(name: str, inner: str) -> bool:
    """Whether a call by this name may be of the function `inner`; a wrapper is named after what it wraps.

    >>> _leads("search", "search"), _leads("search", "replacement_search"), _leads("tag", "encode")
    (True, True, False)
    """
    return name == inner or inner.endswith(f"_{name}")


def _covers(node: ast.expr | ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _asked(trees: Mapping[str, ast.Module], path: str, part: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of the objects that are read here: of this module, of another by name, or as `module.name`."""
    own, taken, modules = objects(trees[path]), _taken(trees, path), _modules(trees, path)
    for node in ast.walk(part):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in own:
                yield path, node.id
            elif node.id in taken:
                yield taken[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            where = modules.get(node.value.id, "")
            if where and node.attr in objects(trees[where]):
                yield where, node.attr


def objects(tree: ast.Module) -> frozenset[str]:
    """Names that a module's top level binds to what a call gives."""
    targets = [target for target, value in _bound(tree.body) if _is_made(value)]
    return frozenset(each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))


def _bound(statements: Iterable[ast.stmt]) -> Iterator[tuple[ast.expr, ast.expr]]:
    """(target, what is bound to it), with a type or without, also inside a `try`, an `if`, a `with` and a loop."""
    for node in statements:
        if isinstance(node, ast.Assign):
            yield from ((target, node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target, node.value
        else:
            yield from _bound(_inside(node))


def _inside(node: ast.stmt | ast.excepthandler) -> Iterator[ast.stmt]:
    """The statements of a compound one that run as it runs; none of a function, a class, or what runs in a script alone."""
    if isinstance(node, NESTED) or (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.excepthandler):
            yield from _inside(child)


def _is_made(value: ast.expr) -> bool:
    """Whether a call gives it. The Celery application itself is no object to move, nor is what threads tell each other by."""
    calls = [_last(node) for node in ast.walk(value) if isinstance(node, ast.Call)]
    return bool(calls) and "Celery" not in calls and not (isinstance(value, ast.Call) and _last(value) in BETWEEN_THREADS)


def _last(call: ast.Call) -> str:
    """'Thread', of a call of threading.Thread."""
    return ast.unparse(call.func).rpartition(".")[2]


def started(tree: ast.Module) -> list[ast.stmt]:
    """Statements of a module's top level that start a thread of Python's."""
    plain = [node for node in tree.body if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.For | ast.If)]
    threads = {
        target.id
        for target, value in _bound(plain)
        if isinstance(value, ast.Call) and _last(value) in ("Thread", "Timer") and isinstance(target, ast.Name)
    }
    return [node for node in plain if any(_starts(part, threads) for part in ast.walk(node))]


def _starts(node: ast.AST, threads: set[str]) -> bool:
    """Whether it is `Thread(…).start()`, or `name.start()` of one of these names."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "start":
        return False
    whose = node.func.value
    return (isinstance(whose, ast.Name) and whose.id in threads) or (
        isinstance(whose, ast.Call) and _last(whose) in ("Thread", "Timer")
    )


def _imports(tree: ast.Module) -> Iterator[tuple[str, ast.alias]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (("", alias) for alias in node.names)


def _named(trees: Mapping[str, ast.Module], module: str) -> str:
    """The path of a module by the end of its dotted name; '' if there is none, or several."""
    last = module.rpartition(".")[2]
    found = [path for path in trees if module and PurePath(path).stem == last]
    return found[0] if len(found) == 1 else ""


def _taken(trees: Mapping[str, ast.Module], path: str) -> dict[str, tuple[str, str]]:
    """Names imported from another module of the application that are objects there."""
    found = {}
    for module, alias in _imports(trees[path]):
        where = _named(trees, module)
        if where and alias.name in objects(trees[where]):
            found[alias.asname or alias.name] = (where, alias.name)
    return found


def _modules(trees: Mapping[str, ast.Module], path: str) -> dict[str, str]:
    """Names under which this module knows another one of the application."""
    found = {}
    for _, alias in _imports(trees[path]):
        if where := _named(trees, alias.name):
            found[alias.asname or alias.name.partition(".")[0]] = where
    return found


def parsed(sources: Mapping[str, str]) -> dict[str, ast.Module]:
    """Those that can be read as Python."""
    found = {}
    for path, text in sources.items():
        try:
            found[path] = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
    return found
