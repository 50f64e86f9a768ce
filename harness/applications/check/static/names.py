"""What a source file calls, by full names, and when: at import, in a task, in a handler of a signal. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.applications.check.modules import Source

Function = ast.FunctionDef | ast.AsyncFunctionDef
NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, kw_only=True)
class Call:
    """`name`: resolved through the file's imports; `line`: of the statement at the top that leads to it."""

    name: str
    line: int
    node: ast.Call

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def root(self) -> str:
        return self.name.partition(".")[0]


def aliases(tree: ast.Module) -> dict[str, str]:
    """{name in this file: what it is}, of its imports, wherever they stand."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def full(node: ast.expr, known: dict[str, str]) -> str:
    """'redis.Redis.from_url' of `R.from_url`; calls in between are left out.

    >>> full(ast.parse("R().pubsub", mode="eval").body, {"R": "redis.Redis"})
    'redis.Redis.pubsub'
    """
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            break
    if not isinstance(node, ast.Name):
        return ".".join(reversed(parts))
    return ".".join([known.get(node.id, node.id), *reversed(parts)])


def functions(tree: ast.Module) -> dict[str, Function]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def at_import(source: Source) -> Iterator[Call]:
    """Calls that run when the module is imported, also in functions and classes of its own that it calls, and in `ready`."""
    known, own = aliases(source.tree), functions(source.tree)
    classes = {node.name: node for node in source.tree.body if isinstance(node, ast.ClassDef)}
    for statement in _top(source.tree.body):
        yield from _calls([statement], statement.lineno, known, own, classes, set())


def ready(node: ast.ClassDef) -> Iterator[Function]:
    """What Django calls of a class as it is set up, which a worker does before its children are forked."""
    if any(ast.unparse(base).rpartition(".")[2] == "AppConfig" for base in node.bases):
        yield from (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "ready")


def _top(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, NESTED):
            continue
        if isinstance(statement, ast.If):
            if "__main__" not in ast.unparse(statement.test) and "TYPE_CHECKING" not in ast.unparse(statement.test):
                yield from _top(statement.body)
            yield from _top(statement.orelse)
        elif isinstance(statement, ast.ClassDef):
            yield from _top(statement.body)
            yield from (each for one in ready(statement) for each in _top(one.body))
        else:
            yield statement


def _calls(
    nodes: Sequence[ast.AST], line: int, known: dict[str, str], own: dict[str, Function], classes: dict[str, ast.ClassDef],
    seen: set[str],
) -> Iterator[Call]:  # fmt: skip
    for node in nodes:
        for each in running(node):
            if not isinstance(each, ast.Call):
                continue
            yield Call(name=full(each.func, known), line=line, node=each)
            name = each.func.id if isinstance(each.func, ast.Name) else ""
            if name in own and name not in seen:
                yield from _calls(own[name].body, line, known, own, classes, seen | {name})
            if name in classes and name not in seen:
                made = next(
                    (one for one in classes[name].body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None
                )
                if made is not None:
                    yield from _calls(made.body, line, known, own, classes, seen | {name})


def running(node: ast.AST) -> Iterator[ast.AST]:
    """The node, and what runs with it: not what is in functions that it defines."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, NESTED):
            yield from running(child)


def reached(source: Source, start: Function) -> list[Function]:
    """The bodies that run with a function of this file: its own, and those of functions of the file that it calls."""
    own, waiting, seen = functions(source.tree), [start], list[Function]()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.append(one)
        for node in ast.walk(one):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in own:
                waiting.append(own[node.func.id])
    return seen


def calls_of(source: Source, start: Function) -> list[Call]:
    """Every call in what runs with a function, at its own line."""
    known = aliases(source.tree)
    return [
        Call(name=full(node.func, known), line=node.lineno, node=node)
        for body in reached(source, start)
        for node in ast.walk(body)
        if isinstance(node, ast.Call)
    ]


def tasks(source: Source) -> Iterator[Function]:
    """Functions that a decorator makes tasks, and `run` of classes of tasks."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if any(is_task_decorator(one) for one in node.decorator_list):
                yield node
        elif isinstance(node, ast.ClassDef) and is_task_class(node):
            yield from (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "run")


def is_task_decorator(node: ast.expr) -> bool:
    """`@app.task`, `@app.task(…)`, `@shared_task`, `@periodic_task`."""
    function = node.func if isinstance(node, ast.Call) else node
    return ast.unparse(function).rpartition(".")[2] in ("task", "shared_task", "periodic_task")


def is_task_class(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).rpartition(".")[2].endswith("Task") for base in node.bases)


def handlers(source: Source, signal: str) -> Iterator[Function]:
    """Functions of the file that this signal of Celery's calls: by decorator, or by `signal.connect(function)`."""
    own = functions(source.tree)
    for function in own.values():
        if any(signal in ast.unparse(one) for one in function.decorator_list):
            yield function
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(f"{signal}.connect"):
            for argument in node.args:
                if isinstance(argument, ast.Name) and argument.id in own:
                    yield own[argument.id]


def option(node: ast.Call, name: str) -> object:
    """The value of a keyword argument, if it is plain; None if it is not given or not plain."""
    for keyword in node.keywords:
        if keyword.arg == name:
            try:
                return ast.literal_eval(keyword.value)
            except (ValueError, TypeError):
                return number(keyword.value)
    return None


def number(node: ast.AST) -> float | None:
    """Of a number, or a product of numbers: 60 * 60."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Add):
        left, right = number(node.left), number(node.right)
        if left is not None and right is not None:
            return left * right if isinstance(node.op, ast.Mult) else left + right
    return None
