"""Loops that ask again and again for what a lost thread was to bring: `while "model" not in STATE: sleep(0.1)`. Pure.

Such a loop is endless if its condition was true at the fork, if nothing else ends it (a limit, an exception, a call whose end
nobody knows), and if no function but the thread's own changes what it asks for. What is not sure is no endless loop.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.applications.check import functions
from harness.applications.check.finding import Place
from harness.applications.check.functions import last
from harness.applications.check.seen import LOOKS, READS, Seen
from harness.worker.shared_objects import HOLDERS

#: by kind of object: its methods by which a thread ends the asking
ENDS = {
    "Event": ("set",), "Queue": ("put", "put_nowait"), "SimpleQueue": ("put", "put_nowait"), "Semaphore": ("release",),
    "Future": ("set_result", "set_exception"),
}  # fmt: skip
DOES = {
    "container": "changes", "Event": "sets", "Queue": "puts into", "SimpleQueue": "puts into", "Semaphore": "releases",
    "Future": "ends", "name": "sets", "owner": "changes", "holder": "changes",
}  # fmt: skip
INDIRECT = ("setattr", "globals", "vars", "exec", "__dict__", "is_alive", "isAlive")  # what it sets, or asks, the source hides
EXITS = (ast.Break, ast.Return, ast.Raise, ast.Assert, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)


def endless(shared: Mapping[str, Any], named: str) -> tuple[Place, ...]:
    """The functions of tasks in which such a loop stands, and is endless without this thread; none if that is not sure.
    `named`: how functions name the object; of an owner or another holder, its attributes are asked for."""
    names = shared["state"].get("slots", ()) if shared["kind"] in HOLDERS else (named,) if shared["kind"] in DOES else ()
    return next((found for name in names if (found := _endless(shared, name))), ())


def _endless(shared: Mapping[str, Any], named: str) -> tuple[Place, ...]:
    places = [(str(one[0]), int(one[1]), str(one[2])) for one in shared["tasks"]]
    nodes = [functions.function(place) for place in places]
    loops = [place for place, node in zip(places, nodes, strict=True) if node is not None and _loops(node, named, shared)]
    return tuple(loops) if loops and is_the_threads(shared, named) else ()


def is_the_threads(shared: Mapping[str, Any], named: str) -> bool:
    """Whether the thread alone brings it about, as far as the source tells."""
    kind, nodes = str(shared["kind"]), [functions.function(one) for one in shared["tasks"]]
    if not _changed(functions.known(shared["thread"]), named, kind):
        return False
    others = [
        (functions.function((file, line, name)), names)
        for file, line, name, names in shared.get("elsewhere", ())
        if kind not in HOLDERS or not names or (name != "__init__" and named in names)
    ]
    others += [(node, [named]) for node in nodes]
    return not any(node is None or _ends(node, names, kind) for node, names in others)


def others_tell(shared: Mapping[str, Any], named: str, waits: Sequence[str], tells: Sequence[str]) -> bool:
    """Whether another one than the thread may do what one who `waits` waits for: a function of the application's elsewhere, or
    one of tasks that does not wait itself, or hands the object on."""
    others = [(functions.function(one[:3]), one[3]) for one in shared.get("elsewhere", ())]
    if any(node is None or _hands_on(node, names) or _calls(node, tells, names) for node, names in others):
        return True
    tasks = functions.known(shared["tasks"])
    return any(_hands_on(node, [named]) for node in tasks) or any(
        _calls(node, tells, [named]) for node in tasks if not _calls(node, waits, [named])
    )


def _calls(node: ast.AST, methods: Sequence[str], names: Iterable[str]) -> bool:
    return any(any(functions.calls([node], methods, name)) for name in names)


def _hands_on(node: ast.AST, names: Sequence[str]) -> bool:
    """Whether it gives the object, or a method of it, to something else."""
    for each, up in _uses(node, names):
        inner = up[0] if up and isinstance(up[0], ast.Attribute) else each
        outer = (up[1:] if inner is not each else up)[:1]
        if any(isinstance(one, ast.Call) and one.func is not inner for one in outer):
            return True
        if any(isinstance(one, ast.keyword | ast.Return | ast.Assign | ast.List | ast.Tuple | ast.Dict) for one in outer):
            return True
    return False


def _changed(nodes: Iterable[ast.AST], named: str, kind: str) -> bool:
    """Whether the thread's functions do what the loop waits for."""
    known = list(nodes)
    if kind in ENDS:
        return any(functions.calls(known, ENDS[kind]))
    if kind == "container":
        given = {each.arg for node in known for each in ast.walk(node) if isinstance(each, ast.arg)}
        return any(functions.changes(known, name) for name in (named, *given))
    return any(sets(node, (named,)) for node in known)


def sets(node: ast.AST, names: Iterable[str]) -> bool:
    """Whether a function gives another value to one of these names, or deletes it."""
    return any(
        isinstance(each, ast.Name | ast.Attribute) and isinstance(each.ctx, ast.Store | ast.Del) and last(each) in names
        for each in ast.walk(node)
    )


def _ends(node: ast.AST, names: Sequence[str], kind: str) -> bool:
    """Whether another function may do it, as far as its source tells: what it does with the object but look at it."""
    used = {last(each) for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute)}
    if used & set(INDIRECT):
        return True
    if kind in ("name", *HOLDERS):
        return sets(node, names)
    uses = [(each, up) for each, up in _uses(node, names) if not _begins(node, each)]
    return not used & set(names) or any(not _looks(each, up, kind) for each, up in uses)


def _begins(node: ast.AST, each: ast.AST) -> bool:
    """Whether it gives a new object its own: `self.models = {}` in `__init__`."""
    gives = isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and last(each.value) == "self"
    return gives and getattr(node, "name", "") == "__init__"


def _uses(node: ast.AST, names: Sequence[str]) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    """Each place where an object by these names stands, with the nodes around it, innermost first."""
    stack: list[tuple[ast.AST, list[ast.AST]]] = [(node, [])]
    while stack:
        each, up = stack.pop()
        if isinstance(each, ast.Name | ast.Attribute) and last(each) in names:
            yield each, up
        stack += [(child, [each, *up]) for child in ast.iter_child_nodes(each)]


def _looks(each: ast.AST, up: Sequence[ast.AST], kind: str) -> bool:
    """Whether what is done with the object here leaves it as it is."""
    parent, above = (*up, each, each)[:2]
    if not isinstance(each, ast.Name | ast.Attribute) or not isinstance(each.ctx, ast.Load):
        return False
    if isinstance(parent, ast.Attribute):
        called = isinstance(above, ast.Call) and above.func is parent
        return called and parent.attr in READS.get(kind, ())
    if isinstance(parent, ast.Subscript):
        return parent.value is each and isinstance(parent.ctx, ast.Load)
    if isinstance(parent, ast.Call):
        return isinstance(parent.func, ast.Name) and parent.func.id in LOOKS and each in parent.args
    if isinstance(parent, ast.For | ast.comprehension):
        return parent.iter is each
    return isinstance(parent, ast.Compare | ast.UnaryOp | ast.If | ast.While | ast.FormattedValue)


def _loops(node: ast.AST, named: str, shared: Mapping[str, Any]) -> bool:
    seen, origins = Seen(shared, named, node), functions.origins(functions.home(node))
    run = functions.is_run(node, functions.known(shared["tasks"]), seen.bases)
    return run and any(_is_endless(each, seen, origins) for each in _reached(node, seen))


def _reached(node: ast.AST, seen: Seen) -> Iterator[ast.While]:
    """The loops that are surely come to: not those behind a condition, or in a context, of which nobody knows."""
    todo: list[ast.AST] = list(getattr(node, "body", ())) if not isinstance(node, ast.Lambda) else []
    for each in todo:
        if isinstance(each, ast.While):
            yield each
        if isinstance(each, ast.If | ast.While) and (truth := seen.truth(each.test)) is not None:
            todo += each.body if truth else each.orelse
        elif isinstance(each, ast.Try):
            todo += [*each.body, *each.finalbody]
        elif isinstance(each, ast.With) and not any(isinstance(one.context_expr, ast.Call) for one in each.items):
            todo += each.body


def _is_endless(loop: ast.While, seen: Seen, origins: Mapping[str, str]) -> bool:
    """Whether it goes round for ever, once it is reached. `origins`: see `functions.origins`."""
    if seen.truth(loop.test) is not True or loop.orelse:
        return False
    asked, todo, met = [ast.Expr(loop.test)], list[ast.AST](loop.body), False
    while todo:
        each = todo.pop()
        if isinstance(each, ast.If) and (truth := seen.truth(each.test)) is not None:
            asked.append(ast.Expr(each.test))
            todo += each.body if truth else each.orelse
        elif isinstance(each, ast.Try) and (handler := _caught(each, seen)) is not None:
            todo += [*handler.body, *each.finalbody]
            met = True
        elif isinstance(each, EXITS) or (isinstance(each, ast.Call) and not seen.passes(each, origins)):
            return False
        elif isinstance(each, ast.Subscript) and seen.word(each) == "":
            return False  # it may raise
        else:
            todo += ast.iter_child_nodes(each)
    within = [each for test in asked for each in ast.walk(test)]
    met = met or any(map(seen.is_it, within))
    return met and all(seen.passes(each, origins) for each in within if isinstance(each, ast.Call))


def _caught(node: ast.Try, seen: Seen) -> ast.ExceptHandler | None:
    """What is run of a `try` that begins with asking for what is not there: `try: return STATE["model"]`."""
    first = node.body[0]
    value = first.value if isinstance(first, ast.Assign | ast.Return | ast.Expr) else None
    while value is not None and not (raised := seen.raises(value)):
        inner = value.func if isinstance(value, ast.Call) else value
        value = inner.value if isinstance(inner, ast.Attribute | ast.Subscript) else None
    if value is None:
        return None
    for handler in node.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or last(kind) in (*raised, "Exception", "BaseException") for kind in kinds):
            return handler
    return None
