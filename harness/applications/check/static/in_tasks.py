"""What a task does that its pool does not carry: waiting for another task, starting processes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.check.static import libraries, names
from harness.applications.check.static.names import Function

SENDING = ("delay", "apply_async", "send_task", "group", "chord", "chain")
WAITING = ("get", "join", "join_native", "wait", "collect")
NO_PROCESSES = "use billiard in its place, or threads, or several tasks"
ALLOWING = ("disable_sync_subtasks", "allow_join_result")


def found(sources: Sequence[Source]) -> list[Finding]:
    return [
        one for source in sources for task in names.tasks(source) for one in (*_waits(source, task), *_starts(source, task))
    ]


def _waits(source: Source, task: Function) -> Iterator[Finding]:
    for body in names.reached(source, task):
        sent = {
            target.id
            for node in ast.walk(body)
            if isinstance(node, ast.Assign) and _sends(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(body):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in WAITING:
                continue
            whose = node.func.value
            if _sends(whose) or (isinstance(whose, ast.Name) and whose.id in sent):
                yield _waiting(source, task, node, allowed=any(word in ast.unparse(body) for word in ALLOWING))


def _sends(node: ast.expr) -> bool:
    """Whether it is the result of a task that is sent: `x.delay(…)`, `group(…)()`."""
    while isinstance(node, ast.Call):
        if ast.unparse(node.func).rpartition(".")[2] in SENDING:
            return True
        node = node.func
    return False


def _waiting(source: Source, task: Function, node: ast.Call, *, allowed: bool) -> Finding:
    else_ = "if every executor does so, nobody is left to run it" if allowed else "Celery raises RuntimeError for it in prefork"
    return Finding(
        rule="result-in-task", level=Level.WARNING, file=source.path, line=node.lineno,
        what=f"the task {task.name} waits for another task: {else_}",
        todo="use a chain or a chord, or give the other task a queue and a worker of its own",
    )  # fmt: skip


def _starts(source: Source, task: Function) -> Iterator[Finding]:
    for call in names.calls_of(source, task):
        if call.name in libraries.PROCESSES:
            yield Finding(
                rule="processes-in-task", level=Level.WARNING, file=source.path, line=call.line,
                what=f"the task {task.name} uses {call.name}: a child of prefork is daemonic, and Python lets it start no "
                "processes (AssertionError)",
                todo=NO_PROCESSES,
            )  # fmt: skip
