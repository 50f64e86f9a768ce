"""The change of code that lets `prefork` work if a module makes an object as it is imported. Pure, from source to a diff.

What an object starts in the main process (threads, a session, a team of an engine's) does not run in a forked child, and a lock
that one of its threads holds is never released there. So the statements of a module's top level that make the object which the
blocked thread's stack leads through, and all that depend on them, become a function which each process calls at its first
task. Only what can be told from the source is proposed; if it cannot, `why_not` says so and the user is told in words.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from harness.applications.probe.implicated import Names, parsed, started
from harness.applications.probe.loading import (
    FUNCTIONS,
    MAIN_SIGNALS,
    NESTED,
    elsewhere,
    is_loader,
    makers,
    running,
)
from harness.applications.probe.rewritten import rewritten

BINDING = (ast.Assign, ast.AnnAssign)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)  # their variables are their own


@dataclass(frozen=True, kw_only=True)
class Change:
    """`diff`: a unified diff, `patch -p1` applies it in the application's folder, '' where none could be made (`why_not`).
    `moved`: (first, last) line of each statement that would move."""

    file: str
    line: int  # of the statement that makes the object
    statement: str
    diff: str = ""
    why_not: str = ""
    moved: tuple[tuple[int, int], ...] = ()


def propose(sources: Mapping[str, str], asked: Names) -> list[Change]:
    """A change for each module that makes one of these objects (see `implicated`); `sources`: text by path below the
    application's folder.
    """
    trees = parsed(sources)
    loading = {path: _loading_functions(tree) for path, tree in trees.items()}
    everywhere = frozenset(name for names in loading.values() for name in names)
    found = (_change(path, sources[path], trees, everywhere, asked[path]) for path in trees if path in asked)
    return [change for change in found if change is not None]


def by_hand(sources: Mapping[str, str]) -> list[Change]:
    """The lines that start a thread of Python's at import: a forked child has what it left, and not the thread."""
    why_not = "a function that the first task of each process calls has to start it"
    return [
        Change(file=path, line=each.lineno, statement=ast.unparse(each).splitlines()[0], why_not=why_not)
        for path, tree in parsed(sources).items()
        for each in started(tree)
    ]


def _change(
    path: str, text: str, trees: Mapping[str, ast.Module], loading: frozenset[str], asked: frozenset[str]
) -> Change | None:
    tree = trees[path]
    block = _block(tree, loading, asked)
    if not block:
        return None
    first = next(_making(block, asked))
    shown = ast.unparse(first).splitlines()[0]
    names = _bound(block)
    why_not = _why_not(path, tree, block, names, trees) or elsewhere(trees, path, makers(block, asked))
    if why_not:
        return Change(file=path, line=first.lineno, statement=shown, why_not=why_not)
    new = rewritten(text, [_first(user) for user in _users(tree, names)], block, names)
    try:
        compile(new, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        why_not = f"inside a function that code would be no valid Python ({error}); write the function by hand"
        return Change(file=path, line=first.lineno, statement=shown, why_not=why_not)
    diff = "".join(difflib.unified_diff(text.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}"))
    return Change(file=path, line=first.lineno, statement=shown, diff=diff, moved=tuple(map(_lines, block)))


def _making(block: Iterable[ast.stmt], asked: frozenset[str]) -> Iterator[ast.stmt]:
    """Statements that bind one of these names; of a compound one, what does so inside it."""
    for statement in block:
        binding = [each for each in running(statement) if isinstance(each, ast.stmt) and asked & set(_bound([each]))]
        yield from [each for each in binding if isinstance(each, BINDING)] or binding


def _lines(statement: ast.stmt) -> tuple[int, int]:
    return statement.lineno, statement.end_lineno or statement.lineno


def _loading_functions(tree: ast.Module) -> frozenset[str]:
    """Functions of the module that load when they are called, also through each other."""
    bodies = {node.name: node for node in tree.body if isinstance(node, FUNCTIONS)}
    known: frozenset[str] = frozenset()
    while True:
        more = frozenset(name for name, node in bodies.items() if any(_calls(node.body, known)))
        if more == known:
            return known
        known = more


def _calls(statements: Iterable[ast.AST], loading: frozenset[str]) -> Iterator[ast.Call]:
    """Calls that load, in statements that run when these run: not in functions and classes that they define."""
    for statement in statements:
        for node in running(statement):
            if isinstance(node, ast.Call) and is_loader(node.func, loading):
                yield node


def _loads(statement: ast.stmt, loading: frozenset[str]) -> bool:
    return not isinstance(statement, NESTED) and any(_calls([statement], loading))


def _block(tree: ast.Module, loading: frozenset[str], names: frozenset[str]) -> list[ast.stmt]:
    """Statements of the top level that bind these names, and those after them that use what they bind; if one of them loads a
    model, all that load: an engine's session or graph moves with it.
    """
    top = [each for each in tree.body if not isinstance(each, (*NESTED, ast.Import, ast.ImportFrom))]
    asked = [each for each in top if names & set(_bound([each]))]
    loading |= makers(asked, names)
    with_loaders = any(_loads(each, loading) for each in asked)
    found: list[ast.stmt] = []
    for statement in top:
        moves = statement in asked or (with_loaders and _loads(statement, loading))
        if moves or _read([statement]) & set(_bound(found)):
            found.append(statement)
    return found


def _bound(statements: Sequence[ast.stmt]) -> list[str]:
    """Names that these statements bind, in order."""
    found: dict[str, None] = {}
    for statement in statements:
        own = {id(node) for each in running(statement) if isinstance(each, COMPREHENSIONS) for node in ast.walk(each)}
        for node in running(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in own:
                found[node.id] = None
    return list(found)


def _read(statements: Iterable[ast.AST]) -> set[str]:
    """Names that are read, also inside nested functions."""
    return {
        node.id
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _why_not(
    path: str, tree: ast.Module, block: Sequence[ast.stmt], names: Sequence[str], trees: Mapping[str, ast.Module]
) -> str:
    for statement in block:
        if any(isinstance(node, ast.Constant) and node.end_lineno != node.lineno for node in ast.walk(statement)):
            return "a string in it spans several lines, and a diff would indent it; move it into a function by hand"
        if defined := _defined(statement):
            return f"line {statement.lineno} begins a block that defines {', '.join(defined)}, too; move the rest by hand"
    module = PurePath(path).stem if PurePath(path).stem != "__init__" else PurePath(path).parent.name
    for other, there in trees.items():
        if other != path and (shared := _taken(there, module, names)):
            uses = "imports *" if "*" in shared else f"uses {', '.join(shared)}"
            return f"{other} {uses} from here, and would find None; by hand: make it in a function here, and call that there"
    if early := _read(_evaluated_at_import(tree)) & set(names):
        return f"a default, a decorator or a class reads {', '.join(sorted(early))} at import; read it in a function instead"
    users = _users(tree, names)
    if outside := _sets_others(block, names):
        return f"the line '{outside}' changes another object, which may be needed before the first task; move it by hand"
    if called := sorted(_reaching(tree, {user.name for user in users}) & _called_at_import(tree, block)):
        return f"{', '.join(called)} uses it in the main process, at import or by a signal; by hand: use it in tasks alone"
    if not users:
        return f"no function of this module uses {', '.join(names)}; make it by hand in the function that needs it"
    if any(_first(user).lineno == user.lineno for user in users):
        return "a function that uses it is written on the line of its 'def'; give its body a line of its own, and probe again"
    return ""


def _defined(statement: ast.stmt) -> list[str]:
    """What a block imports or defines: inside a function, only that function would have it."""
    inside = [each for node in running(statement) for each in (node, *ast.iter_child_nodes(node))]
    imported = [alias for node in inside if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    names = [(alias.asname or alias.name).partition(".")[0] for alias in imported]
    return list(dict.fromkeys([*names, *(node.name for node in inside if isinstance(node, (*FUNCTIONS, ast.ClassDef)))]))


def _taken(tree: ast.Module, module: str, names: Sequence[str]) -> list[str]:
    """Which of the names another module takes from this one: imported by name, by `*`, or read as `module.name`."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2] == module:
            imported = {alias.name for alias in node.names}
            found |= set(names) & imported | ({"*"} & imported)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] == module:
            found |= {node.attr} & set(names)
    return sorted(found)


def _sets_others(block: Sequence[ast.stmt], names: Sequence[str]) -> str:
    """The first statement to be moved that sets an attribute or an item of something that stays."""
    for statement in (each for one in block for each in running(one) if isinstance(each, ast.Assign)):
        for target in statement.targets:
            root = target
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if root is not target and not (isinstance(root, ast.Name) and root.id in names):
                return ast.unparse(statement).splitlines()[0]
    return ""


def _reaching(tree: ast.Module, users: set[str]) -> set[str]:
    """These functions, and those of the module that call them, also through each other."""
    bodies = {node.name: node for node in tree.body if isinstance(node, FUNCTIONS)}
    known: set[str] = set(users)
    while more := {name for name, node in bodies.items() if name not in known and _read(node.body) & known}:
        known |= more
    return known


def _called_at_import(tree: ast.Module, block: Sequence[ast.stmt]) -> set[str]:
    """Functions of the module that its top level calls, what is to be moved apart, and those that it hands to a signal."""
    staying = [each for each in tree.body if each not in block and not isinstance(each, NESTED)]
    called = {ast.unparse(node.func) for each in staying for node in running(each) if isinstance(node, ast.Call)}
    handlers = {
        node.name
        for node in tree.body
        if isinstance(node, FUNCTIONS) and any(MAIN_SIGNALS.search(ast.unparse(one)) for one in node.decorator_list)
    }
    return called | handlers


def _evaluated_at_import(tree: ast.Module) -> list[ast.AST]:
    """What of functions and classes runs as they are defined: defaults, decorators, and the bodies of classes."""
    found: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, (*FUNCTIONS, ast.Lambda)):
            found += [each for each in (*node.args.defaults, *node.args.kw_defaults) if each is not None]
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            found += node.decorator_list
        if isinstance(node, ast.ClassDef):
            found += [statement for statement in node.body if not isinstance(statement, NESTED)]
    return found


def _users(tree: ast.Module, names: Sequence[str]) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods that read one of the names, and do not bind it themselves."""
    inside = [node for statement in tree.body if isinstance(statement, ast.ClassDef) for node in statement.body]
    found = [node for node in (*tree.body, *inside) if isinstance(node, FUNCTIONS)]
    return [node for node in found if _read(node.body) & (set(names) - _own(node))]


def _own(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    said = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
    return ({each.arg for each in given} | set(_bound(function.body))) - said


def _first(function: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
    """The first statement after the docstring."""
    documented = ast.get_docstring(function, clean=False) is not None and len(function.body) > 1
    return function.body[1 if documented else 0]
