"""The source of a function that the look names by file and line, and what is in it. Files are read once."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from harness.applications.check.modules import tree_of

MADE = ("Event", "Future", "Queue", "SimpleQueue", "Condition", "Semaphore", "Lock", "create_future", "Barrier", "AsyncResult")
WAITS = ("wait", "result", "get", "acquire", "join", "exception", "wait_for")
PROPERTIES = ("property", "cached_property")
RUN_BY_CELERY = ("run", "__call__")  # methods of a task
Place = Sequence[object]  # file, line, name
Function = ast.FunctionDef | ast.AsyncFunctionDef
MOST_BYTES = 2_000_000
HOMES: dict[ast.AST, ast.Module] = {}  # of the functions that were found, which `_tree` keeps


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
    found = _function(tree, place)
    if found is not None and tree is not None:
        HOMES[found] = tree
    return found


def home(node: ast.AST) -> ast.Module | None:
    """The file that a function was found in."""
    return HOMES.get(node)


def _function(tree: ast.Module | None, place: Place) -> ast.AST | None:
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if place[1] in (first, node.lineno) and node.name == place[2]:
                return node
        elif isinstance(node, ast.Lambda) and place[2] == "<lambda>" and node.lineno == place[1]:
            return node
    return None


def origins(tree: ast.Module | None) -> dict[str, str]:
    """The root of the module that each name of a file is imported from; '' of its own functions, of which nobody knows.

    >>> origins(ast.parse("from time import sleep as rest; import os.path; work = lambda: 0"))
    {'rest': 'time', 'os': 'os'}
    """
    found = dict[str, str]()
    for each in ast.walk(tree) if tree is not None else ():
        if isinstance(each, ast.Import):
            found.update((one.asname or one.name.partition(".")[0], one.name.partition(".")[0]) for one in each.names)
        elif isinstance(each, ast.ImportFrom):
            found.update((one.asname or one.name, (each.module or "").partition(".")[0]) for one in each.names)
        elif isinstance(each, ast.FunctionDef | ast.ClassDef):
            found[each.name] = ""
    return found


def is_run(node: ast.AST, others: Iterable[ast.AST], bases: Iterable[str]) -> bool:
    """Whether it runs where it is called, as far as the source tells: a function that is given to another one may run in a
    thread, and a method is called by one of these functions, or in the same file, of what goes by these names."""
    name, tree = getattr(node, "name", ""), home(node)
    if not name or tree is None:
        return True
    given = (part for call in calls_at(tree) for part in (*call.args, *(each.value for each in call.keywords)))
    is_named = any(last(one) in PROPERTIES for one in getattr(node, "decorator_list", ()))  # what it gives is given, then
    if not is_named and any(isinstance(part, ast.Name | ast.Attribute) and last(part) == name for part in given):
        return False
    if name in RUN_BY_CELERY or not any(isinstance(each, ast.ClassDef) and node in each.body for each in ast.walk(tree)):
        return True
    used = [
        each for other in (*others, tree) for each in ast.walk(other) if isinstance(each, ast.Attribute) and each.attr == name
    ]
    called = {id(call.func) for other in (*others, tree) for call in calls_at(other)}
    plain = bool(getattr(node, "decorator_list", ()))  # a property is only named
    return any(last(each.value) in bases and (plain or id(each) in called) for each in used)


def known(places: Iterable[Place]) -> list[ast.AST]:
    return [node for place in places if (node := function(place)) is not None]


def calls(nodes: Iterable[ast.AST], attributes: Sequence[str], named: str = "") -> Iterator[ast.Call]:
    """Calls of these methods, of an object by this name if one is given (the last part: `ready` of `self.ready`)."""
    for node in nodes:
        names = bearers(node, named) if named else ()
        for each in ast.walk(node):
            if not isinstance(each, ast.Call) or not isinstance(each.func, ast.Attribute) or each.func.attr not in attributes:
                continue
            if not named or whose(each.func.value) in names:
                yield each


def bearers(node: ast.AST, named: str) -> set[str]:
    """The names that an object by this name has in a function: also of what gives it back (`inbox()`), and what is set to it.

    >>> sorted(bearers(ast.parse("box = inbox(); box.put(1)"), "inbox()"))
    ['box', 'inbox()']
    """
    found, tree = {named}, home(node)
    for each in ast.walk(tree) if tree is not None else ():
        if isinstance(each, ast.FunctionDef) and any(
            isinstance(one, ast.Return) and one.value is not None and last(one.value) == named for one in ast.walk(each)
        ):
            found.add(f"{each.name}()")
    for each in ast.walk(node):
        if isinstance(each, ast.Assign):
            found |= {target.id for target, value in pairs(each) if isinstance(target, ast.Name) and whose(value) in found}
    return found


def whose(node: ast.AST) -> str:
    """As `last`, and `inbox()` of what a function gives back."""
    return f"{last(node.func)}()" if isinstance(node, ast.Call) and last(node.func) else last(node)


def last(node: ast.AST) -> str:
    """
    >>> last(ast.parse("self.inbox[0]", mode="eval").body)
    'inbox'
    """
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def handed(node: ast.AST, named: str) -> Iterator[str]:
    """Names that go into the object: `NAMED[x] = name`, `NAMED.put((x, name))`."""
    if isinstance(node, ast.Assign) and any(isinstance(one, ast.Subscript) and last(one) == named for one in node.targets):
        yield from (each.id for each in ast.walk(node.value) if isinstance(each, ast.Name))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and whose(node.func.value) == named:
        yield from (each.id for part in (*node.args, *node.keywords) for each in ast.walk(part) if isinstance(each, ast.Name))


def handed_on(node: ast.AST, named: str) -> Iterator[tuple[list[ast.FunctionDef], str]]:
    """(methods, the name it has there) for each class of the same file that a function makes something of with this object; no
    methods if it goes to what is not in the file, and no name if the class has no `__init__` there that keeps it."""
    tree = home(node)
    classes = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)} if tree is not None else {}
    for call in calls_at(node):
        places = [
            place for place, each in enumerate(call.args) if isinstance(each, ast.Name | ast.Attribute) and last(each) == named
        ]
        keys = [
            each.arg for each in call.keywords if isinstance(each.value, ast.Name | ast.Attribute) and last(each.value) == named
        ]
        if not places and not keys:
            continue
        kind = classes.get(last(call.func))
        methods = [each for each in kind.body if isinstance(each, ast.FunctionDef)] if kind is not None else []
        if tree is not None:
            HOMES.update(dict.fromkeys(methods, tree))
        yield methods, _kept(methods, places, keys)


def _kept(methods: Iterable[ast.FunctionDef], places: Sequence[int], keys: Sequence[str | None]) -> str:
    """The attribute under which `__init__` keeps the argument at this place, or by this name; '' if it does not."""
    for method in methods:
        if method.name == "__init__":
            names = [each.arg for each in (*method.args.args[1:], *method.args.kwonlyargs)]
            given = {names[place] for place in places if place < len(names)} | {key for key in keys if key in names}
            for each in ast.walk(method):
                if isinstance(each, ast.Assign):
                    for target, value in pairs(each):
                        if isinstance(target, ast.Attribute) and isinstance(value, ast.Name) and value.id in given:
                            return target.attr
    return ""


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


def argument(call: ast.Call, names: Sequence[str], place: int) -> ast.expr | None:
    """By keyword or by place; None if it is not given."""
    for keyword in call.keywords:
        if keyword.arg in names:
            return keyword.value
    return call.args[place] if 0 <= place < len(call.args) else None


def binds(node: ast.AST, name: str) -> bool:
    """Whether a function gives another value to a name."""
    return any(isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Store) for each in ast.walk(node))


def parameters(node: Function) -> list[str]:
    return [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def default(node: Function, name: str, trees: Iterable[ast.AST]) -> tuple[ast.expr | None, int]:
    """(the default of a parameter, unless somebody in these files gives another value; how many there call the function)."""
    callers = [call for tree in trees for call in calls_at(tree) if last(call.func) == node.name]
    names = parameters(node)
    place = names.index(name) - (names[0] in ("self", "cls"))
    if any(argument(call, (name,), place) is not None or _spreads(call) for call in callers):
        return None, len(callers)
    by_place = dict(zip([one.arg for one in node.args.args][::-1], node.args.defaults[::-1], strict=False))
    by_name = {one.arg: value for one, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value}
    return {**by_place, **by_name}.get(name), len(callers)


def _spreads(call: ast.Call) -> bool:
    """Whether it hands on arguments that do not stand there: `*args`, `**named`."""
    return any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords)


def bound_at(file: str, name: str) -> int:
    """The line of the statement at the top of a file that binds this name; 0 if none does."""
    tree = _tree(file)
    for node in tree.body if tree is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(each, ast.Name) and each.id == name for target in targets for each in ast.walk(target)):
            return node.lineno
    return 0
