"""The search of a grid: what it reaches, and of how much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from harness.decide.advise import candidates
from harness.decide.tune import replay, screen, search, tune
from harness.decide.tune.search import NOTHING, Score, Search
from harness.experiment.matrix import Cell, expand
from harness.experiment.pools import POOLS
from harness.machine import cores
from harness.records.outcomes import Outcome

GRID = [
    cell
    for cell in expand([{
        "backend": ["theano"], "pool": list(POOLS), "concurrency": [1, 2, 4], "call": ["predict", "predict_on_batch", "direct"],
        "batch": [1, 8, 32], "engine_threads": ["auto", "1x1"], "prefetch": [1, 4],
    }])
    if cell.pool != "solo" or cell.concurrency == 1
]  # fmt: skip
START = search.default(GRID, 2)


@pytest.mark.parametrize(("quota", "concurrency"), [(None, 4), (1.5, 2), (0.3, 1)])
def test_a_search_begins_with_as_many_children_as_cores_that_may_be_used(
    quota: float | None, concurrency: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "AVAILABLE", tuple(range(4)))
    monkeypatch.setattr(cores, "quota", lambda: quota)
    found = tune.begun(GRID, lambda cells: {}, search.SHARE).start
    assert (found.pool, found.concurrency) == ("prefork", concurrency)


def rate(cell: Cell, dice: np.random.Generator | None = None) -> float:
    """Rates that multiply, but for the number of executors: more help processes, and hurt threads."""
    value = 10.0 * {"predict": 1.0, "predict_on_batch": 3.0, "direct": 2.0}[cell.call] * cell.batch**0.8
    many = cell.pool.startswith("prefork")
    value *= min(cell.concurrency, 2) ** 0.9 if many else cell.concurrency**-0.1
    value *= 1.2 if cell.engine_threads == "1x1" and many else 1.0
    value *= {"prefork": 1.0, "prefork-spawn": 0.97, "threads": 0.8, "gevent": 0.5, "eventlet": 0.5, "solo": 0.9}[cell.pool]
    return value * (float(np.exp(dice.normal(0, 0.03))) if dice is not None else 1.0)


def searched(scores: Mapping[Cell, Score], most: int | None = None, start: Cell = START) -> Search:
    def look_up(cells: Sequence[Cell]) -> Mapping[Cell, Score]:
        return {cell: scores[cell] for cell in cells}

    found = Search(grid=list(scores), start=start, measure=look_up, most=most or search.most_of(list(scores)))
    found.run()
    return found


def ok(rows_per_s: float, nearness: float = 0.0) -> Score:
    return Score(answers=True, nearness=nearness, rows_per_s=rows_per_s)


def test_the_default_is_celerys() -> None:
    assert START.id == "theano-prefork-c2-first-task-predict"


def test_the_best_is_found_with_few_measurements() -> None:
    scores = {cell: ok(rate(cell)) for cell in GRID}
    found = searched(scores)
    assert scores[found.best] == max(scores.values())
    assert len(found.known) <= 0.10 * len(GRID)
    assert found.stopped == ""


@pytest.mark.parametrize("seed", range(20))
def test_noise_costs_little(seed: int) -> None:
    dice = np.random.default_rng(seed)
    scores = {cell: ok(rate(cell, dice)) for cell in GRID}
    found = searched(scores)
    assert rate(found.best) >= 0.9 * max(map(rate, GRID))
    assert len(found.known) <= 0.10 * len(GRID)


def test_a_pool_of_each_kind_is_measured_before_its_like() -> None:
    found = list(searched({cell: ok(rate(cell)) for cell in GRID if cell.call == "predict" and cell.batch == 1}).known)
    assert list(dict.fromkeys(cell.pool for cell in found))[:4] == ["prefork", "threads", "gevent", "solo"]


def test_another_way_to_start_processes_is_measured_early_if_the_default_fails() -> None:
    scores = {cell: NOTHING if cell.pool == "prefork" else ok(rate(cell)) for cell in GRID if cell.call == "predict"}
    found = searched({cell: scores[cell] for cell in scores if cell.pool in ("prefork", "prefork-spawn", "solo")}, most=9)
    assert found.best.pool == "prefork-spawn"


def test_a_number_is_raised_while_that_is_better_and_lowered_if_it_is_not() -> None:
    def scored(cell: Cell) -> Score:
        return ok(100.0 - abs(cell.batch - 32) + 10 * (cell.concurrency == 1))

    found = searched({cell: scored(cell) for cell in GRID if cell.pool == "prefork"})
    assert (found.best.batch, found.best.concurrency) == (32, 1)
    batches = [cell.batch for cell in found.known if cell.pool == "prefork"]
    assert batches.index(8) < batches.index(32)


def test_what_hangs_or_breaks_a_bound_is_left_for_what_keeps_it() -> None:
    def scored(cell: Cell) -> Score:
        if cell.pool == "prefork":
            return NOTHING
        worst_s = cell.batch / rate(cell) * cell.concurrency
        return ok(rate(cell), -math.log(worst_s / 0.2) if worst_s > 0.2 else 0.0)

    scores = {cell: scored(cell) for cell in GRID}
    found = searched(scores)
    assert scores[found.best].nearness == 0
    assert found.best.pool == "prefork-spawn"
    assert scores[found.best].rows_per_s >= 0.97 * max(one.rows_per_s for one in scores.values() if one.nearness == 0)


def test_the_default_is_measured_first_and_the_budget_is_kept() -> None:
    found = searched({cell: ok(rate(cell)) for cell in GRID}, most=5)
    assert next(iter(found.known)) == START
    assert len(found.known) == 5
    assert found.stopped == "5 configurations were measured"


def test_a_grid_of_few_cells_is_measured_whole() -> None:
    """Its best differs from the default in two blocks at once, which a descent by blocks does not see."""
    few = [cell for cell in GRID if cell.pool in ("prefork", "solo") and cell.concurrency == 1 and cell.prefetch == 4]
    few = [cell for cell in few if cell.batch in (1, 8) and cell.engine_threads == "auto"][:12]
    start = search.default(few, 1)
    others = [
        cell for cell in few if sum(getattr(cell, name) != getattr(start, name) for name in ("pool", "call", "batch")) == 3
    ]
    scores = {cell: ok(100.0 if cell in others[:1] else 20.0 if cell == start else 10.0) for cell in few}
    found = searched(scores, start=start)
    assert len(few) == len(found.known) == 12
    assert found.best == others[0]
    assert found.stopped == ""
    assert next(iter(found.known)) == start


@pytest.mark.parametrize(("cells", "most"), [(1, 1), (6, 6), (16, 16), (17, 12), (46, 12), (216, 21)])
def test_a_share_of_a_small_grid_is_enough_for_a_round(cells: int, most: int) -> None:
    assert search.most_of(GRID[:1] * cells) == most


def test_a_measurement_that_runs_out_of_time_ends_the_search() -> None:
    found = Search(grid=GRID, start=START, measure=lambda cells: {cells[0]: ok(1.0)}, most=50)
    assert found.run() == START or len(found.known) > 1
    assert found.stopped == "the time was used up"


def test_scores_put_bounds_before_rates() -> None:
    assert ok(1.0) > ok(100.0, nearness=-0.5) > ok(200.0, nearness=-2.0) > NOTHING


def test_only_finalists_whose_workers_differ_too_much_are_measured_more_often(tmp_path: Path) -> None:
    from harness.decide.advise import constraints
    from harness.decide.tune.tune import OfExperiment, TuneOrder, undecided
    from harness.experiment.experiment import Block, Experiment
    from tests.test_advise import FORK, SOLO, SPAWN, THREADS, fleet, written

    run = tmp_path / "run"
    groups = {FORK: (20, 22, 24), SOLO: (20, 20, 20), SPAWN: (20, 20, 50), THREADS: (20, 22, 24)}
    bounds = constraints.parse(latency=["p99=30ms"], max_hang_rate="1%")
    block = Block.model_validate({"backend": ["tensorflow2"], "pool": ["solo"]})
    ask = OfExperiment(experiment=Experiment(name="e", summary="", cells=[block]))
    order = TuneOrder(grid=list(groups), settings=ask.experiment.settings, ask=ask, bounds=bounds, folder=run)
    assert undecided(order, [FORK]) == []
    written(run, *(fleet(*p99_ms, cell=cell) for cell, p99_ms in groups.items()))
    assert undecided(order, [FORK, SOLO, SPAWN]) == [FORK], "the others keep the bound, or break it; hangs are another matter"


def test_the_shipped_grid_is_one() -> None:
    from harness import environments, workloads
    from harness.decide.tune.tune import grid_of
    from harness.experiment import experiment
    from harness.run import plan

    root = Path(__file__).parent.parent
    assert (root / "experiments/grid.toml").exists()
    spec = experiment.read("grid", backends=list(environments.descriptions()), workloads=list(workloads.NAMES))
    grid = grid_of(spec, plan.why_skipped)
    backends = {cell.backend: [each for each in grid if each.backend == cell.backend] for cell in grid}
    assert {name: len(cells) for name, cells in backends.items()} == {"tensorflow2": 216, "tensorflow1": 72, "theano": 48}


def test_the_search_reaches_the_best_of_the_recorded_grid_with_little_of_it() -> None:
    """The committed run of the shipped grid: pure, what is replayed does not depend on this machine."""
    found = replay.of_run(Path(__file__).parent.parent / "results" / "grid", ())
    assert len(found) == 3
    for one in found:
        assert one.reached >= 0.97, one.exhaustive.id
        assert one.answer.measured <= max(search.LEAST, search.SHARE * one.answer.grid)


def test_numbers_are_doubled_before_pools_are_compared_and_pools_then_have_as_many() -> None:
    """Of an application that waits: with two executors all pools are alike, and with eight they are not."""
    base = Cell(backend="null", pool="prefork", concurrency=2)
    grid = [replace(base, pool=pool, concurrency=count) for pool in ("prefork", "threads", "gevent") for count in range(1, 9)]
    grid += [replace(base, pool="solo", concurrency=1)]

    def measure(cells: Sequence[Cell]) -> dict[Cell, search.Score]:
        asked.extend((cell.pool, cell.concurrency) for cell in cells)
        paces = {cell: cell.concurrency * (10.0 if cell.pool == "prefork" else 8.0) for cell in cells}
        return {cell: search.Score(answers=True, nearness=0.0, rows_per_s=pace) for cell, pace in paces.items()}

    asked: list[tuple[str, int]] = []
    found = search.Search(grid=grid, start=base, measure=measure, most=12)
    assert found.run() == replace(base, concurrency=8)
    assert asked[:6] == [("prefork", 2), ("prefork", 4), ("prefork", 8), ("threads", 8), ("gevent", 8), ("solo", 1)]


def test_a_grid_with_several_trials_is_searched_several_times_and_told_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = np.random.default_rng(7)
    known = [
        candidates.Candidate(
            cell=cell, row={"rows_per_s": rate(cell)}, paces=tuple(rate(cell, dice) for _ in range(5)), run="r", reason="",
            outcome=Outcome.OK,
        )
        for cell in GRID
    ]  # fmt: skip
    monkeypatch.setattr(candidates, "read_all", lambda folders, bounds: known)
    (one,) = replay.of_run(Path("grid"), ())
    assert one.searches == replay.SEARCHES
    assert one.worst <= one.reached <= 1.0
    assert one.reached >= 0.97
    assert one.answer.share <= search.SHARE
    console = Console(width=200)
    with console.capture() as said:
        screen.replayed(console, one)
    assert f"in the middle of 20 searches, {one.worst:.1%} at the least" in said.get()
