"""Backends that are no part of this package: how they are named and found, and that nothing of theirs is imported here."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from harness import backends, environments
from harness.backends import cookbook
from harness.decide.advise import settings
from harness.environments import environment, outside
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.run import plan

CLASS = "CALLS = ('predict',)\n\n\nclass Mine:\n    pass\n"
RAISES = "raise RuntimeError('imported')\n"
TOML = """
name = "NAME"
summary = "mine"
python = ["3.11"]
requires = ["celery==5.7.0"]
calls = ["predict"]
imports = ["celery"]
"""
CELL = Cell(backend="own_engine", pool="prefork-spawn")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backend's file, with its toml; none is named so far."""
    monkeypatch.setenv(outside.VARIABLE, "")
    monkeypatch.setattr(plan, "_description", environments.described)  # the plan keeps what it has read
    return backend(tmp_path, "own_engine")


def backend(folder: Path, name: str, code: str = CLASS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(TOML.replace("NAME", name))
    (folder / f"{name}.py").write_text(code)
    return folder / f"{name}.py"


def test_a_backend_that_is_named_is_one_of_the_descriptions(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "own_engine" not in environments.descriptions()
    monkeypatch.chdir(file.parent)
    outside.use(["own_engine.py:Mine"])
    found = environments.described("own_engine")
    assert (found.outside, found.lock) == (f"{file}:Mine", file.with_suffix(".txt"))
    assert os.environ[outside.VARIABLE] == f"{file}:Mine"
    outside.use([f"{file}:Mine"])
    assert os.environ[outside.VARIABLE] == f"{file}:Mine", "once"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("own_engine.py", "names no backend"),
        ("own_engine:Mine", "names no backend"),
        ("own_engine.py:a-b", "names no backend"),
        ("absent.py:Mine", "has no file"),
        ("own_engine.py:Other", "has no class Other"),
        ("broken.py:Mine", "is no Python"),
        ("bare.py:Mine", r"has no file .*bare\.toml"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(
    file: Path, reference: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    backend(file.parent, "broken", "class Mine(:")
    (file.parent / "bare.py").write_text(CLASS)
    with pytest.raises(BadInput, match=says):
        outside.use([reference])
    assert os.environ[outside.VARIABLE] == ""


def test_a_backend_called_like_one_of_ours_is_refused(file: Path) -> None:
    outside.use([f"{backend(file.parent, 'theano')}:Mine"])
    with pytest.raises(BadInput, match="called like another"):
        environments.descriptions()


def test_an_entry_point_is_found_and_its_package_not_imported(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    placed = backend(site / "shipped_engines", "shipped_engine", CLASS + RAISES)
    (site / "shipped_engines" / "__init__.py").write_text(RAISES)
    info = site / "shipped_engines-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shipped-engines\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{outside.GROUP}]\nany = shipped_engines.shipped_engine:Mine\n")
    monkeypatch.syspath_prepend(site)
    assert environments.described("shipped_engine").outside == f"{placed}:Mine"
    placed.unlink()
    with pytest.raises(BadInput, match="leads to no file"):
        environments.descriptions()


def test_its_worker_is_told_the_file_and_its_controls_are_ours(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside.use([f"{file}:Mine"])
    for name, value in environment.variables(environments.described("own_engine"), file.parent).items():
        monkeypatch.setenv(name, value)
    assert type(backends.get("own_engine")).__name__ == "Mine"
    assert backends.get("null").name == "null"


def test_what_its_file_says_decides_which_plan_a_trial_is_of(file: Path) -> None:
    outside.use([f"{file}:Mine"])

    def keys() -> list[str]:
        return [plan.key_of(cell, Settings(), None, None) for cell in (CELL, CELL.null_control())]

    before, again = keys(), keys()
    file.write_text(CLASS + "# changed\n")
    after = keys()
    assert before == again
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)


def test_before_its_lock_is_made_celery_is_the_one_that_it_asks_for(file: Path) -> None:
    outside.use([f"{file}:Mine"])
    assert plan.why_skipped(CELL) == ""


def test_its_code_to_paste_is_its_own_file(file: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        cookbook.of("own_engine")
    with pytest.raises(BadInput, match="no cookbook"):
        settings.of(CELL)
    outside.use([f"{file}:Mine"])
    code = settings.of(CELL).code
    assert ast.parse(code).body
    assert "backend = own_engine.Mine()" in code
    assert "backend.caller(backend.load('bundle'), 'predict')" in code
