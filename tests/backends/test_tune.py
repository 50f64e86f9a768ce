"""A search over real workers: it measures, goes on where it was, stops when its time is used up, and advises."""

from __future__ import annotations

import re
from pathlib import Path

from harness.decide.advise import candidates
from harness.decide.tune.tune import MORE_TRIALS
from harness.records.store import RunFolder
from tests.integration.conftest import run_harness

GRID = """
name = "small"
summary = "a grid of four"
[settings]
measure_s = 0.5
requests = 8
limit_s = 60.0
stable_limit_s = 0.5
confirm_s = 2.0
noise_limit = 100.0
controls = false
[[cells]]
backend = ["tensorflow1"]
pool = ["prefork", "solo"]
call = ["predict", "predict_on_batch"]
workload = ["tiny-dense"]
"""


# What a search says of its best: which of them is the machine's, for a full one makes unlike configurations alike.
COMPARED = (
    r"best: tensorflow1-\S+ \(\d+\.\d+ times the rows per second of the default, tensorflow1-",
    r"best: tensorflow1-\S+ \(the default itself is the best, tensorflow1-",
    r"best: tensorflow1-\S+ \(as fast as the default, tensorflow1-",
    r"tiny-dense, \S+: no pool is the best, Celery's own overhead decides; any of these \d+ serves it",
)
ADVISED = r"tiny-dense, \S+: (use tensorflow1-\S+|no pool is the best, Celery's own overhead decides)"


def measured(folder: Path) -> list[tuple[str, int]]:
    return [(record.cell_id, record.trial) for record in RunFolder(folder).records()]


def test_a_search_measures_advises_and_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(GRID)
    asked = ("tune", "small.toml", "--share", 1, "--out", "tuned")
    short = run_harness(tmp_path, *asked, "--budget", "1s", limit_s=600)
    assert "the time was used up" in short.stdout + short.stderr, short.stdout + short.stderr  # a full machine measures none
    whole = run_harness(tmp_path, *asked, limit_s=600)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "of 4 configurations measured" in whole.stdout
    assert [each for each in COMPARED if re.search(each, whole.stdout)], whole.stdout
    assert re.search(ADVISED, whole.stdout), whole.stdout
    known = measured(tmp_path / "tuned")
    again = run_harness(tmp_path, *asked, limit_s=600)
    assert again.returncode == 0, again.stdout + again.stderr
    after = measured(tmp_path / "tuned")
    assert after[: len(known)] == known  # what was measured is kept and counts; close to a tie it may look further
    assert len(set(after)) == len(after)  # and nothing was measured twice
    replayed = run_harness(tmp_path, "tune", "--replay", "tuned", "--share", 1).stdout
    told = re.search(r"best: (\S+) .*\n(.*) of the exhaustive best, (\S+)( in the middle of 20 searches.*)?\n", replayed)
    assert told, replayed
    paces = {one.id: one.rows_per_s for one in candidates.read_all([tmp_path / "tuned"], ())}
    best, share, exhaustive = told.groups()[:3]  # which they are is the machine's; that they are told truly is ours
    assert paces[exhaustive] == max(paces.values())
    assert share == f"{paces[best] / paces[exhaustive]:.1%}"


def test_finalists_are_asked_as_often_as_a_bound_on_latency_needs(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(GRID.replace('["prefork", "solo"]', '["solo"]'))
    asked = ("tune", "small.toml", "--share", 1, "--out", "tuned", "--latency", "p95=30s", "--max-hang-rate", "50%")
    whole = run_harness(tmp_path, *asked, limit_s=600)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "a hang rate that low takes 5 fresh workers of the winner" in whole.stdout
    assert re.search(ADVISED + r".* (that keeps|and keeps) p95 <= 30 s, hang rate <= 50 %", whole.stdout), whole.stdout
    closely = RunFolder(tmp_path / "tuned" / "closer").records()
    assert {record.outcome for record in closely} == {"ok"}
    assert min(record.pace.measured_requests for record in closely) >= 90
    assert max(record.trial for record in closely) in (5, MORE_TRIALS), "more if three did not tell the finalists apart"
    again = run_harness(tmp_path, *asked, limit_s=600)
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_grid_of_several_backends_is_refused(tmp_path: Path) -> None:
    ran = run_harness(tmp_path, "tune", "grid")
    assert ran.returncode == 3
    assert "--select" in ran.stderr
