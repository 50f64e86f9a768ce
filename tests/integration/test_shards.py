"""The page about several machines: its commands, with real workers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from harness import environments
from tests.doc_pages import DOCS
from tests.integration.conftest import run_harness

pytestmark = pytest.mark.integration

PAGE = (DOCS / "how-to" / "split-a-run.md").read_text().partition("\n## On hosts")[0]
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ harness (.*)$", PAGE, re.MULTILINE)]
SERVING = """
name = "serving"
summary = "three blocks, and nothing is computed"
[settings]
measure_s = 0.2
requests = 8
stable_limit_s = 0.5
controls = false
noise_limit = 100.0
[[cells]]
backend = ["null"]
environment = ["celery"]
pool = ["solo"]
workload = ["tiny-dense"]
batch = [1, 2, 3]
"""


def test_the_commands_of_the_page_run_the_parts_and_merge_them(
    celery_environment: environments.Environment, tmp_path: Path
) -> None:
    (tmp_path / "serving.toml").write_text(SERVING)
    for words in COMMANDS:
        done = run_harness(tmp_path, *words, limit_s=300)
        assert done.returncode == 0, (words, done.stdout + done.stderr)
    assert [words[0] for words in COMMANDS] == ["run", "run", "run", "merge", "report"]
    again = run_harness(tmp_path, *COMMANDS[3])
    assert "3 trials of 3 cells, 0 of them new; shards 1/3, 2/3, 3/3" in again.stdout
    merged = pd.read_csv(tmp_path / "results/serving/cells.csv")
    assert list(merged["batch"]) == [1, 2, 3], "in the order of the experiment"
    assert set(merged["outcome"]) == {"ok"}
    assert (tmp_path / "results/serving/report.html").stat().st_size > 10_000


def test_the_workflow_has_the_commands_of_the_page() -> None:
    written = re.findall(r"run: (harness .*)$", PAGE, re.MULTILINE)
    assert written[0].replace("${{ matrix.part }}", "1") == "harness run serving.toml --shard 1/3"
    assert written[1] == "harness merge results/serving-*-of-3 --out results/serving"
