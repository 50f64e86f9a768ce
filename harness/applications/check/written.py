"""How a function uses memory that others share: whether it writes there and reads what it wrote. From its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from harness.applications.check import exclusive, functions, same_place

METHODS = frozenset(("fill", "put", "itemset", "sort", "partition", "write", "write_byte", "move"))
#: functions that write into their first argument, whoever's they are
INTO_FIRST = frozenset(("copyto", "memmove", "memset", "readinto", "recv_into", "shuffle"))
NO_READS = ("seek", "flush")
VIEWS = frozenset(("frombuffer", "memoryview", "asarray", "as_array", "ndarray", "view", "reshape", "ravel", "cast"))
#: what is in one of these happens at times, or changes what is there
MAYBE = (ast.If, ast.While, ast.ExceptHandler, ast.match_case, ast.IfExp, ast.BoolOp, ast.AugAssign)


class Use(Enum):
    """`SCRATCH`: it always writes the same place first, and reads there afterwards. `WRITES`: any other write."""

    SCRATCH = "scratch"
    WRITES = "writes"


@dataclass(frozen=True)
class _Write:
    target: ast.Name | ast.Attribute  # as far as it goes by one of the names
    line: int  # of the statement's end
    always: bool  # and at the same place


def use(place: functions.Place, name: str) -> Use | None:
    """How the function at this place uses what goes by this name; None if it does not write, or holds a lock meanwhile."""
    node = functions.function(place)
    return None if node is None else of_function(node, name)


def of_function(node: ast.AST, name: str) -> Use | None:
    """
    >>> source = "def run(x):\\n    SCRATCH[0] = x\\n    work()\\n    return SCRATCH[0]"
    >>> of_function(ast.parse(source).body[0], "SCRATCH")
    <Use.SCRATCH: 'scratch'>
    >>> of_function(ast.parse(source.replace("[0]", "[x]")).body[0], "SCRATCH")
    <Use.WRITES: 'writes'>
    """
    if any(functions.last(call.func) in exclusive.TAKES for call in functions.calls_at(node)):
        return None
    views = dict(_views(node, name))
    names = {name, *views.values()}
    writes = list(_writes(node, names, ()))
    if not writes:
        return None
    if exclusive.may_run_alone(node) or same_place.moves(node, names) or same_place.is_one_constant(node, names, len(writes)):
        return Use.WRITES
    apart = {id(write.target) for write in writes} | set(views)
    apart |= {id(call.func.value) for call in functions.calls([node], NO_READS)}  # type: ignore[attr-defined]
    reads = [
        each
        for each in ast.walk(node)
        if same_place.goes_by(each, names) and isinstance(each.ctx, ast.Load) and id(each) not in apart
    ]
    first = min(writes, key=lambda write: write.line)
    reads = [each for each in reads if not same_place.apart(node, first.target, each)]
    before, after = (any((each.lineno > first.line) is later for each in reads) for later in (False, True))
    return Use.SCRATCH if first.always and after and not before else Use.WRITES


def _views(node: ast.AST, name: str) -> Iterator[tuple[int, str]]:
    """(the expression that names it, the name of the view) of what sees the same bytes."""
    for each in ast.walk(node):
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            call = each.value if isinstance(each.value, ast.Call) else None
            of = [each.value] if call is None else [*call.args[:1], *(one.value for one in call.keywords), call.func]
            if call is None or functions.last(call.func) in VIEWS:
                yield from (
                    (id(one), each.targets[0].id) for part in of for one in _chain(part) if same_place.goes_by(one, {name})
                )


def _writes(node: ast.AST, names: set[str], around: tuple[ast.AST, ...]) -> Iterator[_Write]:
    home = functions.home(around[0] if around else node)
    for child in ast.iter_child_nodes(node):
        for target, same in _written(child):
            found = next((one for one in _chain(target) if same_place.goes_by(one, names)), None)
            if found is not None and not any(isinstance(one, ast.With) and exclusive.is_lock(one, home) for one in around):
                statement = next((one for one in (child, *reversed(around)) if isinstance(one, ast.stmt)), child)
                turns = {name for one in around if isinstance(one, ast.For) for name in same_place.turns(one)}
                always = not any(isinstance(one, MAYBE) for one in around) and all(
                    same_place.is_fixed(key, turns) for key in same
                )
                yield _Write(found, getattr(statement, "end_lineno", 0), always)
        yield from _writes(child, names, (*(around or (node,)), child))


def _written(node: ast.AST) -> Iterator[tuple[ast.expr, list[ast.expr]]]:
    """(what is written into, the keys that say where) of this node alone."""
    if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        yield node.value, [one.slice for one in _chain(node) if isinstance(one, ast.Subscript)]
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            yield node.func.value, [one.slice for one in _chain(node.func.value) if isinstance(one, ast.Subscript)]
        into = node.args[:1] if functions.last(node.func) in INTO_FIRST else []
        for one in (*into, *(each.value for each in node.keywords if each.arg == "out")):
            yield one, [each.slice for each in _chain(one) if isinstance(each, ast.Subscript)]


def _chain(node: ast.AST) -> Iterator[ast.AST]:
    """An expression, and what it is of: `a.b[0]`, `a.b`, `a`."""
    yield node
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
        yield node
