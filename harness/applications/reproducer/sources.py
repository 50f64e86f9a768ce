"""The application's own source files, with what looks like a secret taken out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from harness.applications.check import modules
from harness.errors import BadInput
from harness.texts import SECRET_NAMES, hide, without_secrets

MASK = "***"
WORD = re.compile(r"[A-Za-z_]*")  # may stand elsewhere and be no secret there


def masked(app: str, folder: Path, *, needed: bool) -> dict[str, str]:
    """Text by path below the folder: of the files that the application's module reaches by imports there, nothing installed.
    Raises BadInput if they are not there, and `needed`."""
    try:
        known = modules.sources(app, folder)
    except BadInput as error:
        if not needed:
            return {}
        raise BadInput(f"the application is no longer in {folder}", remedy="leave --with-source out, or probe again") from error
    inside = folder.resolve()
    found = {one.path: one.text for one in known if (folder / one.path).resolve().is_relative_to(inside)}
    texts = {path: without(text) for path, text in found.items()}
    return {path: without_secrets(text) for path, text in texts.items()}  # each secret is out of every file


def without(text: str) -> str:
    """The text, with the strings that are given to a name, a key or a parameter of a secret as `***`; each of them is hidden
    from everything else from now on.

    >>> without("API_KEY = 'abcdefgh'\\nlogin(password='xyz', user='me')")
    "API_KEY = '***'\\nlogin(password='***', user='me')"
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return text
    lines = text.encode().split(b"\n")
    found = {(node.lineno, node.col_offset): node for node in secrets(tree)}
    for _, node in sorted(found.items(), reverse=True):
        if isinstance(node.value, str) and not WORD.fullmatch(node.value):
            hide({"SECRET": node.value})
        _replace(lines, node)
    return b"\n".join(lines).decode()


def _replace(lines: list[bytes], node: ast.Constant) -> None:
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    new = (b"b" if isinstance(node.value, bytes) else b"") + f"'{MASK}'".encode()
    begin, end = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    lines[first : last + 1] = [begin + new + end]


def secrets(tree: ast.Module) -> Iterator[ast.Constant]:
    """Constants that are a secret by what they are given to."""
    for node in ast.walk(tree):
        for name, value in _given(node):
            if SECRET_NAMES.search(name):
                yield from _texts(value)


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(name, what is given to it): assignments, defaults, named arguments, entries, and `get("NAME", default)`."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield _name(target), node.value
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        yield from ((_name(key), value) for key, value in zip(node.keys, node.values, strict=True) if key is not None)
    elif isinstance(node, ast.Call) and len(node.args) >= 2 and isinstance(node.args[0], ast.Constant):
        yield from ((str(node.args[0].value), value) for value in node.args[1:])
    elif isinstance(node, ast.arguments):
        named = [*node.posonlyargs, *node.args]
        yield from zip((one.arg for one in named[len(named) - len(node.defaults) :]), node.defaults, strict=True)
        yield from ((one.arg, value) for one, value in zip(node.kwonlyargs, node.kw_defaults, strict=True) if value is not None)


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Subscript):
        return _name(target.slice)
    if isinstance(target, ast.Constant):
        return str(target.value)
    return target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""


def _texts(value: ast.expr) -> Iterator[ast.Constant]:
    """The texts in it, but for the name of a variable that is looked up and the parts of an f-string."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str | bytes) and value.value:
        yield value
    elif isinstance(value, ast.BoolOp):
        for one in value.values:
            yield from _texts(one)
    elif isinstance(value, ast.List | ast.Tuple | ast.Set):
        for one in value.elts:
            yield from _texts(one)
