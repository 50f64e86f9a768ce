"""The page "Measure an engine of your own", followed: its engine answers rightly from its two files, in a real worker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import environments
from harness.environments import description
from harness.places import LOCKS
from tests.integration.conftest import ROOT, cells, run_harness

PAGE = ROOT / "docs/how-to/engine-from-outside.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's files. The lock is that of the controls, which require the same: it need not be looked for."""
    code, environment, experiment, _ = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "numpy_dense.py").write_text(code)
    (tmp_path / "numpy_dense.toml").write_text(environment)
    (tmp_path / "numpy_dense.txt").write_text((LOCKS / "celery.txt").read_text())
    (tmp_path / "numpy-dense.toml").write_text(experiment.replace("[[cells]]", "[settings]\ncontrols = false\n\n[[cells]]"))
    return tmp_path


def test_the_engine_of_the_page_is_served_and_held_to_the_reference(folder: Path) -> None:
    wanted = set(description.read(folder / "numpy_dense.toml").requires)
    assert wanted == set(environments.described("celery").requires), "or its lock is another one"
    ran = run_harness(
        folder, "run", "numpy-dense.toml", "--backend", "numpy_dense.py:Backend", "--select", "*-threads-c1-first-task",
        "--measure-s", 0.5, "--requests", 5, "--stable-limit-s", 0.5, "--noise-limit", 100, "--out", "run",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    (row,) = cells(folder / "run").to_dict("records")
    assert row["outcome"] == "ok", row["reason"]
    assert "match the reference" in row["reason"]
