"""Cells, their ids, and how patterns select them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import environments
from harness.experiment import experiment, matrix
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS

CELLS = st.builds(
    Cell,
    backend=st.sampled_from(["tensorflow2", "tensorflow1", "tensorflow1_15", "theano"]),
    pool=st.sampled_from(sorted(POOLS)),
    concurrency=st.integers(1, 16),
    placement=st.sampled_from(matrix.PLACEMENTS),
    call=st.sampled_from(matrix.CALLS),
    parent=st.sampled_from(matrix.PARENT_DEEDS),
    workload=st.sampled_from(["tiny-dense", "digits-cnn", "digits-mlp", "lstm", "convnet-large"]),
    batch=st.integers(1, 64),
    engine_threads=st.sampled_from(["auto", "1x1", "2x1"]),
    prefetch=st.integers(0, 8),
    traffic=st.sampled_from(["single", "drain", "closed-4", "closed-8", "poisson-12.5", "constant-3", "peak-p95-100ms"]),
    compile_cache=st.sampled_from(["warm", "cold"]),
    start_window_s=st.sampled_from([0.0, 4.0]),
    max_tasks=st.sampled_from([0, 1, 100]),
)


@given(CELLS, CELLS)
def test_two_cells_have_the_same_id_only_if_they_are_the_same(one: Cell, other: Cell) -> None:
    assert (one.id == other.id) == (one == other)


@pytest.mark.parametrize(("pool", "runs"), [("prefork", False), ("prefork-spawn", False), ("solo", False), ("threads", True)])
def test_a_model_for_each_thread_is_skipped_where_a_process_has_one(pool: str, runs: bool) -> None:
    reason = POOLS[pool].refuses(concurrency=1, placement="each-thread", celery=(5, 7))
    assert reason is None if runs else "each-thread is first-task there" in str(reason)
    assert POOLS[pool].refuses(concurrency=1, placement="each-task", celery=(5, 7)) is None


@given(CELLS)
def test_an_id_selects_its_own_cell(cell: Cell) -> None:
    assert matrix.matches(cell, cell.id)


@pytest.mark.parametrize(
    ("pattern", "pool", "placement", "selected"),
    [
        ("tensorflow2-prefork-*-import-*", "prefork", "import", True),
        ("tensorflow2-prefork-*-import-*", "prefork-spawn", "import", False),
        ("tensorflow2-prefork-*-import-*", "prefork", "import-predict", False),
        ("tensorflow2-prefork-spawn-*-import-*", "prefork-spawn", "import", True),
        ("tensorflow2-prefork-*-import-predict-*", "prefork", "import-predict", True),
        ("tensorflow2-*-import-*", "threads", "import", True),
        ("tensorflow2", "gevent", "first-task", True),
        ("theano", "gevent", "first-task", False),
        ("tensor*-gevent", "gevent", "first-task", True),
        ("*-first-task-*", "solo", "first-task", True),
        ("*-c2", "solo", "first-task", False),
    ],
)
def test_a_pattern_is_compared_part_by_part(pattern: str, pool: str, placement: str, selected: bool) -> None:
    cell = Cell(backend="tensorflow2", pool=pool, placement=placement, call="predict")
    assert matrix.matches(cell, pattern) is selected


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pool": "solo", "concurrency": 2}, "one task at a time"),
        ({"pool": "threads", "placement": "process-init"}, "worker_process_init"),
        ({"pool": "gevent", "placement": "process-init"}, "worker_process_init"),
        ({"pool": "prefork-spawn"}, "came with 5.7"),
        ({"pool": "prefork", "call": "graph"}, "no call"),
        ({"pool": "threads", "max_tasks": 1}, "no child processes"),
        ({"pool": "prefork", "compile_cache": "cold"}, "compiles nothing"),
    ],
)
def test_a_cell_that_cannot_exist_says_why(changes: dict[str, object], word: str) -> None:
    cell = Cell(**{"backend": "tensorflow2", **changes})  # type: ignore[arg-type]
    reason = matrix.impossible(cell, calls=("predict",), celery=(5, 2), compile_cache=False)
    assert reason is not None
    assert word in reason


PREDICT = [  # threads and solo of one work on two cores, after what they are read beside
    "theano-in-process-c1-import-predict-single",
    "theano-in-process-c2-import-predict-t1x1-single",
    "theano-in-process-c4-import-predict-t1x1-single",
    "null@theano-threads-c1-first-task-predict",
    "null@theano-solo-c1-first-task-predict",
    "theano-threads-c1-first-task-predict",
    "theano-solo-c1-first-task-predict",
]


def test_every_real_cell_brings_its_null_control_its_baseline_and_its_ceiling() -> None:
    cells = matrix.expand([{"backend": ["theano"], "pool": ["threads", "solo"], "concurrency": [1]}])
    ids = [cell.id for cell in matrix.with_controls(cells, cores=2)]
    assert ids == PREDICT


def test_cells_of_the_same_work_stand_together_after_what_they_are_read_beside() -> None:
    cells = matrix.expand([{"backend": ["theano"], "pool": ["threads", "solo"], "call": ["predict", "predict_on_batch"]}])
    ids = [cell.id for cell in matrix.with_controls(cells, cores=2)]
    assert ids == [
        *PREDICT,
        "theano-in-process-c1-import-predict_on_batch-single",
        "theano-in-process-c2-import-predict_on_batch-t1x1-single",
        "theano-in-process-c4-import-predict_on_batch-t1x1-single",
        "theano-threads-c1-first-task-predict_on_batch",
        "theano-solo-c1-first-task-predict_on_batch",
    ]


def test_what_people_ask_first_comes_first_after_its_own_baseline_alone() -> None:
    blocks = {"backend": ["theano"], "pool": ["threads", "prefork"], "placement": ["first-task", "import"]}
    parent = {"backend": ["theano"], "pool": ["prefork"], "parent": ["import", "predict"]}
    ids = [cell.id for cell in matrix.with_controls(matrix.expand([blocks, parent]), cores=2)]
    assert ids[:3] == [
        "theano-in-process-c1-import-predict-single",
        "theano-prefork-c1-import-predict",
        "theano-prefork-c1-first-task-predict-parent-predict",
    ]
    assert ids.index("null@theano-prefork-c1-first-task-predict") < ids.index("theano-prefork-c1-first-task-predict")


def test_the_quick_experiment_answers_the_famous_question_second() -> None:
    spec = experiment.read("quick", backends=list(environments.descriptions()), workloads=["digits-cnn"])
    ids = [cell.id for cell in matrix.with_controls(spec.expand(), cores=2)]
    assert ids[:2] == ["tensorflow2-in-process-c1-import-predict-single", "tensorflow2-prefork-c2-import-predict"]


def test_setting_the_threads_is_no_other_work() -> None:
    cells = [Cell(backend="theano", pool="solo", engine_threads=threads) for threads in ("1x1", "auto", "2x1")]
    assert matrix.by_work(cells) == [cells]


def test_controls_and_baselines_are_the_same_whatever_the_parent_did() -> None:
    plain = Cell(backend="theano", pool="prefork")
    busy = Cell(backend="theano", pool="prefork", parent="predict")
    assert busy.id == "theano-prefork-c1-first-task-predict-parent-predict"
    assert busy.null_control() == plain.null_control()
    assert busy.baseline() == plain.baseline()


def test_a_control_has_no_model_of_its_parents_own() -> None:
    cell = Cell(backend="null", environment="theano", pool="prefork", parent="load")
    reason = matrix.impossible(cell, calls=("predict",), celery=(5, 5), compile_cache=True)
    assert reason is not None
    assert "computes nothing" in reason


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("deadlock", {"kind": "deadlock"}),
        ("sleep:2.5@10", {"kind": "sleep", "value": 2.5, "after": 10}),
    ],
)
def test_a_fault_is_read(text: str, options: dict[str, object]) -> None:
    assert matrix.fault_options(text) == options
