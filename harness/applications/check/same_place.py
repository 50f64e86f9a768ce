"""Whether a function uses the same place of shared memory in each call: keys, views, turns of loops, `seek`. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from harness.applications.check import functions
from harness.applications.check.functions import last

#: attributes that are all of the object
WHOLE = frozenset(("value", "raw", "buf", "flat"))


def is_fixed(key: ast.expr, turns: set[str]) -> bool:
    """Whether all calls use the same place: a number, a slice of numbers, all turns of a loop, or as much as there is."""
    inner = functions.calls_at(key)
    inside = {each.id for call in inner if last(call.func) == "len" for each in _names(call)}
    return all(last(call.func) == "len" for call in inner) and all(each.id in turns | inside for each in _names(key))


def turns(loop: ast.For | ast.comprehension) -> set[str]:
    """What counts a loop's turns from where all calls begin: `for at in range(8)`, `for at, row in enumerate(rows)`.

    >>> [turns(ast.parse(f"for at in {what}: pass").body[0]) for what in ("range(8)", "enumerate(x)", "range(y, 8)", "x")]
    [{'at'}, {'at'}, set(), set()]
    """
    call, target = loop.iter, loop.target
    if not isinstance(call, ast.Call) or call.keywords:
        return set()
    if last(call.func) == "enumerate" and len(call.args) == 1:
        target = target.elts[0] if isinstance(target, ast.Tuple) else target
    elif last(call.func) != "range" or not all(is_fixed(each, set()) for each in call.args):
        return set()
    return {each.id for each in _names(target)}


def moves(node: ast.AST, names: set[str]) -> bool:
    """Whether a function writes through a view, or at a position, that may differ from call to call."""
    views = [each for each in ast.walk(node) if isinstance(each, ast.Assign) and goes_by(each.targets[0], names)]
    for each in views:
        if isinstance(each.targets[0], ast.Name) and not all(is_fixed(part, set()) for part in _where(each.value)):
            return True
    sought = [call for call in functions.calls_at(node) if last(call.func) == "seek" and _of(call, names)]
    steps = any(last(call.func) in ("write", "write_byte") and _of(call, names) for call in functions.calls_at(node))
    return (steps and not sought) or any(not is_fixed(each, set()) for call in sought for each in call.args)


def is_one_constant(node: ast.AST, names: set[str], writes: int) -> bool:
    """Whether all that a function writes is the same constant, as a flag: who reads it then has it in any case."""
    stores = [
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Subscript | ast.Attribute)
        if any(goes_by(one, names) for one in ast.walk(each.targets[0]))
    ]
    constant = all(isinstance(each, ast.Constant) for each in stores)
    return len(stores) == writes and constant and len(set(map(ast.dump, stores))) == 1


def apart(node: ast.AST, one: ast.expr, other: ast.expr) -> bool:
    """Whether a function uses these two at places of the same object that have nothing in common, `X[0]` and `X[8:]`,
    or of which nobody knows."""
    above = {id(each.value): each for each in ast.walk(node) if isinstance(each, ast.Subscript | ast.Attribute)}
    first, second = above.get(id(one)), above.get(id(other))
    if ast.unparse(one) != ast.unparse(other):
        return False
    if isinstance(first, ast.Attribute) and isinstance(second, ast.Attribute):
        stores = isinstance(first.ctx, ast.Store) and not isinstance(above.get(id(second)), ast.Attribute)
        return stores and first.attr != second.attr and not WHOLE & {first.attr, second.attr}
    loops = [each for each in ast.walk(node) if isinstance(each, ast.For | ast.comprehension)]
    if isinstance(second, ast.Subscript) and not is_fixed(second.slice, {name for each in loops for name in turns(each)}):
        return True
    spans = [_span(each.slice) if isinstance(each, ast.Subscript) else None for each in (first, second)]
    return None not in spans and (spans[0][1] <= spans[1][0] or spans[1][1] <= spans[0][0])  # type: ignore[index]


def _span(key: ast.expr) -> tuple[float, float] | None:
    """From where to where numbers lead; None of what is no number, or counts from the end."""
    if isinstance(key, ast.Slice):
        low, high = _number(key.lower, 0), _number(key.upper, float("inf"))
    else:
        low = _number(key, None)
        high = None if low is None else low + 1
    return None if low is None or high is None else (low, high)


def _number(node: ast.expr | None, absent: float | None) -> float | None:
    if node is None:
        return absent
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else None


def _where(value: ast.expr) -> Iterator[ast.expr]:
    """What says of a view where it lies: keys, and arguments but the first."""
    for each in ast.walk(value):
        if isinstance(each, ast.Subscript):
            yield each.slice
        elif isinstance(each, ast.Call) and last(each.func) not in ("len", "reshape"):
            yield from (one for one in each.args[1:] if not isinstance(one, ast.Attribute))
            yield from (one.value for one in each.keywords if one.arg in ("offset", "count", "shape"))


def _of(call: ast.Call, names: set[str]) -> bool:
    return isinstance(call.func, ast.Attribute) and goes_by(call.func.value, names)


def goes_by(node: ast.AST, names: set[str]) -> TypeGuard[ast.Name | ast.Attribute]:
    """Whether it names the object: `X`, or `shop.X`."""
    return isinstance(node, ast.Name | ast.Attribute) and last(node) in names


def _names(node: ast.AST) -> Iterator[ast.Name]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Name))
