"""How a function uses files by a name that its module makes once: whether it writes such a file, and reads it again. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from harness.applications.check import exclusive, functions, written
from harness.applications.check.functions import last
from harness.applications.check.written import Use

#: what makes a name that no other process has, if it is called there
OWN = frozenset((
    "getpid", "uuid1", "uuid4", "token_hex", "token_urlsafe", "mkdtemp", "mkstemp", "mktemp", "NamedTemporaryFile",
    "TemporaryDirectory",
))  # fmt: skip
#: what makes one path of several parts
PARTS = frozenset(("join", "joinpath", "Path", "str", "PurePath", "fspath", "with_suffix", "with_name", "format"))
WRITES = frozenset(
    ("write_text", "write_bytes", "save", "savez", "savetxt", "to_csv", "to_parquet", "to_json", "dump", "imwrite")
)
READS = frozenset(("read_text", "read_bytes", "load", "loadtxt", "read_csv", "read_parquet", "read_json", "imread"))


def is_own(tree: ast.Module, name: str) -> bool:
    """Whether the module makes what goes by this name for its process: by a call, or of another name that it makes so.

    >>> tree = ast.parse("HOME = tempfile.mkdtemp()\\nPATH = os.path.join(HOME, 'in.json')\\nFIXED = '/tmp/in.json'")
    >>> [is_own(tree, name) for name in ("HOME", "PATH", "FIXED")]
    [True, True, False]
    """
    if any(name in each.names for each in ast.walk(tree) if isinstance(each, ast.Global)):
        return False  # it is made anew, in each child maybe
    known = set[str]()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            used = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
            if used & known or any(last(call.func) in OWN for call in functions.calls_at(node.value)):
                known.add(node.targets[0].id)
    return name in known


def use(node: ast.AST, name: str) -> Use | None:
    """How a function uses files whose name is made of this one and of what no call changes; None if it writes none.

    >>> source = "def run(x):\\n  path = os.path.join(HOME, 'in')\\n  open(path, 'w').write(x)\\n  return open(path).read()"
    >>> use(ast.parse(source).body[0], "HOME")
    <Use.SCRATCH: 'scratch'>
    >>> use(ast.parse(source.replace("'in'", "x")).body[0], "HOME")
    """
    if exclusive.holds_lock(node):
        return None
    texts = _named(node, name)
    names = set(texts)
    writes = [call for call in functions.calls_at(node) if _opens(call, names, writing=True)]
    if not writes:
        return None
    first = min(writes, key=lambda call: call.lineno)
    at_times = any(first in ast.walk(each) for each in ast.walk(node) if isinstance(each, written.MAYBE))
    wrote = _texts(first, texts)
    reads = [call for call in functions.calls_at(node) if _opens(call, names, writing=False) and _texts(call, texts) & wrote]
    again = not at_times and bool(reads) and min(call.lineno for call in reads) > first.lineno
    again = again and not exclusive.may_run_alone(node)
    return Use.SCRATCH if again else Use.WRITES


def _named(node: ast.AST, name: str) -> dict[str, tuple[str, ...]]:
    """The texts that each name of a function is made of that stands for one path in all calls: `path` of `HOME / "in.json"`."""
    found: dict[str, tuple[str, ...]] = {name: (name,)}
    bound = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
    for each in ast.walk(node):
        target = each.targets[0] if isinstance(each, ast.Assign) else None
        once = isinstance(target, ast.Name) and bound.count(target.id) == 1
        if once and isinstance(target, ast.Name) and isinstance(each, ast.Assign) and _is_fixed(each.value, set(found)):
            found[target.id] = _text(each.value, found)
    return found


def _texts(call: ast.Call, texts: dict[str, tuple[str, ...]]) -> set[tuple[str, ...]]:
    """What the paths are made of that a call is given."""
    return {_text(path, texts) for path in _paths(call) if _is_fixed(path, set(texts))}


def _text(node: ast.expr, texts: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What an expression is made of, in the order of its text."""
    if isinstance(node, ast.Constant):
        return tuple(filter(None, (str(node.value).strip("/"),)))
    name = last(node)
    if name in texts:
        return texts[name]
    return tuple(text for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr) for text in _text(each, texts))


def _is_fixed(node: ast.expr, names: set[str]) -> bool:
    """Whether it is made of one of these names, and of nothing that differs from call to call."""
    calls = functions.calls_at(node)
    parts = {id(each) for call in calls for each in ast.walk(call.func)}
    loaded = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and id(each) not in parts]
    own = [each.value.id for each in ast.walk(node) if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name)]
    used = {*loaded, *(one for one in own if one in names)}
    return bool(used & names) and set(loaded) <= names and all(last(call.func) in PARTS for call in calls)


def _opens(call: ast.Call, names: set[str], *, writing: bool) -> bool:
    verb, paths = last(call.func), list(_paths(call))
    if not any(_is_fixed(path, names) for path in paths):
        return False
    if verb == "open":
        mode = functions.argument(call, ("mode",), 1 if isinstance(call.func, ast.Name) else 0)
        text = mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else "" if mode else "r"
        return bool(set(text) & set("wx")) if writing else bool(text) and not set(text) & set("wxa")
    return verb in (WRITES if writing else READS)


def _paths(call: ast.Call) -> Iterator[ast.expr]:
    yield from call.args
    if isinstance(call.func, ast.Attribute):
        yield call.func.value
