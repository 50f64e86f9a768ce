"""What conditions of a loop that asks for one object come to, as it was at the fork; which calls in it come back. Pure."""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from typing import Any

from harness.applications.check import functions, waiting
from harness.applications.check.functions import last
from harness.worker.shared_objects import HOLDERS

#: by kind of object: its methods that change nothing for who asks
READS = {
    "container": ("get", "keys", "values", "items", "copy", "count", "index"),
    "Event": ("is_set", "isSet", "wait"), "Queue": ("empty", "qsize", "full", "get", "get_nowait"),
    "SimpleQueue": ("empty", "qsize", "get", "get_nowait"), "Semaphore": ("acquire",),
    "Future": ("done", "result", "exception", "cancelled", "running"),
}  # fmt: skip
#: what takes a value and leaves it as it is
LOOKS = ("len", "bool", "str", "repr", "list", "tuple", "dict", "set", "sorted", "any", "all", "sum", "min", "max", "print")
#: what a loop may call and come back from: it waits a little, looks at a clock (both of these modules), or tells
WAITS_A_LITTLE, CLOCKS = ("sleep", "time", "monotonic", "perf_counter"), ("time", "gevent", "eventlet")
TELLS = ("debug", "info", "warning", "error", "log")
PASSES = (*WAITS_A_LITTLE, *LOOKS)
ORDERS: Mapping[type[ast.cmpop], Any] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
TRUTHS = {"None": False, "False": False, "falsy": False, "True": True, "truthy": True}
Truth = bool | None


class Seen:
    """What conditions that ask for one object come to, as it was at the fork; None if nobody knows."""

    def __init__(self, shared: Mapping[str, Any], named: str, within: ast.AST | None = None) -> None:
        self.within = within
        homes = [functions.home(node) for node in functions.known(shared.get("tasks", ()))]
        self.trees = [each for each in dict.fromkeys(homes) if each is not None]
        self.kind, self.state = str(shared["kind"]), shared["state"]
        self.named, outer = named, str(shared["label"]).partition(" ")[0].split(".")
        self.bases = frozenset((*shared.get("bases", ()), outer[-1] if self.kind in HOLDERS else outer[-2:][0]))
        self.slots: Mapping[str, str] = self.state.get("slots", {})

    def is_it(self, node: ast.AST) -> bool:
        """Whether it is what the thread ends: `job.ready` is not `ready`."""
        if isinstance(node, ast.Attribute):
            return node.attr == self.named and last(node.value) in self.bases
        return isinstance(node, ast.Name) and node.id == self.named and self.kind not in HOLDERS

    def passes(self, call: ast.Call, origins: Mapping[str, str]) -> bool:
        """Whether a call comes back, and changes nothing."""
        name = last(call.func)
        if not isinstance(call.func, ast.Attribute):
            return name in PASSES and origins.get(name, CLOCKS[0]) in CLOCKS
        if self.is_it(call.func.value):
            return name in READS.get(self.kind, ())
        base = last(call.func.value)
        return (name in TELLS and "log" in base.lower()) or (name in WAITS_A_LITTLE and origins.get(base, base) in CLOCKS)

    def word(self, node: ast.AST) -> str:
        """What is known of a value: a word of `harness.worker.polled.word`; '' if nothing is."""
        node = self._by_default(node)
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool)):
            return str(node.value)
        if self.kind in ("name", *HOLDERS):
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

    def _by_default(self, node: ast.AST) -> ast.AST:
        """The default that a name stands for, if all that call the function leave it so: `timeout=None`. A task is called by
        who knows whom."""
        within = self.within
        if not isinstance(node, ast.Name) or not isinstance(within, functions.Function) or within.decorator_list:
            return node
        if node.id not in functions.parameters(within) or functions.binds(within, node.id):
            return node
        value, callers = functions.default(within, node.id, self.trees)
        return value if value is not None and callers else node

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
