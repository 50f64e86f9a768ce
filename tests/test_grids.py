"""The study of searches over recorded grids: what is on record is read as the grid that it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness.certainty.intervals import middle
from harness.decide.tune import replay, search
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


def test_what_searches_reached_is_held_to_its_bound_by_fresh_trials_if_there_are_some() -> None:
    """By the trials of the grid its luckiest cell is the best, and everything else falls short of it."""
    known = record.cells(PROJECTS["waits"])
    paces = {cell: (100.0 + number % 7,) * 2 for number, cell in enumerate(known)}
    scores = {cell: search.Score(answers=True, nearness=0.0, rows_per_s=each[0]) for cell, each in paces.items()}
    best = replay.of_paces(scores, paces).exhaustive
    one = replace(replay.of_paces(scores, paces), reached=0.95, found=(known[1], known[2], known[2]), exhaustive=best)
    assert not page.kept(one, {})
    fresh = {cell: replace(scores[best], rows_per_s=100.0) for cell in (best, known[1], known[2])}
    assert page.by_fresh(one, fresh) == [1.0, 1.0, 1.0]
    assert page.kept(one, fresh)
    slower = {**fresh, known[2]: replace(scores[best], rows_per_s=90.0)}
    assert page.by_fresh(one, slower) == [0.9, 0.9, 1.0]
    assert not page.kept(one, slower)


def test_the_spread_is_that_of_cells_with_several_trials() -> None:
    assert page.spread_of([(5.0,), (), (10.0, 10.0)]) == 0.0
    assert page.spread_of([(90.0, 110.0)]) == pytest.approx(0.1414, abs=1e-3)
    assert page.spread_of([(1.0,)]) == 0.0


def test_live_searches_are_kept_by_application(tmp_path: Path) -> None:
    assert study.lives(tmp_path) == {}
    found = {"waits": Live(best="app-threads-c8", measured=12, grid=129, reached=0.99, note="80 - 82 and 81 - 83")}
    study.keep(tmp_path, found)
    assert study.lives(tmp_path) == found
    assert page.kept_live(found["waits"])
    assert not page.kept_live(replace(found["waits"], measured=20))
    assert not page.kept_live(replace(found["waits"], reached=0.9))
