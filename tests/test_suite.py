"""Checks of the instrument are run in rounds, kept as they come, and fail the command where one misses its bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from harness import cli, environments
from harness.errors import BadInput, HarnessError, Interrupted
from harness.proof.instrument import suite
from harness.proof.instrument.finding import Finding, at_least, at_most
from harness.proof.instrument.suite import Bench, InstrumentCheck
from harness.proof.instrument.truths import TRUTHS
from harness.proof.selfcost import costs


def by_seed(bench: Bench) -> list[Finding]:
    (bench.folder / "left").touch()
    return [at_most("seed", bench.seed, 2.0), at_least("seed, doubled", 2 * bench.seed, 2.0, "s")]


def fails(bench: Bench) -> list[Finding]:
    raise HarnessError("the server did not start", evidence=str(bench.folder / "log"))


SEEDS = InstrumentCheck(name="seeds", title="seeds", find=by_seed)
FAILS = InstrumentCheck(name="fails", title="a server", find=fails)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "prepare", lambda *_: None)


def test_every_round_has_its_own_seed_and_its_findings_are_kept(tmp_path: Path) -> None:
    found = list(suite.run([SEEDS], tmp_path / "out", 3, print))
    assert [one.finding.passed for one in found] == [True, True, True, True, False, True]
    table = pd.read_csv(tmp_path / "out" / "findings.csv")
    assert table["round"].tolist() == [1, 1, 2, 2, 3, 3]
    assert "| seeds | seed | 1, 2, 3 | <= 2 | 2 of 3 |" in (tmp_path / "out" / "findings.md").read_text()


def test_a_check_that_cannot_be_carried_out_did_not_pass_and_does_not_stop_the_others(tmp_path: Path) -> None:
    first, *others = suite.run([FAILS, SEEDS], tmp_path / "out", 1, print)
    assert not first.finding.passed
    assert first.finding.figure is None
    assert "the server did not start" in first.finding.note
    assert len(others) == 2


def test_a_check_works_in_a_folder_that_a_worker_finds_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = list[Path]()
    elsewhere = InstrumentCheck(
        name="elsewhere", title="a worker", find=lambda bench: folders.append(bench.folder) or fails(bench)
    )
    (found,) = suite.run([elsewhere], Path("out"), 1, print)
    assert folders == [tmp_path / "out" / "scratch" / "elsewhere-1"]
    assert found.finding.note == "the server did not start (scratch/elsewhere-1/log)"


def test_what_was_found_before_an_end_is_kept_and_an_earlier_run_too(tmp_path: Path) -> None:
    stopped = suite.run([SEEDS], tmp_path / "out", 3, print)
    next(stopped)
    stopped.close()
    assert len(pd.read_csv(tmp_path / "out" / "findings.csv")) == 2
    said = list[str]()
    list(suite.run([SEEDS], tmp_path / "out", 1, said.append))
    assert "moved to" in said[0]
    assert sum(len(pd.read_csv(path)) for path in tmp_path.glob("out*/findings.csv")) == 4


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(BadInput, match="there is no test z"):
        suite.chosen(TRUTHS, ["z"])
    assert [one.name for one in suite.chosen(TRUTHS, ["g", "b"])] == ["b", "g"]


def test_long_checks_run_only_where_they_are_named() -> None:
    assert [one.name for one in suite.chosen(TRUTHS, [])] == list("abcdefgh")
    assert [one.name for one in suite.chosen(TRUTHS, ["compare"])] == ["compare"]


@pytest.mark.parametrize(("names", "exit_code"), [(("seeds",), 0), (("seeds", "fails"), 1)])
def test_the_command_fails_where_a_figure_misses_its_bound(
    names: tuple[str, ...], exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "COSTS", (SEEDS, FAILS))
    only = [word for name in names for word in ("--only", name)]
    ended = CliRunner().invoke(cli.command_line(), ["selfcost", *only, "--out", str(tmp_path / "out")])
    assert ended.exit_code == exit_code
    assert "seeds           seed: 1  (bound: <= 2)" in ended.stdout
    assert ("FAILED  fails           a server: no figure" in ended.stdout) == bool(exit_code)


def test_a_test_that_is_stopped_stops_the_suite(tmp_path: Path) -> None:
    def stop(bench: Bench) -> list[Finding]:
        raise Interrupted("stopped on request")

    stopped = replace(SEEDS, name="stopped", find=stop)
    with pytest.raises(Interrupted):
        list(suite.run([stopped, SEEDS], tmp_path / "out", 1, lambda text: None))
