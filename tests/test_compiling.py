"""Compile caches are made warm once per model and call, and only if a trial counts on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from numpy import zeros

from harness.environments import Environment
from harness.errors import MissingTool
from harness.experiment.matrix import Cell
from harness.run import compiling
from harness.run.bundles import Bundle

CELLS = [
    Cell(backend="theano", pool="solo"),
    Cell(backend="theano", pool="prefork", concurrency=2),  # the same model and call
    Cell(backend="theano", pool="solo", call="predict_on_batch"),
    Cell(backend="theano", pool="solo", workload="convnet-large", compile_cache="cold"),
    Cell(backend="theano", pool="solo", workload="lstm"),
    Cell(backend="null", environment="theano", pool="solo", workload="tiny-dense"),
    Cell(backend="tensorflow1", pool="solo"),
    Cell(backend="tensorflow2", pool="solo"),
]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was compiled, in place of compiling it."""
    found = list[str]()

    def call(cell: Cell, _environment: Environment, _bundle: Path) -> bool:
        found.append(f"{cell.workload} {cell.call}")
        return cell.workload != "lstm"

    monkeypatch.setattr(compiling, "_called", call)
    return found


def environment(name: str, cache: Path) -> Environment:
    return Environment(
        name=name, python=Path(name), directory=Path(name), fingerprint=name, installed={}, variables={},
        interpreter_version="3.8.18", facts={}, cache_dir=cache / name,
    )  # fmt: skip


def test_each_model_and_call_is_compiled_once_where_a_warm_cache_is_counted_on(tmp_path: Path, called: list[str]) -> None:
    names = {cell.workload for cell in CELLS}
    bundles = {name: Bundle(folder=tmp_path, reference=zeros(1, "float32"), dtype="", fingerprint=name) for name in names}
    ready = {
        "theano": environment("theano", tmp_path),
        "tensorflow1": environment("tensorflow1", tmp_path),
        "tensorflow2": MissingTool("no such interpreter"),
    }
    said = list[str]()
    compiling.make_warm(CELLS, ready, bundles, said.append)
    assert called == ["digits-cnn predict", "digits-cnn predict_on_batch", "lstm predict"]
    assert said[0] == "theano: compiling digits-cnn for predict, once"
    compiling.make_warm(CELLS, ready, bundles, said.append)
    assert called[3:] == ["lstm predict"], "a second run finds the others done, and tries again what failed"
