"""A search in somebody's own application: its grid, and what a worker and the advice make of a cell of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.applications.probe import varied
from harness.applications.probe.pace import Pace
from harness.applications.tune import grid
from harness.applications.tune.application import OfApplication
from harness.applications.tune.command import set_aside
from harness.decide.advise import settings
from harness.decide.tune import search
from harness.errors import BadInput
from harness.experiment.experiment import REPEATS, Settings
from harness.experiment.matrix import CAME_LATER, Cell, matches
from harness.records.store import RunFolder
from harness.run import plan
from harness.trial.application import Application, Limits, varied_arguments
from tests.test_application_source import ORDER, source
from tests.test_store import record


def cells(**changes: object) -> tuple[Cell, ...]:
    asked = {"pools": ("prefork", "threads", "solo"), "concurrency": (2, 4), "prefetch": (), "max_tasks": (), "variables": ()}
    return grid.cells("shop.price", "closed-4", **{**asked, **changes})  # type: ignore[arg-type]


def test_what_cannot_differ_is_one_configuration() -> None:
    assert [cell.id for cell in cells()] == [
        "app-prefork-c2-as-written-task-shop.price", "app-prefork-c4-as-written-task-shop.price",
        "app-threads-c2-as-written-task-shop.price", "app-threads-c4-as-written-task-shop.price",
        "app-solo-c1-as-written-task-shop.price",
    ]  # fmt: skip
    replaced = cells(max_tasks=(0, 100))
    assert len(replaced) == 2 * 2 + 2 + 1  # only children are replaced
    assert sorted({cell.max_tasks for cell in replaced if cell.pool != "prefork"}) == [0]


def test_variables_are_combined_and_the_application_s_own_come_first() -> None:
    given = grid.variables(["OMP_NUM_THREADS=1,2", "LD_PRELOAD=/usr/lib/a b.so"])
    assert given == (
        "", "LD_PRELOAD='/usr/lib/a b.so'", "OMP_NUM_THREADS=1", "OMP_NUM_THREADS=1 LD_PRELOAD='/usr/lib/a b.so'",
        "OMP_NUM_THREADS=2", "OMP_NUM_THREADS=2 LD_PRELOAD='/usr/lib/a b.so'",
    )  # fmt: skip
    found = cells(variables=given, pools=("solo",))
    assert len({cell.id for cell in found}) == 6
    assert found[3].id == "app-solo-c1-as-written-task-shop.price-OMP_NUM_THREADS=1_LD_PRELOAD=_usr_lib_a_b.so_"
    assert matches(found[3], "app-solo-*-OMP_NUM_THREADS=1*")


@pytest.mark.parametrize(
    ("option", "values"), [("--vary", ["OMP_NUM_THREADS"]), ("--vary", ["=1"]), ("--vary", ["A="]), ("--prefetch", "x")]
)
def test_nonsense_is_refused_with_an_example(option: str, values: object) -> None:
    with pytest.raises(BadInput) as caught:
        grid.variables(values) if isinstance(values, list) else grid.numbers(option, str(values), 1)
    assert str(caught.value).startswith(option)
    assert option in str(caught.value.remedy)


def test_a_grid_that_is_too_large_or_has_two_names_alike_is_refused() -> None:
    with pytest.raises(BadInput, match="more than 500"):
        cells(concurrency=tuple(range(1, 400)))
    with pytest.raises(BadInput, match="told apart by name"):
        cells(variables=("A=x/y", "A=x:y"))


def test_a_worker_is_told_only_what_is_varied() -> None:
    cell = Cell(backend="app", pool="prefork", prefetch=1, max_tasks=50)
    assert varied_arguments(cell, ()) == []
    assert varied_arguments(cell, ("prefetch",)) == ["--prefetch-multiplier", "1"]
    assert varied_arguments(cell, ("prefetch", "max_tasks")) == ["--prefetch-multiplier", "1", "--max-tasks-per-child", "50"]
    never = Cell(backend="app", pool="prefork", prefetch=1, max_tasks=0)
    assert varied_arguments(never, ("max_tasks",)) == []  # the application's own


def application(**changes: object) -> Application:
    known = {
        "app": "shop:app", "tasks": ("shop.price",), "python": Path("/v/bin/python"), "folder": Path("/shop"),
        "rows": Path("rows"),
        "own_variables": {"SHOP": "1", "OMP_NUM_THREADS": "8"},
        "limits_of": (Limits(max_tasks_per_child=7, prefetch_multiplier=2),),
    }  # fmt: skip
    return Application(**{**known, **changes})  # type: ignore[arg-type]


def test_a_cell_s_variables_and_limits_win_over_the_application_s() -> None:
    cell = Cell(backend="app", pool="prefork", prefetch=1, max_tasks=50, variables="OMP_NUM_THREADS=2")
    whole = varied.in_cell(application(varied=("prefetch", "max_tasks")), cell, {})
    assert whole.own_variables == {"SHOP": "1", "OMP_NUM_THREADS": "2"}
    assert (whole.limits.prefetch_multiplier, whole.limits.max_tasks_per_child) == (1, 50)
    own = varied.in_cell(application(), cell, {})
    assert (own.limits.prefetch_multiplier, own.limits.max_tasks_per_child) == (2, 7)


def test_settings_that_are_varied_are_said_to_be_nobody_else_s() -> None:
    said = ["worker_prefetch_multiplier is 1, kept: so many messages", "task_acks_late is True, kept: …"]
    assert varied.said(said, ("prefetch",)) == said[1:]
    assert varied.said(said, ()) == said
    told = {"worker_prefetch_multiplier": "1", "task_acks_late": "True"}
    assert varied.expected(told, ("prefetch", "max_tasks")) == {"task_acks_late": "True"}


def test_what_is_pasted_holds_what_was_measured() -> None:
    known = {"app": "shop:app", "queue": "", "celery": (5, 5), "python": "/v/bin/python", "varied": ["prefetch", "max_tasks"]}
    cell = Cell(backend="app", pool="threads", concurrency=4, prefetch=1, variables="OMP_NUM_THREADS=2")
    setup = settings.of(cell, known)
    assert "--prefetch-multiplier 1" in setup.line
    assert "--max-tasks-per-child" not in setup.line
    assert setup.environment == {"OMP_NUM_THREADS": "2"}
    assert "export OMP_NUM_THREADS=2" in setup.shell


def test_a_cell_without_variables_is_of_the_plan_that_it_was_before_there_were_any() -> None:
    plain, given = Cell(backend="app", pool="solo"), Cell(backend="app", pool="solo", variables="A=1")
    before = {name: value for name, value in vars(plain).items() if name not in CAME_LATER}
    assert plain.as_dict() == before
    assert Cell(**given.as_dict()) == given
    settings = Settings().model_dump(exclude={*REPEATS, *plan.CAME_LATER})  # nor had they these settings
    asked = {"schema": plan.MEASURED_AS, "cell": before, "settings": settings}
    assert plan.key(plain, Settings()) == hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
    assert plan.key(given, Settings()) != plan.key(plain, Settings())
    assert plan.key(plain, Settings(stop_early=True)) != plan.key(plain, Settings())
    assert given.baseline() == plain.baseline()


def test_a_search_begins_with_what_the_application_has() -> None:
    found = cells(variables=grid.variables(["A=1"]), prefetch=(1, 4), max_tasks=(50, 0))
    start = search.default(found, 2)
    assert (start.pool, start.concurrency, start.variables, start.prefetch, start.max_tasks) == ("prefork", 2, "", 4, 0)
    steps = {block for block in search.BLOCKS for one in search.neighbours(found, start, block) if one}
    assert steps == {("pool", "concurrency"), ("variables",), ("prefetch",), ("max_tasks",)}


def test_an_earlier_search_is_set_aside_and_kept(tmp_path: Path) -> None:
    out, said = tmp_path / "tune-app", list[str]()
    set_aside(out, said.append)
    assert said == []
    (out / "trials.jsonl").write_text("")
    (out / "closer").mkdir()
    set_aside(out, said.append)
    assert not RunFolder(out).has_trials
    (moved,) = tmp_path.glob("tune-app.*")
    assert (moved / "closer").is_dir()
    assert said == [f"the earlier search was moved to {moved}"]


def test_serial_calls_that_are_made_again_in_a_search_have_no_pace_of_a_pool(tmp_path: Path) -> None:
    one = source(order=replace(ORDER, out=tmp_path, grid=(Cell(backend="app", pool="threads", concurrency=1),)))
    one.sizing.pace = Pace(calls=2, usual_s=6.0, first_s=6.0, slowest_s=6.0, cores=0.0)
    serial = one.planned()[0]
    assert serial.cell.is_baseline
    assert (one.left_s(one.planned(), []) or 0.0) > 0


def test_what_is_on_record_is_not_announced_once_more(tmp_path: Path) -> None:
    """Three cells, two of the finalists' trials: two cells and one of these are on record."""
    grid_ = tuple(Cell(backend="app", pool="threads", concurrency=count) for count in (1, 2, 4))
    order = replace(ORDER, out=tmp_path)
    one = source(order=order)
    one.sizing.pace = Pace(calls=2, usual_s=6.0, first_s=6.0, slowest_s=6.0, cores=0.0)
    ask = OfApplication(order=order, known=[one])
    trials = [*grid_, *grid_[:2]]
    assert ": 5 trials with" in ask.said(trials, 2)
    keys = {item.cell: item.key for item in replace(one, order=replace(order, grid=grid_)).planned()}
    with RunFolder(tmp_path).opened() as folder:
        for cell, trial in ((grid_[0], 1), (grid_[1], 1), (grid_[1], 2)):
            folder.append(record(cell, trial=trial, plan_key=keys[cell]))
    assert ": 2 trials with" in ask.said(trials, 2)
