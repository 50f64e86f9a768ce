"""Loops that ask again and again for what a lost thread was to bring: `while "model" not in STATE: sleep(0.1)`. Pure.

Such a loop is endless if its condition was true at the fork, if nothing else ends it (a limit, an exception, a call whose end
nobody knows), and if no function but the thread's own changes what it asks for. What is not sure is no endless loop.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.applications.check import functions, waiting
from harness.applications.check.finding import Place
from harness.applications.check.functions import last

#: by kind of object: its methods that change nothing for who asks, and those by which a thread ends the asking
READS = {
    "container": ("get", "keys", "values", "items", "copy", "count", "index"),
    "Event": ("is_set", "isSet", "wait"), "Queue": ("empty", "qsize", "full", "get", "get_nowait"),
    "SimpleQueue": ("empty", "qsize", "get", "get_nowait"), "Semaphore": ("acquire",),
    "Future": ("done", "result", "exception", "cancelled", "running"),
}  # fmt: skip
ENDS = {
    "Event": ("set",), "Queue": ("put", "put_nowait"), "SimpleQueue": ("put", "put_nowait"), "Semaphore": ("release",),
    "Future": ("set_result", "set_exception"),
}  # fmt: skip
DOES = {
    "container": "changes", "Event": "sets", "Queue": "puts into", "SimpleQueue": "puts into", "Semaphore": "releases",
    "Future": "ends", "name": "sets", "owner": "changes",
}  # fmt: skip
#: what takes a value and leaves it as it is
LOOKS = ("len", "bool", "str", "repr", "list", "tuple", "dict", "set", "sorted", "any", "all", "sum", "min", "max", "print")
#: what a loop may call and come back from: it waits a little, looks at a clock, or tells
PASSES = ("sleep", "time", "monotonic", "perf_counter", "debug", "info", "warning", "error", "log", *LOOKS)
INDIRECT = ("setattr", "globals", "vars", "exec", "__dict__", "is_alive", "isAlive")  # what it sets, or asks, the source hides
EXITS = (ast.Break, ast.Return, ast.Raise, ast.Assert, ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)
ORDERS: Mapping[type[ast.cmpop], Any] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
TRUTHS = {"None": False, "False": False, "falsy": False, "True": True, "truthy": True}
Truth = bool | None


def endless(shared: Mapping[str, Any], named: str) -> tuple[Place, ...]:
    """The functions of tasks in which such a loop stands, and is endless without this thread; none if that is not sure.
    `named`: how functions name the object; of an owner, its attributes are asked for."""
    names = shared["state"].get("slots", ()) if shared["kind"] == "owner" else (named,) if shared["kind"] in DOES else ()
    return next((found for name in names if (found := _endless(shared, name))), ())


def _endless(shared: Mapping[str, Any], named: str) -> tuple[Place, ...]:
    kind, places = str(shared["kind"]), [(str(one[0]), int(one[1]), str(one[2])) for one in shared["tasks"]]
    nodes = [functions.function(place) for place in places]
    loops = [place for place, node in zip(places, nodes, strict=True) if node is not None and _loops(node, named, shared)]
    if not loops or not _changed(functions.known(shared["thread"]), named, kind):
        return ()
    others = [
        (functions.function((file, line, name)), names)
        for file, line, name, names in shared.get("elsewhere", ())
        if kind != "owner" or not names or (name != "__init__" and named in names)
    ]
    others += [(node, [named]) for node in nodes]
    return () if any(node is None or _ends(node, names, kind) for node, names in others) else tuple(loops)


def _changed(nodes: Iterable[ast.AST], named: str, kind: str) -> bool:
    """Whether the thread's functions do what the loop waits for."""
    known = list(nodes)
    if kind in ENDS:
        return any(functions.calls(known, ENDS[kind]))
    if kind == "container":
        given = {each.arg for node in known for each in ast.walk(node) if isinstance(each, ast.arg)}
        return any(functions.changes(known, name) for name in (named, *given))
    return any(_is_set(node, (named,)) for node in known)


def _is_set(node: ast.AST, names: Iterable[str]) -> bool:
    return any(
        isinstance(each, ast.Name | ast.Attribute) and isinstance(each.ctx, ast.Store | ast.Del) and last(each) in names
        for each in ast.walk(node)
    )


def _ends(node: ast.AST, names: Sequence[str], kind: str) -> bool:
    """Whether another function may do it, as far as its source tells: what it does with the object but look at it."""
    used = {last(each) for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute)}
    if used & set(INDIRECT):
        return True
    if kind in ("name", "owner"):
        return _is_set(node, names)
    return not used & set(names) or any(not _looks(each, up, kind) for each, up in _uses(node, names))


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
    home = functions.home(node)
    own = {each.name for each in ast.walk(home) if isinstance(each, ast.FunctionDef)} if home is not None else set[str]()
    return any(isinstance(each, ast.While) and _is_endless(each, Seen(shared, named), own) for each in ast.walk(node))


def _is_endless(loop: ast.While, seen: Seen, own: set[str]) -> bool:
    """Whether it goes round for ever, once it is reached. `own`: names of functions of the file, of which nobody knows."""
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
        elif isinstance(each, EXITS) or (isinstance(each, ast.Call) and not seen.passes(each, own)):
            return False
        elif isinstance(each, ast.Subscript) and seen.word(each) == "":
            return False  # it may raise
        else:
            todo += ast.iter_child_nodes(each)
    within = [each for test in asked for each in ast.walk(test)]
    met = met or any(map(seen.is_it, within))
    return met and all(seen.passes(each, own) for each in within if isinstance(each, ast.Call))


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


class Seen:
    """What conditions that ask for one object come to, as it was at the fork; None if nobody knows."""

    def __init__(self, shared: Mapping[str, Any], named: str) -> None:
        self.kind, self.state = str(shared["kind"]), shared["state"]
        self.named, outer = named, str(shared["label"]).split(".")
        self.bases = frozenset((*shared.get("bases", ()), outer[-1] if self.kind == "owner" else outer[-2]))
        self.slots: Mapping[str, str] = self.state.get("slots", {})

    def is_it(self, node: ast.AST) -> bool:
        """Whether it is what the thread ends: `job.ready` is not `ready`."""
        if isinstance(node, ast.Attribute):
            return node.attr == self.named and last(node.value) in self.bases
        return isinstance(node, ast.Name) and node.id == self.named and self.kind != "owner"

    def passes(self, call: ast.Call, own: set[str]) -> bool:
        """Whether a call comes back, and changes nothing."""
        name = last(call.func)
        of_it = isinstance(call.func, ast.Attribute) and self.is_it(call.func.value)
        return name in READS.get(self.kind, ()) if of_it else name in PASSES and name not in own

    def word(self, node: ast.AST) -> str:
        """What is known of a value: a word of `harness.worker.polled.word`; '' if nothing is."""
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool)):
            return str(node.value)
        if self.kind in ("name", "owner"):
            return self.slots.get(last(node), "") if self.is_it(node) else ""
        if not self.state.get("mapping"):
            return ""
        if isinstance(node, ast.Subscript) and self.is_it(node.value):
            return self.slots.get(repr(_constant(node.slice)), "")
        if self._called(node) == "get" and isinstance(node, ast.Call) and node.args:
            if self.has(node.args[0]) is False:
                return self.word(node.args[1]) if len(node.args) > 1 else "None"
            return self.slots.get(repr(_constant(node.args[0])), "")
        return ""

    def has(self, key: ast.AST) -> Truth:
        """Whether a container has it."""
        known, told = self.state.get("size"), repr(_constant(key))
        if known == 0:
            return False
        if type(_constant(key)) not in (str, int) or known is None:
            return None
        return True if told in self.slots else False if self.state.get("whole") else None

    def raises(self, node: ast.AST) -> tuple[str, ...]:
        """What names the exception that this surely raises; none if that is not sure."""
        if self.kind == "container" and isinstance(node, ast.Subscript) and self.is_it(node.value):
            if self.state.get("mapping"):
                return ("KeyError", "LookupError") if self.has(node.slice) is False else ()
            return ("IndexError", "LookupError") if self.state.get("size") == 0 else ()
        if self.kind in ("Queue", "SimpleQueue") and isinstance(node, ast.Call) and self.state.get("size") == 0:
            limit = 0.0 if self._called(node) == "get_nowait" else waiting.limit(node, node)
            return ("Empty",) if self._called(node) in ("get", "get_nowait") and limit not in (None, waiting.EVER) else ()
        return ()

    def truth(self, node: ast.AST) -> Truth:
        """What a condition comes to."""
        if isinstance(node, ast.Constant):
            return bool(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return None if (inner := self.truth(node.operand)) is None else not inner
        if isinstance(node, ast.BoolOp):
            found, ends = [self.truth(each) for each in node.values], isinstance(node.op, ast.Or)
            return ends if ends in found else None if None in found else not ends
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self._compared(node.left, node.ops[0], node.comparators[0])
        if (number := self.number(node)) is not None:
            return bool(number)
        if self.kind == "container" and self.is_it(node):
            return None if self.state.get("size") is None else bool(self.state["size"])
        return TRUTHS.get(self.word(node), self._told(node))

    def number(self, node: ast.AST) -> int | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        counted = isinstance(node, ast.Call) and last(node.func) == "len" and node.args and self.is_it(node.args[0])
        counted = counted and self.kind == "container"
        return self.state.get("size") if counted or self._called(node) == "qsize" else None

    def _compared(self, left: ast.AST, by: ast.cmpop, right: ast.AST) -> Truth:
        if isinstance(by, ast.In | ast.NotIn):
            inside = self.has(left) if self.kind == "container" and self.is_it(right) else None
            return None if inside is None else inside is isinstance(by, ast.In)
        one, other = self.word(left), self.word(right)
        if isinstance(by, ast.Is | ast.IsNot | ast.Eq | ast.NotEq) and one and other in ("None", "True", "False"):
            alike = {one == other} if isinstance(by, ast.Is | ast.IsNot) or other == "None" else _equal(one, other)
            return None if len(alike) > 1 else (True in alike) is isinstance(by, ast.Is | ast.Eq)
        numbers = self.number(left), self.number(right)
        if type(by) not in ORDERS or None in numbers:
            return None
        return bool(ORDERS[type(by)](*numbers))

    def _called(self, node: ast.AST) -> str:
        """The method of the object that is called here."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and self.is_it(node.func.value):
            return node.func.attr
        return ""

    def _told(self, node: ast.AST) -> Truth:
        """What a method of an event, a queue, a future or a semaphore tells."""
        method, told = self._called(node), self.state
        if self.kind == "Event" and method in ("is_set", "isSet", "wait"):
            return bool(told["set"]) if "set" in told else None
        if self.kind == "Future" and method == "done":
            return bool(told["done"]) if "done" in told else None
        if self.kind in ("Queue", "SimpleQueue") and method == "empty":
            return None if told.get("size") is None else not told["size"]
        if self.kind == "Semaphore" and method == "acquire":
            return False if told.get("value") == 0 else None
        return None


def _equal(one: str, other: str) -> set[bool]:
    """Whether a value of which only a word is known is equal to True or False: 1 is, 'yes' is not."""
    if one in ("None", "True", "False"):
        return {one == other}
    return {False} if (one, other) in (("falsy", "True"), ("truthy", "False")) else {True, False}


def _constant(node: ast.AST) -> object:
    return node.value if isinstance(node, ast.Constant) else None
