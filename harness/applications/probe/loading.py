"""What loads a model in a module, and what else of the application does so in the main process. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping

#: of these, all that a module has moves with one of them
LOADERS = frozenset({
    "load_model", "model_from_json", "model_from_yaml", "model_from_config", "from_pretrained", "clone_model", "Sequential",
    "Session", "InteractiveSession", "set_session", "get_session", "get_default_graph", "load_weights", "SavedModel",
})  # fmt: skip
#: so do these, but only with one that is written alike: `json.load` loads no model
NAMED = LOADERS | {"load", "Booster", "InferenceSession", "SentenceTransformer", "CrossEncoder", "pipeline"}
SAVED = ("saved_model.load",)
#: Celery's signals that the main process sends (celery/signals.py)
MAIN_SIGNALS = re.compile(
    r"\b(celeryd_init|celeryd_after_setup|worker_init|worker_ready|on_after_configure|on_after_finalize)\b"
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NESTED = (*FUNCTIONS, ast.Lambda, ast.ClassDef)


def running(node: ast.AST) -> Iterator[ast.AST]:
    """The node, and what runs with it: not what is in functions and classes that it defines."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, NESTED):
            yield from running(child)


def is_loader(function: ast.expr, loading: Collection[str]) -> bool:
    name = ast.unparse(function)
    last = name.rpartition(".")[2]
    return last in LOADERS or last in loading or name in loading or name.endswith(SAVED)


def makers(statements: Collection[ast.stmt], asked: frozenset[str]) -> frozenset[str]:
    """What loads these names: 'joblib.load', as it is written."""
    making = [each for one in statements for each in running(one) if isinstance(each, ast.Assign | ast.AnnAssign)]
    found = [
        ast.unparse(each.value.func)
        for each in making
        if isinstance(each.value, ast.Call) and asked & {one.id for one in ast.walk(each) if isinstance(one, ast.Name)}
    ]
    return frozenset(name for name in found if name.rpartition(".")[2] in NAMED)


def elsewhere(trees: Mapping[str, ast.Module], path: str, loads: Collection[str]) -> str:
    """Where another module of the application loads by one of these in the main process, in words; '' if none does."""
    for other, tree in trees.items():
        for call in _in_main_process(tree) if other != path else ():
            if (name := ast.unparse(call.func)) in loads:
                return f"{other}, line {call.lineno}, calls {name} in the main process, too; move both by hand"
    return ""


def _in_main_process(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls at import, in handlers of signals of the main process, and in what Django calls when it is set up."""
    parts: list[ast.AST] = [each for each in tree.body if not isinstance(each, NESTED)]
    parts += [each for each in tree.body if isinstance(each, FUNCTIONS) and _handles(each)]
    configs = [each for each in tree.body if isinstance(each, ast.ClassDef) and any(map(_is_config, each.bases))]
    parts += [each for one in configs for each in one.body if isinstance(each, FUNCTIONS) and each.name == "ready"]
    yield from (node for part in parts for node in running(part) if isinstance(node, ast.Call))


def _handles(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(MAIN_SIGNALS.search(ast.unparse(one)) for one in function.decorator_list)


def _is_config(base: ast.expr) -> bool:
    return ast.unparse(base).rpartition(".")[2] == "AppConfig"
