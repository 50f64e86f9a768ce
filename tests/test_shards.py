"""Parts of an experiment for several machines, and how they become one run again; records are written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import environments, workloads
from harness.errors import BadInput
from harness.experiment import experiment, matrix
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import Cell
from harness.machine import identity
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, to_line
from harness.records.store import RunFolder
from harness.run import merging, plan, shards
from harness.run.shards import Shard
from tests.test_store import record

SHARDS = [Shard(number=number, of=4) for number in range(1, 5)]


def shipped(name: str) -> Experiment:
    return experiment.read(name, backends=list(environments.descriptions()), workloads=list(workloads.NAMES))


@pytest.mark.parametrize("name", ["quick", "full", "grid"])
def test_each_cell_is_in_one_shard_with_all_that_it_is_read_beside(name: str) -> None:
    cells = plan.chosen_cells(shipped(name), [])
    parts = [shards.part(cells, shard) for shard in SHARDS]
    assert sorted(cell.id for part in parts for cell in part) == sorted(cell.id for cell in cells)
    for part in parts:
        assert part == [cell for cell in cells if cell in set(part)]
        real = [cell for cell in part if not cell.is_control and not cell.is_baseline]
        assert set(matrix.with_controls(real, cores=2)) & set(cells) <= set(part)


def test_all_machines_deal_out_alike_however_many_cores_they_have() -> None:
    cells = shipped("full").expand()
    few, many = (matrix.with_controls(cells, cores=cores) for cores in (1, 64))
    for shard in SHARDS:
        own = [{cell for cell in shards.part(each, shard) if cell in set(cells)} for each in (few, many)]
        assert own[0] == own[1]


def test_shards_have_about_as_much_to_do() -> None:
    cells = [Cell(backend="theano", pool="solo", workload=f"w{block}", batch=batch) for block in range(9) for batch in (1, 2)]
    assert {len(shards.part(cells, Shard(number=number, of=3))) for number in (1, 2, 3)} == {6}


def test_more_shards_than_blocks_leave_some_empty() -> None:
    cells = [Cell(backend="theano", pool="solo"), Cell(backend="theano", pool="threads")]
    assert [len(shards.part(cells, shard)) for shard in SHARDS] == [2, 0, 0, 0]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", " 1/4"])
def test_what_is_no_part_of_a_whole_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="no part of a whole"):
        shards.read(text)


SPEC = Experiment.model_validate(
    {"name": "small", "summary": "two blocks", "settings": {"controls": False},
     "cells": [{"backend": ["theano", "tensorflow1"], "pool": ["solo", "threads"]}]}
)  # fmt: skip
THEANO, TENSORFLOW = shards.blocks(SPEC.expand())


def written(
    path: Path, cells: Sequence[Cell], shard: str = "", *, spec: Experiment = SPEC, machine: dict[str, Any] | None = None,
    fingerprint: str = "f", broker: str = "embedded valkey", **changes: Any,
) -> Path:  # fmt: skip
    """A run of these cells, as `harness run` leaves it."""
    folder = RunFolder(path)
    path.mkdir(parents=True)
    for cell in cells:
        evidence = path / "evidence" / f"{cell.id}.1"
        evidence.mkdir(parents=True)
        (evidence / "worker.log").write_text(f"{path.name} {cell.id}")
        (path / "samples").mkdir(exist_ok=True)
        (path / "samples" / f"{cell.id}.parquet").write_text(path.name)
        files = {"evidence": f"evidence/{cell.id}.1/worker.log", "samples_file": f"samples/{cell.id}.parquet"}
        folder.append(record(cell, **{**files, **changes}))
    folder.write_header(
        experiment=spec.model_dump(), environments={cell.venv: {"fingerprint": fingerprint} for cell in cells}, workloads={},
        broker=broker, ended="2026-01-01T01:00:00+00:00", interrupted=False, shards=[shard] if shard else [],
    )  # fmt: skip
    if machine is not None:
        folder.write_json("run.json", {**folder.read_json("run.json"), "machine": {**identity.facts(), **machine}})
    return path


@pytest.fixture
def halves(tmp_path: Path) -> list[Path]:
    return [written(tmp_path / "one", THEANO, "1/2"), written(tmp_path / "two", TENSORFLOW, "2/2")]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_shards_become_what_one_run_would_have_been(tmp_path: Path, halves: list[Path]) -> None:
    (merged,) = merging.merge(halves, tmp_path / "whole")
    assert str(merged).endswith("4 trials of 4 cells, 4 of them new; shards 1/2, 2/2")
    whole = written(tmp_path / "in-one-piece", SPEC.expand())
    tables = [pd.read_csv(folder / "cells.csv") for folder in (tmp_path / "whole", whole) if (folder / "cells.csv").exists()]
    assert list(tables[0]["cell"]) == [cell.id for cell in SPEC.expand()]
    assert RunFolder(tmp_path / "whole").trials() == sorted(
        RunFolder(whole).trials(), key=lambda one: [cell.id for cell in (*THEANO, *TENSORFLOW)].index(one.cell_id)
    )
    for cell in SPEC.expand():
        source = "one" if cell in THEANO else "two"
        assert (tmp_path / "whole" / "evidence" / f"{cell.id}.1" / "worker.log").read_text() == f"{source} {cell.id}"
        assert (tmp_path / "whole" / "samples" / f"{cell.id}.parquet").read_text() == source
    assert set(RunFolder(tmp_path / "whole").read_json("run.json")["environments"]) == {"theano", "tensorflow1"}


def test_merging_again_in_any_order_changes_nothing(tmp_path: Path, halves: list[Path]) -> None:
    merging.merge(halves, tmp_path / "whole")
    before = content(tmp_path / "whole")
    (again,) = merging.merge(halves, tmp_path / "whole")
    merging.merge(halves[::-1], tmp_path / "whole")
    merging.merge([tmp_path / "whole"], tmp_path / "whole")
    assert content(tmp_path / "whole") == before
    assert again.new == 0


def test_a_shard_that_comes_later_completes_the_whole(tmp_path: Path, halves: list[Path]) -> None:
    (first,) = merging.merge(halves[:1], tmp_path / "whole")
    assert str(first).endswith("shards 1/2; 2 cells of the experiment are not among them")
    (second,) = merging.merge(halves[1:], tmp_path / "whole")
    assert (second.trials, second.new, second.lacking, second.shards) == (4, 2, 0, ("1/2", "2/2"))


def test_of_a_trial_that_was_run_twice_the_later_counts_with_its_files(tmp_path: Path, halves: list[Path]) -> None:
    later = written(tmp_path / "later", THEANO[:1], outcome=Outcome.HUNG, started="2026-01-02T00:00:00+00:00")
    merging.merge([later, *halves], tmp_path / "whole")
    assert RunFolder(tmp_path / "whole").current()[THEANO[0].id, 1].outcome is Outcome.HUNG
    assert (tmp_path / "whole" / "samples" / f"{THEANO[0].id}.parquet").read_text() == "later"


OTHERS = {
    "another-experiment": ({"spec": SPEC.model_copy(update={"name": "large"})}, "experiments 'small' and 'large'"),
    "other-settings": (
        {"spec": SPEC.model_copy(update={"settings": SPEC.settings.model_copy(update={"measure_s": 9.0})})},
        "another one in measure_s",
    ),
    "another-version": ({"machine": {"harness": "0.0.1"}}, "versions .* and 0.0.1"),
    "another-broker": ({"broker": "redis://there"}, "run on embedded valkey and redis://there"),
    "another-environment": ({"fingerprint": "g", "cells": THEANO}, "environment theano is another one"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path, halves: list[Path], kind: str) -> None:
    changes, said = OTHERS[kind]
    other = written(tmp_path / "other", **{"cells": TENSORFLOW, **changes})
    with pytest.raises(BadInput, match=said):
        merging.merge([halves[0], other], tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    merging.merge(halves, tmp_path / "whole")
    before = content(tmp_path / "whole")
    with pytest.raises(BadInput, match=said):
        merging.merge([other], tmp_path / "whole")
    assert content(tmp_path / "whole") == before


def test_machines_of_several_kinds_are_kept_apart_and_found_again(tmp_path: Path, halves: list[Path]) -> None:
    other = written(tmp_path / "other", TENSORFLOW, "2/2", machine={"processor": "another"})
    found = merging.merge([halves[0], other], tmp_path / "whole")
    assert [(each.folder.name, each.trials, each.lacking) for each in found] == [("machine-1", 2, 2), ("machine-2", 2, 2)]
    before = content(tmp_path / "whole")
    assert [each.folder.name for each in merging.merge([other, halves[0]], tmp_path / "whole")] == ["machine-2", "machine-1"]
    assert [each.folder.name for each in merging.merge([other], tmp_path / "whole")] == ["machine-2"]
    assert content(tmp_path / "whole") == before
    merging.merge(halves, tmp_path / "own")
    with pytest.raises(BadInput, match="made on another machine"):
        merging.merge([other], tmp_path / "own")
    with pytest.raises(BadInput, match="these are of several"):
        merging.merge([other, halves[0]], tmp_path / "own")


def test_packed_runs_and_what_is_no_run_are_refused(tmp_path: Path, halves: list[Path]) -> None:
    (halves[0] / "trials.jsonl").rename(halves[0] / "trials.jsonl.xz")
    for path, said in ((halves[0], "is packed"), (tmp_path / "nothing", "there are no records")):
        with pytest.raises(BadInput, match=said):
            merging.merge([path], tmp_path / "whole")
    probe = written(tmp_path / "probe", THEANO)
    header = RunFolder(probe).read_json("run.json")
    (probe / "run.json").write_text(json.dumps({name: told for name, told in header.items() if name != "experiment"}))
    with pytest.raises(BadInput, match="is no run of an experiment"):
        merging.merge([probe], tmp_path / "whole")


@pytest.mark.parametrize("way", ["../secret", "/etc/hostname", "evidence/../../secret/x", "samples/link"])
def test_a_record_cannot_make_other_files_come_along(tmp_path: Path, way: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_text("mine")
    one = written(tmp_path / "one", THEANO[:1])
    (one / "samples" / "link").symlink_to(tmp_path / "secret" / "x")
    changed: TrialRecord = RunFolder(one).records()[0].changed(cpu={"samples_file": way}, ended={"evidence": way})
    (one / "trials.jsonl").write_text(to_line(changed))
    merging.merge([one], tmp_path / "whole")
    assert not [path for path in (tmp_path / "whole").rglob("*") if path.is_file() and path.read_text() == "mine"]
    assert sorted(path.name for path in (tmp_path / "secret").iterdir()) == ["x"]


def test_a_trial_of_another_plan_is_kept_and_the_newest_plan_counts(tmp_path: Path) -> None:
    cell = replace(THEANO[0])
    old = written(tmp_path / "old", [cell], plan_key="before")
    new = written(tmp_path / "new", [cell], plan_key="after", started="2026-01-02T00:00:00+00:00")
    merging.merge([new, old], tmp_path / "whole")
    assert len(RunFolder(tmp_path / "whole").records()) == 2
    assert [each.asked.plan_key for each in RunFolder(tmp_path / "whole").trials()] == ["after"]
