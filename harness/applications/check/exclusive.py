"""Whether a function is seen to run while a lock is held: it takes one, a decorator of it does, or who calls it. Pure."""

from __future__ import annotations

import ast
import re
from functools import cache

from harness.applications.check import functions
from harness.applications.check.functions import last

LOCK = re.compile("lock|mutex|semaphore|exclusive|guard|condition", re.IGNORECASE)
TAKES = frozenset(("acquire", "flock", "lockf"))
#: decorators that hold nothing while the function runs
PLAIN = frozenset((
    "task", "shared_task", "periodic_task", "staticmethod", "classmethod", "property", "cached_property", "contextmanager",
    "lru_cache", "cache", "connect", "receiver", "wraps",
))  # fmt: skip


def holds_lock(node: ast.AST) -> bool:
    """Whether a function is seen to take a lock: by what it is called, or by what its module made it of."""
    tree = functions.home(node)
    return _takes(node, _locks(tree) if tree is not None else frozenset())


def may_run_alone(node: ast.AST) -> bool:
    """Whether it holds a lock, as far as anybody knows: one of its callers in the file does, or a decorator may."""
    tree = functions.home(node)
    if holds_lock(node) or any(last(_function(one)) not in PLAIN for one in getattr(node, "decorator_list", ())):
        return True
    return tree is not None and (getattr(node, "name", "") in _called_within(tree) or _is_for_others(tree))


def is_lock(node: ast.With | ast.AsyncWith, home: ast.Module | None) -> bool:
    """Whether what a `with` enters is a lock."""
    return _is_lock(node, _locks(home) if home is not None else frozenset())


def _is_lock(node: ast.With | ast.AsyncWith, names: frozenset[str]) -> bool:
    return any(LOCK.search(ast.unparse(one.context_expr)) or _named(one.context_expr) & names for one in node.items)


def _takes(node: ast.AST, names: frozenset[str]) -> bool:
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and (last(each.func) in TAKES or _enters(each, names)):
            return True
        if isinstance(each, ast.With | ast.AsyncWith) and _is_lock(each, names):
            return True
    return False


def _enters(call: ast.Call, names: frozenset[str]) -> bool:
    """`stack.enter_context(LOCK)`."""
    entered = call.args if last(call.func) == "enter_context" else ()
    return any(LOCK.search(ast.unparse(one)) or _named(one) & names for one in entered)


def _function(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _named(node: ast.AST) -> set[str]:
    return {last(each) for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute)}


@cache
def _locks(tree: ast.Module) -> frozenset[str]:
    """The names in a file of what is made as a lock (`ONE = mp.Semaphore(1)`), and of generators and classes that
    hold one while they are entered."""
    kinds = {each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef) and _is_entered_alone(each)}
    found = kinds | {
        last(target)
        for each in ast.walk(tree)
        if isinstance(each, ast.Assign)
        and any(LOCK.search(last(call.func)) or last(call.func) in kinds for call in functions.calls_at(each.value))
        for target, _ in functions.pairs(each)
    }
    names = frozenset(found - {""})
    return names.union(
        each.name
        for each in _functions(tree)
        if any(isinstance(one, ast.Yield) for one in ast.walk(each)) and _takes(each, names)
    )


def _is_entered_alone(node: ast.ClassDef) -> bool:
    """Whether `__enter__` takes a lock, or a token from a queue."""
    entering = [each for each in node.body if isinstance(each, functions.Function) and each.name == "__enter__"]
    return any(_takes(each, frozenset()) or any(functions.calls([each], ("get",))) for each in entering)


@cache
def _called_within(tree: ast.Module) -> frozenset[str]:
    """The functions of a file that others call which hold a lock, or are called so themselves."""
    names, own = _locks(tree), _functions(tree)
    todo = [each for each in own if _takes(each, names)]
    found = set[str]()
    for each in todo:
        given = {name for call in functions.calls_at(each) for part in (call.func, *call.args) if (name := last(part))}
        todo += [one for one in own if one.name in given - found]
        found |= given
    return frozenset(found)


@cache
def _is_for_others(tree: ast.Module) -> bool:
    """Whether a file makes a lock that none of its own functions takes: another module may, around its calls. A lock
    of `threading` holds no other process."""
    origins = functions.origins(tree)
    made = {
        last(each.targets[0])
        for each in tree.body
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call) and LOCK.search(last(each.value.func))
        if origins.get(ast.unparse(each.value.func).partition(".")[0]) != "threading"
    }
    used = {last(one) for each in _functions(tree) for one in ast.walk(each) if isinstance(one, ast.Name | ast.Attribute)}
    return bool(made - used)


def _functions(tree: ast.Module) -> list[functions.Function]:
    return [each for each in ast.walk(tree) if isinstance(each, functions.Function)]
