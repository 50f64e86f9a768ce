"""A pytest plugin for projects that serve models: a test runs one cell with real workers and holds it to limits.

    @pytest.mark.harness_cell(backend="tensorflow2", pool="prefork-spawn", concurrency=2, model="model.keras", repeat=3)
    @pytest.mark.harness_limits(min_throughput_per_s=40, max_p95_s=0.2)
    def test_predict(harness_cell):
        assert harness_cell.outcome == "ok"

The words of `harness_cell` are the dimensions of a cell and the settings of an experiment (`measure_s`, `requests`, `repeat`
...), and `model`, a file of the user's own. The cell runs once, before the test; its figures are attributes of the fixture.
With pytest-benchmark installed they stand in the `extra_info` of its report, so that `--benchmark-json` keeps them.

A limit is held against each fresh worker, never against a mean, by the rule of `harness recommend`:
    *One worker breaks it*: the test fails, before its first line.
    *It cannot be said* whether one more fresh worker keeps it (fewer than three workers, too few requests, workers too
    unlike): the test runs, and fails if its own lines do. If they pass, it is skipped with what is missing, such as `repeat=3`.
    It is never passed: nobody knows that the limit is kept.
    *Kept*: the test passes.

A cell that could not be measured (no such environment here, or a machine that is too noisy) skips the test with the reason.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # every session of pytest imports this file: the rest is imported by those that use it
    from harness.decide.advise.fresh import Fresh

CELL, LIMITS = "harness_cell", "harness_limits"
FOLDER = ".harness"
BOUNDS = ("min_throughput_per_s", "max_p50_s", "max_p95_s", "max_p99_s", "max_cpu_s_per_request", "max_peak_bytes",
          "max_hang_rate")  # fmt: skip # of `decide.advise.limits`
INFO = ("outcome", "reason", "throughput_per_s", "latency_p50_s", "latency_p95_s", "cpu_s_per_request", "cpu_saturation",
        "cpu_verdict", "peak_pss_bytes", "ready_s", "doubts")  # fmt: skip
NOT_MEASURED = ("skipped", "invalid", "unchecked")


@dataclass(frozen=True)
class MeasuredCell:
    """One cell's row of `cells.csv`, whose columns are attributes (None where a cell has no such figure), and its folder.
    `fresh`: the figures of each of its workers, see `decide.advise.fresh`."""

    row: Mapping[str, Any] = field(repr=False)
    folder: Path
    cell: str
    fresh: Mapping[str, Fresh] = field(default_factory=dict, repr=False)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.row[name]
        except KeyError:
            raise AttributeError(f"a cell has no {name}; there are {', '.join(self.row)}") from None

    @property
    def unusable(self) -> str:
        """Why there are no figures though there could be: noise, a busy or late client; '' if nothing spoiled them."""
        from harness.measure import doubts

        return dict(doubts.parts(self.row["doubts"] or "")).get("unusable", "")

    def broken(self, limits: Mapping[str, Any]) -> list[str]:
        """A line for each limit that is not kept; an `outcome` of 'ok' is asked for unless another one is named."""
        from harness.decide.advise import limits as rules

        wanted = limits.get("outcome", "ok")
        ended = [] if self.outcome == wanted else [f"ended {self.outcome}, not {wanted}: {self.reason}"]
        return ended + [said for name, value in self._numbers(limits) if (said := rules.broken(self._known, name, value))]

    def left_open(self, limits: Mapping[str, Any]) -> list[str]:
        """A line for each limit of which it cannot be said whether one more fresh worker keeps it: what would tell."""
        from harness.decide.advise import limits as rules

        return [said for name, value in self._numbers(limits) if (said := rules.left_open(self._known, name, value))]

    @property
    def _known(self) -> dict[str, Any]:
        return {**self.row, "fresh": self.fresh}

    def _numbers(self, limits: Mapping[str, Any]) -> list[tuple[str, float]]:
        return [(name, value) for name, value in limits.items() if name != "outcome"]


HELD = pytest.StashKey[tuple[MeasuredCell, Mapping[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("harness").addoption(
        "--harness-out", default=FOLDER, help=f"where runs of harness_cell tests are kept ({FOLDER}, in the root folder)"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{CELL}(backend, pool, ...): the cell that the fixture {CELL} runs")
    config.addinivalue_line("markers", f"{LIMITS}({', '.join(BOUNDS)}, outcome): what the cell must keep")


@pytest.fixture
def harness_cell(request: pytest.FixtureRequest) -> MeasuredCell:
    """The cell of the test's marker, measured; the test fails, before its first line, if a worker breaks a limit."""
    words = _words(request, CELL)
    if not words:
        raise pytest.UsageError(f"{request.node.nodeid} has no marker @pytest.mark.{CELL}(backend=..., pool=...)")
    limits = _words(request, LIMITS)
    if unknown := limits.keys() - {*BOUNDS, "outcome"}:
        raise pytest.UsageError(f"{LIMITS} knows no {', '.join(sorted(unknown))}; choose from outcome, {', '.join(BOUNDS)}")
    name = re.sub(r"[^\w.-]+", "-", request.node.nodeid).strip("-")[-100:]
    folder = request.config.rootpath / request.config.getoption("--harness-out") / name
    found = _benchmarked(request, words, folder)
    if found.outcome in NOT_MEASURED and limits.get("outcome") != found.outcome:
        pytest.skip(f"{found.cell} could not be measured: {found.reason}")
    if (why := found.unusable) and limits.keys() - {"outcome"} and found.outcome == limits.get("outcome", "ok"):
        pytest.skip(f"{found.cell} could not be measured: {why}")
    request.node.stash[HELD] = (found, limits)
    return found


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A broken limit is a failure of the test itself, not an error of its fixture; one that is left open is no pass of it."""
    found, limits = item.stash.get(HELD, (None, {}))
    if found is not None and (said := found.broken(limits)):
        lines = [f"{found.cell} breaks its limits:", *(f"  {line}" for line in said), f"  records and evidence: {found.folder}"]
        pytest.fail("\n".join(lines), pytrace=False)
    done = yield
    if found is not None and (said := found.left_open(limits)):
        pytest.skip(f"the test passes, but it cannot be said whether {found.cell} keeps its limits: {'; '.join(said)}")
    return done


def _words(request: pytest.FixtureRequest, marker: str) -> dict[str, Any]:
    """Of all markers of this name; the one nearest to the test wins."""
    found: dict[str, Any] = {}
    for one in reversed(list(request.node.iter_markers(marker))):
        found |= one.kwargs
    return found


def _benchmarked(request: pytest.FixtureRequest, words: Mapping[str, Any], folder: Path) -> MeasuredCell:
    """The cell, measured under pytest-benchmark where that is there: its report then holds the figures."""
    if not request.config.pluginmanager.hasplugin("benchmark"):
        return measure(words, folder)
    benchmark = request.getfixturevalue("benchmark")
    found: MeasuredCell | None = benchmark.pedantic(measure, args=(words, folder), rounds=1, iterations=1)
    found = found or measure(words, folder)
    benchmark.extra_info |= {"cell": found.cell, **{name: found.row[name] for name in INFO}}
    return found


def measure(words: Mapping[str, Any], folder: Path) -> MeasuredCell:
    """Run the one cell that the words describe, afresh. Raises UsageError where they describe none."""
    from harness import environments, workloads
    from harness.errors import BadInput, Interrupted, NothingMatches
    from harness.experiment import experiment
    from harness.records.store import RunFolder
    from harness.run import bundles, experiment_source, plan, workflow

    words = dict(words)
    model = words.pop("model", None)
    settings = {name: words.pop(name) for name in list(words) if name in experiment.Settings.model_fields}
    block = {name: value if isinstance(value, list) else [value] for name, value in words.items()}
    data = {"name": "pytest", "summary": "one cell", "settings": {"controls": False, **settings}, "cells": [block]}
    try:
        spec = experiment.checked(
            data,
            f"the marker {CELL}",
            backends=list(environments.descriptions()),
            workloads=[*workloads.NAMES, bundles.USER_WORKLOAD],
        )
        if len(spec.expand()) != 1:
            raise BadInput(f"the marker {CELL} describes {len(spec.expand())} cells, not one")
        cells = plan.chosen_cells(spec, [], workload=bundles.USER_WORKLOAD if model else "")
    except (BadInput, NothingMatches) as error:
        raise pytest.UsageError(f"{error}. {error.remedy}") from error
    order = experiment_source.RunOrder(experiment=spec, cells=cells, folder=folder, model=Path(model) if model else None)
    if RunFolder(folder).has_trials:  # of an earlier session of tests: this one's takes its place
        shutil.rmtree(folder)
    try:
        row = workflow.run(order, workflow.Silent()).iloc[-1]
    except Interrupted as error:
        raise KeyboardInterrupt from error  # as pytest knows it: no further test begins
    plain = {str(name): None if value != value else value for name, value in row.items()}
    return MeasuredCell(plain, folder, row["cell"], fresh=_fresh(folder, row["cell"]))


def _fresh(folder: Path, cell: str) -> Mapping[str, Fresh]:
    """The figures of all workers of the cell that were judged, however they ended."""
    from harness.decide.advise import fresh
    from harness.decide.compare import sides
    from harness.records.outcomes import NOT_JUDGED

    side = sides.read(folder)
    trials = [record for group in side.cells.values() for record in group if record.cell_id == cell]
    return fresh.of([(record, side.of(record)) for record in trials if record.outcome not in NOT_JUDGED])
