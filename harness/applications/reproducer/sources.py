"""The application's own source files, with what looks like a secret taken out."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.applications.check import modules
from harness.errors import BadInput
from harness.texts import SECRET_NAMES, hide, without_secrets

Text = ast.Constant | ast.JoinedStr
MASK = "***"
REMARK = re.compile(rf"(\w*(?:{SECRET_NAMES.pattern})\w*['\"]?\s*[:=]\s*)(\S{{4,}})", re.IGNORECASE)  # password: abcd
WORD = re.compile(r"[A-Za-z_]*")  # may stand elsewhere and be no secret there


def masked(app: str, folder: Path, *, needed: bool, loaded: Sequence[str] = ()) -> dict[str, str]:
    """Text by path below the folder: of the files that the application's module reaches by imports, nothing installed, and
    of those that were seen `loaded`, such as its settings. Raises BadInput if they are not there, and `needed`."""
    try:
        known = modules.sources(app, folder)
    except BadInput as error:
        if not needed:
            return {}
        raise BadInput(f"the application is no longer in {folder}", remedy="leave --with-source out, or probe again") from error
    inside = folder.resolve()
    found = {one.path: one.text for one in known if (folder / one.path).resolve().is_relative_to(inside)}
    found |= {path: text for path in loaded if path not in found and (text := _read(folder, path))}
    texts = {path: without(text) for path, text in found.items()}
    return {path: without_secrets(text) for path, text in texts.items()}  # each secret is out of every file


def _read(folder: Path, path: str) -> str:
    """'' if it is not there any more, or not below the folder."""
    file = folder / path
    if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
        return ""
    return file.read_text(errors="replace")


def without(text: str) -> str:
    """The text, with the strings that are given to a name, a key or a parameter of a secret as `***`, in comments, too; each of
    the strings is hidden from everything else from now on.

    >>> without("API_KEY = 'abcdefgh'  # old token: ijklmnop\\nlogin(password='xyz', user='me')")
    "API_KEY = '***'  # old token: ***\\nlogin(password='***', user='me')"
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return text
    lines = text.encode().split(b"\n")
    found = {(node.lineno, node.col_offset): node for node in secrets(tree)}
    for _, node in sorted(found.items(), reverse=True):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not WORD.fullmatch(node.value):
            hide({"SECRET": node.value})
        _replace(lines, node)
    return _remarks(b"\n".join(lines).decode())


def _remarks(text: str) -> str:
    """With what a comment tells as a secret as `***`."""
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            line, begin = token.start[0] - 1, token.start[1]
            lines[line] = lines[line][:begin] + REMARK.sub(rf"\1{MASK}", token.string)
    return "\n".join(lines)


def _replace(lines: list[bytes], node: Text) -> None:
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    new = (b"b" if isinstance(getattr(node, "value", None), bytes) else b"") + f"'{MASK}'".encode()
    begin, end = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    lines[first : last + 1] = [begin + new + end]


def secrets(tree: ast.Module) -> Iterator[Text]:
    """Texts that are a secret by what they are given to."""
    for node in ast.walk(tree):
        for name, value in _given(node):
            if SECRET_NAMES.search(name):
                yield from _texts(value)


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(name, what is given to it): assignments, defaults, named arguments, entries, comparisons, and calls such as
    `get("NAME", default)`."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        yield _name(node.target), node.value
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        yield from ((_name(key), value) for key, value in zip(node.keys, node.values, strict=True) if key is not None)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        looked_up = str(node.args[0].value)
        named = node.keywords if looked_up.isidentifier() else []  # and no sentence
        yield from ((looked_up, value) for value in (*node.args[1:], *(one.value for one in named)))
    elif isinstance(node, ast.Compare):
        yield from ((_name(node.left), value) for value in node.comparators)
    elif isinstance(node, ast.arguments):
        placed = [*node.posonlyargs, *node.args]
        yield from zip((one.arg for one in placed[len(placed) - len(node.defaults) :]), node.defaults, strict=True)
        yield from ((one.arg, value) for one, value in zip(node.kwonlyargs, node.kw_defaults, strict=True) if value is not None)


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Of `USER, PASSWORD = "me", "x"`, each name with its own part."""
    if not isinstance(target, ast.Tuple | ast.List):
        yield _name(target), value
    elif isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
        for one, part in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, part)


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Subscript):
        return _name(target.slice)
    if isinstance(target, ast.Constant):
        return str(target.value)
    return target.id if isinstance(target, ast.Name) else target.attr if isinstance(target, ast.Attribute) else ""


def _texts(value: ast.expr) -> Iterator[Text]:
    """The texts in it, but for the name of a variable that is looked up, and for f-strings without a text of their own."""
    if isinstance(value, Text) and _says_something(value):
        yield value
    elif isinstance(value, ast.Call):  # SecretStr("x"), getenv("NAME")
        for one in (*value.args, *(keyword.value for keyword in value.keywords)):
            yield from (text for text in _texts(one) if not _looked_up(getattr(text, "value", None)))
    else:
        for one in _parts(value):
            yield from _texts(one)


def _says_something(text: Text) -> bool:
    if isinstance(text, ast.JoinedStr):
        return any(isinstance(part, ast.Constant) for part in text.values)
    return isinstance(text.value, str | bytes) and bool(text.value)


def _parts(value: ast.expr) -> Sequence[ast.expr]:
    """What its value is one of, or is made of."""
    if isinstance(value, ast.BoolOp):
        return value.values
    if isinstance(value, ast.BinOp):
        return value.left, value.right
    if isinstance(value, ast.IfExp):
        return value.body, value.orelse
    if isinstance(value, ast.Dict):
        return value.values
    return value.elts if isinstance(value, ast.List | ast.Tuple | ast.Set) else ()


def _looked_up(text: object) -> bool:
    """Whether it is a name under which a secret is kept, such as DB_PASSWORD or password."""
    return isinstance(text, str) and text.isidentifier() and (text.isupper() or SECRET_NAMES.search(text) is not None)
