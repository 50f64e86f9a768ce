"""How long a call of the application's waits, as far as its source tells: not at all, up to a time limit, or for ever. Pure."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from harness.applications.check import functions
from harness.applications.check.finding import Level
from harness.applications.check.functions import MADE, WAITS, calls, last
from harness.applications.check.side_by_side import LEAST_S
from harness.applications.check.static.names import number

Limit = float | None  # seconds: 0 if it does not wait, infinite if for ever, None if it has a limit that cannot be told
EVER = math.inf
#: (place of `block`, place of `timeout`) among a method's arguments, -1 if it has none
PLACES = {
    "acquire": (0, 1), "get": (0, 1), "put": (1, 2), "wait_for": (-1, 1), "wait": (-1, 0), "result": (-1, 0),
    "exception": (-1, 0), "join": (-1, 0),
}  # fmt: skip
ANSWER = (-1, 0)  # of `get`, if it is no queue's
NO_QUEUES = ("AsyncResult",)
BLOCKING = ("block", "blocking")
LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def limit(call: ast.Call, within: ast.AST, *, of_queue: bool = True) -> Limit:
    """Of a call in a function. `of_queue`: whether a `get` may be that of a queue."""
    method = last(call.func)
    blocks, limited = PLACES.get(method, ANSWER) if of_queue or method != "get" else ANSWER
    block = functions.argument(call, BLOCKING, blocks)
    if isinstance(block, ast.Constant) and not block.value:
        return 0.0
    seconds = functions.argument(call, ("timeout",), limited)
    found = EVER if seconds is None else _seconds(seconds, within)
    if block is not None and not isinstance(block, ast.Constant) and found == EVER:
        return None  # it may be told not to wait
    return found


def longest(limits: Iterable[Limit]) -> Limit:
    """The one that matters: a long one before one that cannot be told, and that before a short one; 0 of none.

    >>> longest([0.1, None, 7.0]), longest([0.1, None]), longest([])
    (7.0, None, 0.0)
    """
    found = list(limits)
    known = max((one for one in found if one is not None), default=0.0)
    return None if None in found and known < LEAST_S else known


def told(limit_s: Limit, waits: str = "waits for it") -> tuple[Level, str]:
    """How grave it is to wait so in vain, and in words. As long as a call that does not come back is an error.

    >>> told(None), told(0.0)[1]
    ((<Level.WARNING: 'warning'>, 'waits for it up to its time limit, in vain'), 'waits for it no time, and goes on without')
    """
    if limit_s is None:
        return Level.WARNING, f"{waits} up to its time limit, in vain"
    if limit_s == EVER:
        return Level.ERROR, f"{waits} for ever"
    if limit_s >= LEAST_S:
        return Level.ERROR, f"{waits} {limit_s:g} s in vain, each time"
    return Level.WARNING, f"{waits} up to {limit_s:g} s, in vain" if limit_s else f"{waits} no time, and goes on without"


def of(nodes: Iterable[ast.AST], methods: Sequence[str], named: str) -> list[Limit]:
    """The limits of calls of these methods of an object by this name."""
    return [limit(call, node) for node in nodes for call in calls([node], methods, named)]


def for_reply(node: ast.AST, named: str) -> list[Limit]:
    """A function makes something to wait for, and hands it to this object: how long it waits for that, or who it returns it to
    does. Empty if it does nothing of the sort."""
    made = dict(_made(node))
    bearers = functions.bearers(node, named)
    handed = {name for each in ast.walk(node) for one in bearers for name in functions.handed(each, one) if name in made}
    found = [
        limit(call, node, of_queue=made[name] not in NO_QUEUES)
        for name in sorted(handed)
        for call in calls([node], WAITS, name)
    ]
    if any(isinstance(each, ast.Return) and each.value is not None and last(each.value) in handed for each in ast.walk(node)):
        found += _by_callers(node) or [EVER]
    return found


def for_work(node: ast.AST, given: Sequence[ast.Call]) -> list[Limit] | None:
    """These calls of a function hand work to somebody, and give something to wait for: how long it waits for that, or for
    what it hands over. Empty if it lets it go; None if that cannot be told, as when it is returned, kept, or handed on."""
    dropped = {id(each.value) for each in ast.walk(node) if isinstance(each, ast.Expr)}
    found = list[Limit]()
    for call in given:
        name, waits = _awaited(node, call)
        loads = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)]
        kept = name and loads.count(name) != len(waits)
        if kept or not (waits or name or id(call) in dropped):
            return None
        along = {each.id for part in (*call.args, *call.keywords) for each in ast.walk(part) if isinstance(each, ast.Name)}
        found += [limit(each, node, of_queue=False) for each in waits]
        found += [limit(each, node) for each in calls([node], WAITS) if isinstance(each.func, ast.Attribute)
                  and last(each.func.value) in along]  # fmt: skip
    return found


def handed_first(node: ast.AST, given: Sequence[ast.Call]) -> float:
    """How many of these calls of a function, which hand work to somebody, it makes before it waits for one of them. Infinite if
    it makes one again and again before that, or is not seen to wait."""
    first_wait = min((_end(wait) for call in given for wait in _awaited(node, call)[1]), default=None)
    if first_wait is None:
        return EVER
    first = {call for call in given if _end(call) < first_wait}
    loops = [each for each in ast.walk(node) if isinstance(each, LOOPS)]
    without = [each for each in loops if all(_end(one) != first_wait for one in functions.calls_at(each))]
    return EVER if any(first & set(ast.walk(each)) for each in without) else len(first)


def _awaited(node: ast.AST, call: ast.Call) -> tuple[str, list[ast.Call]]:
    """The name that a function gives to what this call of it returns, '' if it gives none; and its waits for that."""
    name = next(iter(_names(node, partial(operator.is_, call))), "")
    waits = [each for each in calls([node], WAITS) if isinstance(each.func, ast.Attribute) and each.func.value is call]
    return name, waits or (list(calls([node], WAITS, name)) if name else [])


def _end(call: ast.Call) -> tuple[int, int]:
    return call.end_lineno or 0, call.end_col_offset or 0


def _names(node: ast.AST, fits: Callable[[ast.expr], bool]) -> list[str]:
    """Names that a function gives to such values."""
    return [
        target.id
        for each in ast.walk(node)
        if isinstance(each, ast.Assign) and fits(each.value)
        for target in each.targets
        if isinstance(target, ast.Name)
    ]


def _made(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(name, what makes it) of what a function makes to wait for."""
    for each in ast.walk(node):
        if isinstance(each, ast.Assign):
            for target, value in functions.pairs(each):
                if isinstance(target, ast.Name) and isinstance(value, ast.Call) and last(value.func) in MADE:
                    yield target.id, last(value.func)


def _by_callers(node: ast.AST) -> list[Limit]:
    """How long those wait that call this function, as far as its file shows it: `ask(x).result(timeout=2)`, also by a name."""
    home, name = functions.home(node), getattr(node, "name", "")

    def gives(value: ast.expr) -> bool:
        return isinstance(value, ast.Call) and last(value.func) == name

    found = list[Limit]()
    for one in ast.walk(home) if home is not None and name else ():
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            names = _names(one, gives)
            for call in calls([one], WAITS):
                whose = call.func.value if isinstance(call.func, ast.Attribute) else call
                if gives(whose) or (isinstance(whose, ast.Name) and whose.id in names):
                    found.append(limit(call, one))
    return found


def _seconds(node: ast.expr, within: ast.AST) -> Limit:
    """What a limit is worth: a number, or a name that has one value in its file. Below 0, as Lock.acquire has it: for ever."""
    if isinstance(node, ast.Constant) and node.value is None:
        return EVER
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return EVER
    if (found := number(node)) is not None:
        return found
    return _named(node.id, within) if isinstance(node, ast.Name) else None


def _named(name: str, within: ast.AST) -> Limit:
    """What a name stands for. A default of None means for ever if somebody calls the function so."""
    home = functions.home(within)
    if isinstance(within, ast.FunctionDef | ast.AsyncFunctionDef):
        if functions.binds(within, name):
            return None
        if name in functions.parameters(within):
            default, callers = functions.default(within, name, [home] if home is not None else [])
            if isinstance(default, ast.Constant) and default.value is None:
                return EVER if callers else None
            return number(default) if default is not None else None
    assigned = [each for each in ast.walk(home) if isinstance(each, ast.Assign)] if home is not None else []
    bound = [each.value for each in assigned if any(isinstance(one, ast.Name) and one.id == name for one in each.targets)]
    return number(bound[0]) if len(bound) == 1 else None
