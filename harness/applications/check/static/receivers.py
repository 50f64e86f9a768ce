"""Receivers of Celery's signals that nobody keeps: `connect` holds them by a weak reference unless it is told not to, so that a
function made inside another one, or a lambda, is gone before the signal is sent (celery/utils/dispatch/signal.py, 4.4 to 5.7).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.check.static import names
from harness.applications.check.static.names import Function

SIGNALS = "celery.signals."


def found(sources: Sequence[Source]) -> list[Finding]:
    return [one for source in sources for one in _of(source)]


def _of(source: Source) -> Iterator[Finding]:
    known = names.aliases(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (signal := _weakly(node, known)):
            yield from (_gone(source, signal, one.lineno, "a lambda") for one in node.args if isinstance(one, ast.Lambda))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner, signal in _inside(node, known):
                yield _gone(source, signal, inner.lineno, f"{inner.name}, which {node.name} makes,")


def _inside(outer: Function, known: dict[str, str]) -> Iterator[tuple[Function, str]]:
    """The functions made in this one that a signal is to call, and that it gives to nobody else; with the signal's name."""
    nodes = [node for node in ast.walk(outer) if node is not outer]
    calls = [(call, signal) for call in nodes if isinstance(call, ast.Call) and (signal := _weakly(call, known))]
    for inner in (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        given = [signal for call, signal in calls for one in call.args if isinstance(one, ast.Name) and one.id == inner.name]
        decorated = [signal for one in inner.decorator_list if (signal := _weakly(one, known))]
        named = sum(isinstance(node, ast.Name) and node.id == inner.name for node in nodes)
        if (given or decorated) and named == len(given):
            yield inner, (given or decorated)[0]


def _weakly(node: ast.expr, known: dict[str, str]) -> str:
    """The signal of Celery's that this connects to by a weak reference; '' if it is nothing of the sort."""
    if isinstance(node, ast.Call) and any(keyword.arg == "weak" for keyword in node.keywords):
        return ""
    signal, _, last = names.full(node.func if isinstance(node, ast.Call) else node, known).rpartition(".")
    return signal.removeprefix(SIGNALS) if last == "connect" and signal.startswith(SIGNALS) else ""


def _gone(source: Source, signal: str, line: int, what: str) -> Finding:
    return Finding(
        rule="weak-receiver", level=Level.WARNING, file=source.path, line=line,
        what=f"{what} is connected to {signal} by a weak reference, and nobody else keeps it: it is gone before the signal is "
        "sent, and never called",
        todo="give connect weak=False, or define the function at the top of its module",
    )  # fmt: skip
