"""The study of searches over recorded grids: what is on record is read as the grid that it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness.certainty.intervals import middle
from harness.decide.tune import search
from harness.proof.grids import __main__ as study
from harness.proof.grids import page, record
from harness.proof.grids.projects import PROJECTS
from harness.proof.grids.record import Live

SMALL = replace(PROJECTS["waits"], concurrency="1,2")


@pytest.mark.parametrize("name", PROJECTS)
def test_a_grid_is_so_large_that_the_fewest_configurations_are_a_tenth_of_it(name: str) -> None:
    assert search.most_of(record.cells(PROJECTS[name])) <= page.MOST_SHARE * len(record.cells(PROJECTS[name]))


def test_a_recorded_grid_is_read_as_it_was_and_what_failed_scores_nothing() -> None:
    first, second, third = record.cells(SMALL)[:3]
    lines = pd.DataFrame([
        {"cell": first.id, "outcome": "ok", "trial": 1, "pace_per_s": 10.0},
        {"cell": first.id, "outcome": "ok", "trial": 2, "pace_per_s": 14.0},
        {"cell": second.id, "outcome": "hung", "trial": 1, "pace_per_s": None},
        {"cell": third.id, "outcome": "ok", "trial": 1, "pace_per_s": 11.0},
    ])  # fmt: skip
    scores, paces = record.scored(lines, record.cells(SMALL))
    assert paces == {first: (10.0, 14.0), second: (), third: (11.0,)}
    assert [scores[cell].rows_per_s for cell in (first, second, third)] == [middle([10.0, 14.0]), 0.0, 11.0]
    assert not scores[second].answers


def test_a_cell_of_another_grid_is_refused() -> None:
    lines = pd.DataFrame([{"cell": "app-prefork-c64", "outcome": "ok", "trial": 1, "pace_per_s": 10.0}])
    with pytest.raises(KeyError, match="app-prefork-c64"):
        record.scored(lines, record.cells(SMALL))


def test_live_searches_are_kept_by_application(tmp_path: Path) -> None:
    assert study.lives(tmp_path) == {}
    found = {"waits": Live(best="app-threads-c8", measured=12, grid=129, reached=0.99, note="80 - 82 and 81 - 83")}
    study.keep(tmp_path, found)
    assert study.lives(tmp_path) == found
    assert page.kept_live(found["waits"])
    assert not page.kept_live(replace(found["waits"], measured=20))
    assert not page.kept_live(replace(found["waits"], reached=0.9))
