"""Tasks that surely raise without what a lost thread was to set: `LOADER.join(); return MODEL.predict(x)`. Pure.

Only what a task comes to in any case is looked at, and only in the task's own function: who calls another one may have asked
whether the thing is there. What is not sure raises nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.applications.check import functions, polling
from harness.applications.check.finding import Place
from harness.applications.check.functions import RUN_BY_CELERY, last
from harness.applications.check.seen import Seen
from harness.applications.check.static import names
from harness.worker.shared_objects import HOLDERS

#: what raises TypeError of None
TAKES_NO_NONE = ("sum", "len", "iter", "next", "sorted", "max", "min", "list", "tuple", "set", "dict", "enumerate", "reversed")
LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue, ast.Yield, ast.YieldFrom, ast.Await)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
#: what is in these is not run here, or only at times
LATER = (ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def raising(shared: Mapping[str, Any], named: str) -> tuple[Place, ...]:
    """The tasks that raise in each child; none if that is not sure."""
    kind = shared["kind"]
    asked = shared["state"].get("slots", ()) if kind in HOLDERS else (named,) if kind in ("name", "container") else ()
    return next((found for name in asked if (found := _raising(shared, name))), ())


def _raising(shared: Mapping[str, Any], named: str) -> tuple[Place, ...]:
    found = list[Place]()
    for file, line, function in shared["tasks"]:
        node = functions.function((file, line, function))
        if isinstance(node, functions.Function) and _is_task(node) and _ends_so(node.body, Seen(shared, named, node)):
            found.append((str(file), int(line), str(function)))
    return tuple(found) if found and polling.is_the_threads(shared, named) else ()


def _is_task(node: functions.Function) -> bool:
    """Whether Celery calls it: another function may be called only if the thing is there."""
    classes = [each for each in ast.walk(functions.home(node) or node) if isinstance(each, ast.ClassDef) and node in each.body]
    runs = node.name in RUN_BY_CELERY and any(map(names.is_task_class, classes))
    return runs or any(map(names.is_task_decorator, node.decorator_list))


def _ends_so(body: Sequence[ast.stmt], seen: Seen, asked: bool = False) -> bool | None:
    """True: it raises. False: it is left before, or nobody knows. None: it is gone through. `asked`: whether a condition led
    here that asks for what the thread sets."""
    for each in body:
        ended = None if isinstance(each, LATER) else _statement(each, seen, asked)
        if ended is not None:
            return ended
    return None


def _statement(each: ast.stmt, seen: Seen, asked: bool) -> bool | None:
    if isinstance(each, ast.With) and not any(isinstance(one.context_expr, ast.Call) for one in each.items):
        return _ends_so(each.body, seen, asked)
    if isinstance(each, ast.Try | ast.With | ast.Match | ast.AsyncFor | ast.AsyncWith):
        return False
    head = each.test if isinstance(each, ast.If | ast.While) else each.iter if isinstance(each, ast.For) else each
    if any(_is_vain(one, seen) for one in _surely(head)) or (isinstance(each, ast.For) and _is_none(head, seen)):
        return True
    if isinstance(each, ast.If) and (truth := seen.truth(each.test)) is not None:
        asks = any(map(seen.is_it, ast.walk(each.test)))
        return _ends_so(each.body if truth else each.orelse, seen, asked or asks)
    if isinstance(each, ast.Raise):
        return asked
    return False if any(isinstance(one, LEAVES) for one in ast.walk(each)) else None


def _surely(node: ast.AST) -> Iterator[ast.AST]:
    """What is run in any case of a simple statement, or of an expression."""
    yield node
    if isinstance(node, LATER):
        return
    if isinstance(node, ast.IfExp):
        parts: list[ast.AST] = [node.test]
    elif isinstance(node, ast.BoolOp):
        parts = [node.values[0]]
    elif isinstance(node, COMPREHENSIONS):
        parts = [node.generators[0].iter]
    else:
        parts = list(ast.iter_child_nodes(node))
    for part in parts:
        yield from _surely(part)


def _is_vain(node: ast.AST, seen: Seen) -> bool:
    """Whether it raises, for what it asks for is not there."""
    if isinstance(node, ast.Attribute | ast.Subscript) and _is_none(node.value, seen):
        return True
    if isinstance(node, COMPREHENSIONS):
        return _is_none(node.generators[0].iter, seen)
    if isinstance(node, ast.Subscript):
        return bool(seen.raises(node))
    if isinstance(node, ast.Call):
        takes = isinstance(node.func, ast.Name) and last(node.func) in TAKES_NO_NONE and bool(node.args)
        return _is_none(node.func, seen) or (takes and _is_none(node.args[0], seen))
    return False


def _is_none(node: ast.AST, seen: Seen) -> bool:
    return seen.is_it(node) and seen.word(node) == "None"
