"""One contract for all cookbooks: each backend has one, and what it writes compiles, runs, and loads the model where it says.

The engines are stand-ins here; `tests/backends/test_cells.py` runs the same code on real ones.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy
import pytest
from celery import Celery, _state

from harness import backends, environments
from harness.applications.reproducer import application
from harness.backends import cookbook
from harness.backends.cookbook.placements import PLACEMENTS
from harness.decide.advise import settings
from harness.experiment import matrix
from harness.experiment.matrix import Cell
from harness.places import PACKAGE

BACKENDS = [name for name in environments.descriptions() if (PACKAGE / "backends" / f"{name}.py").exists()]
CASES = [
    (backend, call, placement)
    for backend in BACKENDS
    for call in environments.descriptions()[backend].calls
    for placement in matrix.PLACEMENTS
]

#: when the model is loaded: by a signal of Celery's, or by a task; all other placements load at import
LOADED = {"process-init": "worker_process_init", "first-task": "task", "each-thread": "task", "each-task": "task"}


def test_each_placement_of_an_experiment_has_its_code() -> None:
    assert tuple(PLACEMENTS) == matrix.PLACEMENTS


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_calls_of_a_cookbook_are_those_of_its_backend(backend: str) -> None:
    served = importlib.import_module(f"harness.backends.{backend}").CALLS
    assert tuple(cookbook.of(backend).calls) == served == environments.descriptions()[backend].calls
    assert set(served) <= set(matrix.CALLS)


@pytest.mark.parametrize(("backend", "call"), sorted({(backend, call) for backend, call, _ in CASES}))
def test_the_model_is_asked_as_our_worker_asked_it(backend: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, worker, user, kept = Rows(), MagicMock(), MagicMock(), MagicMock()
    for library in {*libraries(cookbook.of(backend).imports), *libraries(cookbook.of(backend).calls[call].imports)}:
        monkeypatch.setitem(sys.modules, library, PassesOn())
    backends.get(backend).caller(worker, call)(rows)
    names = {name: kept for name, _ in cookbook.of(backend).calls[call].keeps}
    exec(cookbook.of(backend).calls[call].asked("model", "rows"), {"model": user, "rows": rows, "numpy": numpy, **names})
    assert asked(worker, rows) == asked(user, rows) != []


def asked(model: MagicMock, rows: object) -> list[tuple[str, dict[str, Any]]]:
    """(method, options) of each call with these rows, or with a dictionary of them."""
    return [
        (name.rpartition(".")[2], options)
        for name, given, options in model.mock_calls
        if rows in given or {"rows": rows} in given
    ]


class Rows:
    """Of a request: one."""

    def __len__(self) -> int:
        return 1


class PassesOn:
    """A library whose functions give back what they are given, so that the rows are seen where they arrive. What it runs
    elsewhere, it runs here.
    """

    utils = property(lambda self: self)
    data = property(lambda self: self)

    def Parallel(self, **options: object) -> Callable[[Iterable[object]], list[object]]:  # noqa: N802 - as the library names it
        return list

    def delayed(self, function: Callable[..., object]) -> Callable[..., object]:
        return function

    def Pool(self, size: int) -> nullcontext[SimpleNamespace]:  # noqa: N802 - as the library names it
        return nullcontext(SimpleNamespace(map=lambda function, given: [function(one) for one in given]))

    def DataLoader(self, given: object, **options: object) -> list[object]:  # noqa: N802 - as the library names it
        return [given]

    def __getattr__(self, name: str) -> Callable[..., object]:
        return lambda given=None: nullcontext() if given is None else given


@pytest.mark.parametrize("backend", BACKENDS)
def test_engine_threads_are_limited_by_code_or_by_variables_and_left_alone_otherwise(backend: str) -> None:
    book = cookbook.of(backend)
    told = [
        (book.load(next(iter(book.calls)), path="'m'", intra=intra, inter=inter), book.variables(intra, inter))
        for intra, inter in [(None, None), (1, 1), (2, 2)]
    ]
    assert all(one != other for one, other in itertools.combinations(told, 2))
    assert "None" not in str(told)


@pytest.mark.parametrize(("backend", "call", "placement"), CASES)
def test_what_a_cookbook_writes_compiles(backend: str, call: str, placement: str) -> None:
    for threads, parent in itertools.product((matrix.AUTO, "2x1"), matrix.PARENT_DEEDS):
        cell = Cell(
            backend=backend, pool="prefork", placement=placement, call=call, engine_threads=threads, parent=parent, max_tasks=9
        )
        compile(settings.of(cell).code, "recommend", "exec")
        compile(application.tasks(cell), "bundle", "exec")


@pytest.mark.parametrize(("backend", "call", "placement"), CASES)
def test_the_code_that_is_advised_loads_once_and_where_it_says(
    backend: str, call: str, placement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_state, "_on_app_finalizers", set(_state._on_app_finalizers))  # else later apps get this task, too
    book, names, loads = cookbook.of(backend), surroundings(), list[str]()
    stage = "import"
    for library in {*libraries(book.imports), *libraries(book.calls[call].imports)}:
        monkeypatch.setitem(sys.modules, library, MagicMock(DataLoader=lambda given, **_: [given]))
    exec(book.load(call, path="'model'", intra=1, inter=1), names)
    load: Callable[[], Any] = names["load"]
    names["load"] = lambda: (loads.append(stage), load())[1]
    exec(book.place(call, placement), names)
    exec(book.task(call, placement, returned="type(answer).__name__"), names)
    names["app"].finalize()  # Celery makes its tasks, in the main process
    for signal, handler in names["signals"].connected:
        stage = signal
        handler()
    stage = "task"
    assert names["predict"]([[1.0]])
    assert names["predict"]([[2.0]])
    assert loads == [LOADED.get(placement, "import")] * (2 if placement == "each-task" else 1)


def surroundings() -> dict[str, Any]:
    """What a user's module has above the code."""
    app = Celery("proj", set_as_current=False)
    return {
        "app": app, "numpy": numpy, "signals": Signals(), "threading": threading, "EXAMPLE": [[0.0]], "__name__": "proj.tasks"
    }  # fmt: skip


class Signals:
    """Celery's, which keep who is connected: (signal, handler)."""

    def __init__(self) -> None:
        self.connected: list[tuple[str, Callable[[], None]]] = []

    def __getattr__(self, signal: str) -> SimpleNamespace:
        return SimpleNamespace(connect=lambda handler: self.connected.append((signal, handler)))


def libraries(imports: str) -> list[str]:
    """The modules that these statements import, each behind the packages that it stands in."""
    found = []
    for statement in ast.parse(imports).body:
        names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
        names += [str(statement.module)] if isinstance(statement, ast.ImportFrom) else []

        found += [".".join(name.split(".")[:size]) for name in names for size in range(1, name.count(".") + 2)]
    return found


@pytest.mark.parametrize("path", sorted(Path(cookbook.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_a_cookbook_can_be_read_by_python_3_7(path: Path) -> None:
    assert ast.parse(path.read_text(), feature_version=(3, 7)).body


def compared(source: str) -> list[str]:
    """Backends that a module's text compares something with, by name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        asks = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith"
        if isinstance(node, ast.Compare) or asks:
            told = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
            found += [str(value) for value in told if value in BACKENDS]
    return found


def test_nobody_outside_asks_which_backend_it_is() -> None:
    outside = [path for path in PACKAGE.rglob("*.py") if "backends" not in path.relative_to(PACKAGE).parts]
    found = {str(path.relative_to(PACKAGE)): compared(path.read_text()) for path in outside}
    assert not {path: names for path, names in found.items() if names}


def test_a_backend_that_is_asked_for_by_name_is_found() -> None:
    assert compared("if cell.backend == 'theano': pass") == ["theano"]
    assert compared("x = cell.backend.startswith('tensorflow1')") == ["tensorflow1"]
    assert compared("x = 1 if name in ('tensorflow2', 'mxnet') else 2") == ["tensorflow2"]
