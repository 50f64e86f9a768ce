"""What a module does when it is imported, which in prefork is in the main process, before the fork."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.check.static import libraries, names
from harness.applications.check.static.names import Call
from harness.applications.probe.implicated import started
from harness.atlas import answer, stored

FIRST_TASK = "make it in a function that the first task of each process calls"
#: how the advice ends as long as nobody has looked at the threads
UNSEEN = ", or run the check without --static, which sees the threads"


def found(sources: Sequence[Source]) -> list[Finding]:
    return [one for source in sources for one in _of(source)]


def _of(source: Source) -> Iterator[Finding]:
    engines = {root for name in names.aliases(source.tree).values() if (root := name.partition(".")[0]) in libraries.ENGINES}
    calls = list(names.at_import(source))
    loading = {call.line for call in calls if libraries.loads(call.name)}
    for call in calls:
        if libraries.loads(call.name):
            yield _model(source, call, engines)
        elif call.root in libraries.ENGINES and call.line not in loading and call.name not in libraries.LAZY:
            yield _engine(source, call)
        yield from _made(source, call)
    threads = [*started(source.tree)]
    for statement in threads:
        yield Finding(
            rule="thread-at-import", level=Level.WARNING, file=source.path, line=statement.lineno,
            what="a thread is started when the module is imported: a forked child has what it left, and not the thread",
            todo="start it in a function that the first task of each process calls, or in worker_process_init",
        )  # fmt: skip
    if threads:
        yield from _locks(source, calls)
    yield from _in_task_init(source)


def _model(source: Source, call: Call, engines: set[str]) -> Finding:
    engine = call.root if call.root in libraries.ENGINES else next(iter(sorted(engines)), "")
    native = f", and {engine} has native threads, which no child has" if engine else ""
    return Finding(
        rule="model-at-import", level=Level.WARNING if engine else Level.NOTE, file=source.path, line=call.line,
        what=f"{call.name} loads a model in the main process, before the fork{native}",
        todo=f"{FIRST_TASK}; 'harness probe' prints the change as a diff, if it can make one",
        measured=answer.of_name(stored.shipped(), engine),
    )  # fmt: skip


def _engine(source: Source, call: Call) -> Finding:
    return Finding(
        rule="engine-at-import", level=Level.NOTE, file=source.path, line=call.line,
        what=f"{call.name} is called in the main process: if {call.root} starts threads for it, no forked child has them",
        todo=f"call it in tasks alone{UNSEEN}",
    )  # fmt: skip


def _made(source: Source, call: Call) -> Iterator[Finding]:
    file, line = source.path, call.line
    told = call.name in libraries.TOLD_WHERE and (
        bool(call.node.args) or any(keyword.arg == "host" for keyword in call.node.keywords)
    )
    if call.name in libraries.CONNECTING or told:
        yield Finding(
            rule="client-at-import", level=Level.WARNING, file=file, line=line, todo=f"{FIRST_TASK}, or in worker_process_init",
            what=f"{call.name} connects in the main process: all forked children use one connection, and mix their answers",
        )  # fmt: skip
    elif call.name in libraries.LAZY:
        alone = call.name.startswith("redis.") and names.option(call.node, "single_connection_client") is True
        yield Finding(
            rule="client-at-import", level=Level.WARNING if alone else Level.NOTE, file=file, line=line,
            todo=FIRST_TASK if alone else "use it in tasks alone; a connection from before the fork is shared by all children",
            what=f"{call.name} is made in the main process"
            + (", with one connection for all children" if alone else ": harmless as long as nothing uses it before the fork"),
        )  # fmt: skip
    elif call.name in libraries.POOLS:
        yield Finding(
            rule="pool-at-import", level=Level.WARNING, file=file, line=line, todo=FIRST_TASK,
            what=f"{call.name} is made in the main process: once its threads run, a forked child waits for them for ever",
        )  # fmt: skip
    elif call.name in libraries.LOOPS:
        yield Finding(
            rule="loop-at-import", level=Level.NOTE, file=file, line=line,
            todo="use asyncio.run in the task, or make the loop there",
            what=f"{call.name} makes an event loop in the main process, whose selector all forked children share",
        )  # fmt: skip


def _locks(source: Source, calls: Sequence[Call]) -> Iterator[Finding]:
    for call in calls:
        if call.name in libraries.LOCKS:
            yield Finding(
                rule="lock-at-import", level=Level.NOTE, file=source.path, line=call.line,
                what=f"{call.name} beside a thread of this module: if that holds it at the fork, each child waits for ever",
                todo="run the check without --static, which looks whether a thread holds it",
            )  # fmt: skip


def _in_task_init(source: Source) -> Iterator[Finding]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef) or not names.is_task_class(node):
            continue
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                for call in names.calls_of(source, one):
                    if libraries.loads(call.name) or call.root in libraries.ENGINES:
                        yield Finding(
                            rule="model-in-task-init", level=Level.WARNING, file=source.path, line=call.line,
                            what=f"{call.name} in __init__ of the task {node.name}: Celery makes it once, in the main process",
                            todo="load it in a property that keeps it, when the task is first called",
                            measured=answer.of_name(stored.shipped(), call.root),
                        )  # fmt: skip
