"""Cells compared within hosts and over hosts: statistics of values and made-up campaigns, and of runs written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from harness import cli
from harness.certainty import comparison, hosts
from harness.certainty.comparison import ComparisonWord
from harness.decide.combine import combined
from harness.errors import BadInput, Exit, NothingMatches
from harness.experiment.matrix import Cell
from harness.proof import campaigns
from harness.records.outcomes import Outcome
from harness.records.record import to_line
from harness.records.sections import Figures
from harness.records.store import RunFolder
from harness.run.hosts import calibration
from tests.test_shards import SPEC, written
from tests.test_store import record

ONE, TWO = (cell for cell in SPEC.expand() if cell.backend == "theano")
AT = {"first": "2026-01-01T00:00:00+00:00", "middle": "2026-01-01T00:30:00+00:00", "last": "2026-01-01T01:00:00+00:00"}


def by_host(*paces: float, ratio: float = 1.0) -> dict[str, list[float]]:
    return {f"node{number}": [pace * ratio, pace * ratio] for number, pace in enumerate(paces)}


def test_hosts_of_unequal_speed_agree_on_a_ratio() -> None:
    found = hosts.over_hosts(by_host(50, 100, 200), {**by_host(50, 100, 200, ratio=1.2), "node9": [1.0]})
    assert found.found.ratio == pytest.approx(1.2)
    assert found.found.word is ComparisonWord.DIFFER
    assert found.spread == pytest.approx(1.0)
    assert set(found.ratios) == {"node0", "node1", "node2"}, "one host has only one of the cells"


def test_more_trials_on_a_host_that_disagrees_do_not_outvote_the_others() -> None:
    first = {**by_host(50, 100), "node2": [200.0] * 50}
    second = {**by_host(50, 100), "node2": [400.0] * 50}
    found = hosts.over_hosts(first, second)
    assert found.found.word is ComparisonWord.CANNOT_SAY
    assert found.found.ratio == pytest.approx(2 ** (1 / 3))
    assert found.spread == pytest.approx(2.0)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_hosts_say_nothing_in_common(count: int) -> None:
    found = hosts.over_hosts(by_host(*[10.0] * count), by_host(*[20.0] * count))
    assert found.found.word is ComparisonWord.CANNOT_SAY
    assert f"{count} of 3 hosts" in found.found.reason


def test_hosts_that_are_alike_in_everything_tie() -> None:
    assert hosts.over_hosts(by_host(1, 2, 3), by_host(1, 2, 3)).found.word is ComparisonWord.TIE


def test_a_drift_is_taken_away_along_a_line() -> None:
    assert hosts.steadied([100.0, 105.0, 110.0], [0.0, 0.5, 1.0], 1.1) == pytest.approx([100.0, 100.114, 100.0], rel=1e-4)
    told = {when: {"at": AT[when], "throughput_per_s": pace} for when, pace in (("first", 100.0), ("last", 121.0))}
    assert calibration.drift(told) == pytest.approx(1.21)
    assert calibration.pace(told, AT["middle"]) == pytest.approx(110.0)
    assert calibration.pace(told, "2026-01-01T05:00:00+00:00") == pytest.approx(121.0)
    for lacking in ({}, {"first": told["first"], "last": {}}):
        assert (calibration.drift(lacking), calibration.pace(lacking, AT["middle"])) == (None, None)


@pytest.mark.parametrize("name", [name for name, model in campaigns.MODELS.items() if model.held])
def test_made_up_campaigns_keep_their_bounds(name: str) -> None:
    """200 of the 2,000; the stored table has all."""
    alike, faster = (campaigns.row(name, pace, 200) for pace in campaigns.PACES)
    assert min(alike.covered, faster.covered) >= 0.90
    assert alike.differ <= 0.03
    assert faster.differ >= campaigns.LEAST_FOUND


def test_intervals_of_pooled_figures_would_not_hold() -> None:
    """Why hosts are blocks: the same figures, put into one mean, show no difference of 20 %."""
    dice = np.random.default_rng(1)
    paces = np.exp(dice.uniform(np.log(0.5), np.log(2.0), 4))
    first, second = by_host(*paces), by_host(*paces, ratio=1.2)
    pooled = [[value for values in one.values() for value in values] for one in (first, second)]
    assert comparison.compare(*pooled).word is ComparisonWord.CANNOT_SAY
    assert hosts.over_hosts(first, second).found.word is ComparisonWord.DIFFER


def test_the_stored_campaigns_keep_their_bounds() -> None:
    table = (campaigns.Path(__file__).parent.parent / "results/campaigns/campaigns.md").read_text()
    assert "| 2,000 |" in table
    assert "**no**" not in table


# Runs


def on_host(path: Path, host: str, per_s: dict[Cell, float], told: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A run of one host, as a block leaves it."""
    written(path, list(per_s), "1/2")
    figures = {cell: {"figures": Figures(requests=100, throughput_per_s=pace)} for cell, pace in per_s.items()}
    records = [record(cell, started=AT["middle"], **changes).changed(certainty=figures[cell]) for cell in per_s]
    (path / "trials.jsonl").write_text("".join(map(to_line, records)))
    header = RunFolder(path).read_json("run.json")
    (path / "run.json").write_text(json.dumps({**header, "host": host, "calibration": told or {}}))
    return path


def test_cells_are_compared_within_hosts_and_shown_over_them(tmp_path: Path) -> None:
    runs = [on_host(tmp_path / f"r{n}", f"node{n}", {ONE: 100.0 * n, TWO: 130.0 * n}) for n in (1, 2, 3, 4)]
    done = CliRunner().invoke(cli.command_line(["combine", "show"]), ["combine", *map(str, runs)], env={"COLUMNS": "200"})
    assert done.exit_code == Exit.DONE, done.output
    assert f"throughput over that of {ONE.id}" in done.output
    assert f"differ     {TWO.id}: ratio 1.300" in done.output
    assert "node1 1.300, node2 1.300, node3 1.300, node4 1.300; the largest is 1.00 times the smallest" in done.output
    (one,) = combined.beside(combined.measured(combined.parts(runs)), TWO.id)
    assert one.over.found.ratio == pytest.approx(1 / 1.3)
    with pytest.raises(NothingMatches):
        combined.beside(combined.measured(combined.parts(runs)), "nothing-*")


def test_blocks_of_a_run_on_hosts_are_found_and_their_drift_is_taken_away(tmp_path: Path) -> None:
    pace = {"first": {"at": AT["first"], "throughput_per_s": 50.0}, "last": {"at": AT["last"], "throughput_per_s": 200.0}}
    for number in (1, 2, 3):
        on_host(tmp_path / "run" / "blocks" / f"a{number}", f"node{number}", {ONE: 200.0}, pace)
        on_host(tmp_path / "run" / "blocks" / f"b{number}", f"node{number}", {TWO: 300.0}, pace)
    cells = combined.measured(combined.parts([tmp_path / "run"]))
    assert [(one.cell, dict(one.per_s)["node1"]) for one in cells] == [(ONE, [2.0]), (TWO, [3.0])]
    on_host(tmp_path / "run" / "blocks" / "c1", "node1", {TWO: 300.0})
    cells = combined.measured(combined.parts([tmp_path / "run"]))
    assert [dict(one.per_s)["node1"] for one in cells] == [[200.0], [300.0, 300.0]], "of one host, all are calibrated or none"
    assert [dict(one.per_s)["node2"] for one in cells] == [[2.0], [3.0]]


def test_what_did_not_answer_has_no_figure_and_is_told(tmp_path: Path) -> None:
    runs = [on_host(tmp_path / f"r{n}", f"node{n}", {ONE: 100.0, TWO: 130.0}) for n in (1, 2)]
    runs.append(on_host(tmp_path / "r3", "node3", {ONE: 100.0, TWO: 130.0}, outcome=Outcome.HUNG))
    done = CliRunner().invoke(cli.command_line(["combine", "show"]), ["combine", *map(str, runs)], env={"COLUMNS": "200"})
    assert "2 of 3 hosts have figures of both" in done.output
    assert "ok on node1; ok on node2; hung on node3" in done.output


def test_runs_of_several_hosts_in_one_or_of_unclear_hosts_are_refused(tmp_path: Path) -> None:
    mixed = on_host(tmp_path / "mixed", "", {ONE: 1.0})
    header = RunFolder(mixed).read_json("run.json")
    (mixed / "run.json").write_text(json.dumps({**header, "hosts": ["node1", "node2"]}))
    with pytest.raises(BadInput, match="holds records of several hosts"):
        combined.measured([mixed])
    same = [written(tmp_path / folder / "serving", [ONE]) for folder in ("a", "b")]
    with pytest.raises(BadInput, match="have one name"):
        combined.measured(combined.parts(same))
