"""Handlers of worker_process_init: how long they may take, and in which pools Celery calls them at all.

Billiard gives a child that it starts later 4 s to be up, and replaces it if it is not. The signal is sent in prefork's children
and in solo alone; a loader's `on_worker_process_init` is called in prefork's children alone (celery/concurrency/prefork.py and
solo.py, 4.4 to 5.7).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from harness.applications.check import functions
from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.check.static import libraries, limits, names
from harness.applications.check.static.names import Function

SETTING = "worker_proc_alive_timeout"
WINDOW_S = 4.0  # Celery's default; not armed for the first children of a pool
SIGNAL, OF_ALL_POOLS = "worker_process_init", "worker_init"
WITHOUT = ("threads", "gevent", "eventlet")  # pools in which it is never sent
HOOK = "on_worker_process_init"


def found(sources: Sequence[Source]) -> list[Finding]:
    return [*_slow(sources), *_not_sent(sources)]


def _slow(sources: Sequence[Source]) -> Iterator[Finding]:
    if any(SETTING in source.text or SETTING.upper() in source.text for source in sources):
        return
    for source in sources:
        for handler in names.handlers(source, SIGNAL):
            for call in names.calls_of(source, handler):
                if libraries.loads(call.name) or _sleeps(call):
                    yield Finding(
                        rule="start-window", level=Level.WARNING, file=source.path, line=call.line,
                        what=f"{call.name} in worker_process_init: a child that a pool starts later has {WINDOW_S:g} s to be "
                        "up, and is replaced for ever if it needs longer",
                        todo=f"set {SETTING} well above the time that it takes, or load it in the first task",
                    )  # fmt: skip


def _sleeps(call: names.Call) -> bool:
    seconds = names.number(call.node.args[0]) if call.name == "time.sleep" and call.node.args else None
    return seconds is not None and seconds >= WINDOW_S


def _not_sent(sources: Sequence[Source]) -> Iterator[Finding]:
    """What a task needs and nobody but such a handler makes."""
    pools = [str(value) for _, _, value in limits.settings(sources, ("worker_pool",))]
    users = [(task, names.reached(source, task)) for source in sources for task in names.tasks(source)]
    for source in sources:
        elsewhere = list(names.handlers(source, OF_ALL_POOLS))
        handlers = [*names.handlers(source, SIGNAL), *_hooks(source)]
        for handler in (one for one in handlers if one not in elsewhere):
            for name in sorted(_makes(source, handler, [one for _, bodies in users for one in bodies])):
                user = next((task.name for task, bodies in users if _needs(bodies, name)), "")
                if user:
                    yield _unmade(pools, source, handler, name, user)


def _hooks(source: Source) -> Iterator[Function]:
    """A loader's own methods that children of prefork call as they begin."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            yield from (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == HOOK)


def _makes(source: Source, handler: Function, of_tasks: Sequence[Function]) -> set[str]:
    """The names at the top of a module that a handler gives something to, and that nothing else does, nor what runs with tasks:
    they are unbound until then, or None, or empty."""
    empty = _empty(source.tree)
    bound = {name for name, known in empty.items() if not known}
    bodies = names.reached(source, handler)
    rest = [one for one in names.functions(source.tree).values() if one not in bodies or one in of_tasks]
    made = {name for body in bodies for name in _fills(body)}
    return made - bound - {name for body in rest for name in _fills(body)}


def _empty(tree: ast.Module) -> dict[str, bool]:
    """{name at the top: whether it is given nothing but None, or an empty container}."""
    found: dict[str, bool] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Assign):  # one with a type is one, see `modules.tree_of`
            continue
        for each in (node for target in statement.targets for node in ast.walk(target)):
            if isinstance(each, ast.Name):
                found[each.id] = found.get(each.id, True) and _is_empty(statement.value)
    return found


def _is_empty(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        return value.value is None
    if isinstance(value, ast.Call):
        return not value.args and not value.keywords and functions.last(value.func) in ("dict", "list", "set", "local")
    return isinstance(value, ast.Dict | ast.List | ast.Tuple) and not any(ast.iter_child_nodes(value))


def _fills(body: Function) -> set[str]:
    """Names of the module that a function binds, or changes."""
    globals_ = {name for node in ast.walk(body) if isinstance(node, ast.Global) for name in node.names}
    bound = {node.id for node in ast.walk(body) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    read = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)} - (bound - globals_)
    return (globals_ & bound) | {name for name in read - globals_ if functions.changes([body], name) or _sets(body, name)}


def _sets(body: Function, name: str) -> bool:
    """Whether it sets an attribute of what is called so."""
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and functions.last(node.value) == name
        for node in ast.walk(body)
    )


def _needs(bodies: Sequence[Function], name: str) -> bool:
    nodes = [node for body in bodies for node in ast.walk(body)]
    return any(
        (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)
        for node in nodes
    )


def _unmade(pools: Sequence[str], source: Source, handler: Function, name: str, user: str) -> Finding:
    hook = handler.name == HOOK
    without = (*WITHOUT, "solo") if hook else WITHOUT
    pool = next((one for one in pools if one in without), "")
    where = f"the pool {pool!r} of the settings" if pool else f"{', '.join(without[:-1])} and {without[-1]}"
    begins = (
        f"a loader's {HOOK} makes {name}, and is called in prefork alone"
        if hook
        else (f"{handler.name} makes {name} in worker_process_init, which is sent in prefork and solo alone")
    )
    all_pools = "a loader's on_worker_init" if hook else "worker_init"
    return Finding(
        rule="init-not-sent", level=Level.WARNING if pool else Level.NOTE, file=source.path, line=handler.lineno,
        what=f"{begins}: in {where} the task {user} finds none",
        todo=f"make it in a function that the first task calls, or in {all_pools}, if it is not for prefork alone",
    )  # fmt: skip
