"""The source of a function that the look names by file and line, and what is in it. Files are read once."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from harness.applications.check.modules import tree_of
from harness.applications.check.static.names import number

MADE = ("Event", "Future", "Queue", "SimpleQueue", "Condition", "Semaphore", "Lock", "create_future", "Barrier", "AsyncResult")
WAITS = ("wait", "result", "get", "acquire", "join", "exception", "wait_for")
Place = Sequence[object]  # file, line, name
MOST_BYTES = 2_000_000


@cache
def _tree(file: str) -> ast.Module | None:
    path = Path(file)
    try:
        return tree_of(path.read_text(errors="replace")) if path.stat().st_size < MOST_BYTES else None
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def function(place: Place) -> ast.AST | None:
    """The function, or the lambda, that begins at this line; None if the file has none there."""
    tree = _tree(str(place[0]))
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if place[1] in (first, node.lineno) and node.name == place[2]:
                return node
        elif isinstance(node, ast.Lambda) and place[2] == "<lambda>" and node.lineno == place[1]:
            return node
    return None


def known(places: Iterable[Place]) -> list[ast.AST]:
    return [node for place in places if (node := function(place)) is not None]


def calls(nodes: Iterable[ast.AST], attributes: Sequence[str], named: str = "") -> Iterator[ast.Call]:
    """Calls of these methods, of an object by this name if one is given (the last part: `ready` of `self.ready`)."""
    for node in nodes:
        for each in ast.walk(node):
            if not isinstance(each, ast.Call) or not isinstance(each.func, ast.Attribute) or each.func.attr not in attributes:
                continue
            if not named or last(each.func.value) == named:
                yield each


def last(node: ast.AST) -> str:
    """
    >>> last(ast.parse("self.inbox[0]", mode="eval").body)
    'inbox'
    """
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def waits_for_reply(node: ast.AST, named: str) -> bool:
    """Whether a function makes something to wait for, hands it to this object, and waits for it, or returns it."""
    made = {
        target.id
        for each in ast.walk(node)
        if isinstance(each, ast.Assign)
        for target, value in _pairs(each)
        if isinstance(target, ast.Name) and isinstance(value, ast.Call) and last(value.func) in MADE
    }
    handed = {name for each in ast.walk(node) for name in _handed(each, named) if name in made}
    waited = {last(each.func.value) for each in calls([node], WAITS) if isinstance(each.func, ast.Attribute)}
    returned = {last(each.value) for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None}
    return bool(handed & (waited | returned))


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def _handed(node: ast.AST, named: str) -> Iterator[str]:
    """Names that go into the object: `NAMED[x] = name`, `NAMED.put((x, name))`."""
    if isinstance(node, ast.Assign) and any(isinstance(one, ast.Subscript) and last(one) == named for one in node.targets):
        yield from (each.id for each in ast.walk(node.value) if isinstance(each, ast.Name))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and last(node.func.value) == named:
        yield from (each.id for part in (*node.args, *node.keywords) for each in ast.walk(part) if isinstance(each, ast.Name))


def blocks(call: ast.Call) -> bool:
    """Whether `put` or `get` of a queue waits: not with block=False, nor by a first False of `get`."""
    for keyword in call.keywords:
        if keyword.arg == "block" and isinstance(keyword.value, ast.Constant) and not keyword.value.value:
            return False
    place = 1 if isinstance(call.func, ast.Attribute) and call.func.attr == "put" else 0
    given = call.args[place] if len(call.args) > place else None
    return not (isinstance(given, ast.Constant) and given.value is False)


def limit_s(call: ast.Call) -> float | None:
    """The seconds that a wait has, None if it has no limit, or none that is plain."""
    for keyword in call.keywords:
        if keyword.arg == "timeout":
            return number(keyword.value)
    return number(call.args[0]) if len(call.args) == 1 else None


def changes(nodes: Iterable[ast.AST], named: str) -> bool:
    """Whether these functions change a container by this name."""
    verbs = ("update", "append", "appendleft", "add", "clear", "extend", "setdefault", "insert", "pop", "popitem", "remove")
    found = list(nodes)
    if any(calls(found, verbs, named)):
        return True
    return any(
        isinstance(each, ast.Subscript) and isinstance(each.ctx, ast.Store | ast.Del) and last(each) == named
        for node in found
        for each in ast.walk(node)
    )


def calls_at(node: ast.AST) -> list[ast.Call]:
    """Every call in a function."""
    return [each for each in ast.walk(node) if isinstance(each, ast.Call)]


def bound_at(file: str, name: str) -> int:
    """The line of the statement at the top of a file that binds this name; 0 if none does."""
    tree = _tree(file)
    for node in tree.body if tree is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(each, ast.Name) and each.id == name for target in targets for each in ast.walk(target)):
            return node.lineno
    return 0
