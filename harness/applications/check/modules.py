"""The source files that are the application's: reached by imports from its module, below its folder. Read, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput

MOST = 400  # files
MOST_BYTES = 2_000_000  # of one file
INSTALLED = ("site-packages", "dist-packages")
SOURCE = "src"  # where a project may keep its packages, which are then installed from there or in PYTHONPATH
NAMING = ("include", "imports", "CELERY_IMPORTS", "CELERY_INCLUDE")  # what names further modules of tasks


@dataclass(frozen=True, kw_only=True)
class Source:
    """`path`: relative to the application's folder. `unread`: why its `tree` is empty, for newer Python or none."""

    path: str
    module: str
    text: str
    tree: ast.Module
    unread: str = ""


def sources(app: str, folder: Path) -> list[Source]:
    """The application's module first. Raises BadInput if there is none."""
    module = app.partition(":")[0]
    found: dict[str, Source] = {}
    waiting = _candidates(module)
    while waiting and len(found) < MOST:
        name = waiting.pop(0)
        if name in found or (path := _file(folder, name)) is None:
            continue
        found[name] = one = _read(path, folder, name)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [*_packages(name), *_imported(one.tree, package), *_named(one.tree)]
        if "autodiscover_tasks" in one.text:
            found_there = sorted([*folder.glob("**/tasks.py"), *folder.glob("**/apps.py")])  # Django's, and its `ready`
            waiting += [_dotted(path, folder) for path in found_there if not _is_installed(path, folder)]
    if not found:
        raise BadInput(
            f"--app {app}: there is no module {module!r} below {folder}",
            remedy="name it as celery -A does, such as proj.tasks:app, and --cwd, the folder that its worker is started from",
        )
    return list(found.values())


def _candidates(module: str) -> list[str]:
    """What `celery -A` would look for: the module, then `celery` in it, then it as an object of its package."""
    parent = module.rpartition(".")[0]
    return [name for name in (module, f"{module}.celery", parent) if name]


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _file(folder: Path, module: str) -> Path | None:
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    for root in (folder, folder / SOURCE):
        base = root.joinpath(*module.split("."))
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file() and path.stat().st_size < MOST_BYTES and not _is_installed(path, folder):
                return path
    return None


def _is_installed(path: Path, folder: Path) -> bool:
    return any(part in INSTALLED for part in path.relative_to(folder).parts)


def _dotted(path: Path, folder: Path) -> str:
    root = folder / SOURCE
    inside = path.is_relative_to(root) and not (root / "__init__.py").is_file()
    return ".".join(path.relative_to(root if inside else folder).with_suffix("").parts)


class _Untyped(ast.NodeTransformer):
    """`x: int = f()` as `x = f()`."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return node
        return ast.copy_location(ast.Assign(targets=[node.target], value=self.visit(node.value)), node)


def tree_of(text: str) -> ast.Module:
    """What the source does: a type beside an assignment does nothing. Raises SyntaxError, ValueError, RecursionError."""
    found: ast.Module = _Untyped().visit(ast.parse(text))
    return found


def _read(path: Path, folder: Path, module: str) -> Source:
    """The application's interpreter may be a newer one: what ours cannot parse, its import will tell."""
    text, unread = path.read_text(errors="replace"), ""
    try:
        tree = tree_of(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        tree, unread = ast.parse(""), f"{type(error).__name__}: {error}"
    return Source(path=path.relative_to(folder).as_posix(), module=module, text=text, tree=tree, unread=unread)


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _named(tree: ast.Module) -> Iterator[str]:
    """Modules that a setting names: Celery(include=["proj.tasks"]), app.conf.imports = (…)."""
    for node in ast.walk(tree):
        named = isinstance(node, ast.keyword) and node.arg in NAMING
        if isinstance(node, ast.Assign):
            named = any(ast.unparse(each).rpartition(".")[2] in NAMING for each in node.targets)
        if named and isinstance(node, ast.keyword | ast.Assign):
            for each in ast.walk(node.value):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each.value
