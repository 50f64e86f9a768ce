"""A pytest plugin for projects that serve models: a test runs one cell with real workers and holds it to limits.

    @pytest.mark.harness_cell(backend="tensorflow2", pool="prefork-spawn", concurrency=2, model="model.keras")
    @pytest.mark.harness_limits(min_throughput_per_s=40, max_p95_s=0.2)
    def test_predict(harness_cell):
        assert harness_cell.outcome == "ok"

The words of `harness_cell` are the dimensions of a cell and the settings of an experiment (`measure_s`, `requests`, `repeat`
...), and `model`, a file of the user's own. The cell runs once, before the test; its figures are attributes of the fixture.
With pytest-benchmark installed they stand in the `extra_info` of its report, so that `--benchmark-json` keeps them.

A cell that could not be measured (no such environment here, or a machine that is too noisy) skips the test with the reason.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CELL, LIMITS = "harness_cell", "harness_limits"
FOLDER = ".harness"
#: limit -> (column of cells.csv, whether it is the least that is allowed)
BOUNDS: Mapping[str, tuple[str, bool]] = {
    "min_throughput_per_s": ("throughput_per_s", True),
    "max_p50_s": ("latency_p50_s", False),
    "max_p95_s": ("latency_p95_s", False),
    "max_p99_s": ("latency_p99_s", False),
    "max_cpu_s_per_request": ("cpu_s_per_request", False),
    "max_peak_bytes": ("peak_pss_bytes", False),
    "max_hang_rate": ("hang_rate", False),
}
INFO = ("outcome", "reason", "throughput_per_s", "latency_p50_s", "latency_p95_s", "cpu_s_per_request", "cpu_saturation",
        "cpu_verdict", "peak_pss_bytes", "ready_s", "doubts")  # fmt: skip
NOT_MEASURED = ("skipped", "invalid", "unchecked")


@dataclass(frozen=True)
class MeasuredCell:
    """One cell's row of `cells.csv`, whose columns are attributes (None where a cell has no such figure), and its folder."""

    row: Mapping[str, Any] = field(repr=False)
    folder: Path
    cell: str

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
        said = []
        wanted = limits.get("outcome", "ok")
        if self.outcome != wanted:
            said.append(f"ended {self.outcome}, not {wanted}: {self.reason}")
        for name, bound in limits.items():
            if name == "outcome":
                continue
            column, least = BOUNDS[name]
            value = self.row[column]
            if value is None:
                said.append(f"{name}={bound:g}: there is no {column} (ended {self.outcome}; doubts: {self.doubts or 'none'})")
            elif value < bound if least else value > bound:
                said.append(f"{name}={bound:g}: {column} is {value:.6g}")
        return said


BROKEN = pytest.StashKey[tuple[MeasuredCell, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("harness").addoption(
        "--harness-out", default=FOLDER, help=f"where runs of harness_cell tests are kept ({FOLDER}, in the root folder)"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{CELL}(backend, pool, ...): the cell that the fixture {CELL} runs")
    config.addinivalue_line("markers", f"{LIMITS}({', '.join(BOUNDS)}, outcome): what the cell must keep")


@pytest.fixture
def harness_cell(request: pytest.FixtureRequest) -> MeasuredCell:
    """The cell of the test's marker, measured; the test fails, before its first line, where the cell breaks a limit."""
    words = _words(request, CELL)
    if not words:
        raise pytest.UsageError(f"{request.node.nodeid} has no marker @pytest.mark.{CELL}(backend=..., pool=...)")
    limits = _words(request, LIMITS)
    if unknown := limits.keys() - BOUNDS.keys() - {"outcome"}:
        raise pytest.UsageError(f"{LIMITS} knows no {', '.join(sorted(unknown))}; choose from outcome, {', '.join(BOUNDS)}")
    name = re.sub(r"[^\w.-]+", "-", request.node.nodeid).strip("-")[-100:]
    folder = request.config.rootpath / request.config.getoption("--harness-out") / name
    found = _benchmarked(request, words, folder)
    if found.outcome in NOT_MEASURED and limits.get("outcome") != found.outcome:
        pytest.skip(f"{found.cell} could not be measured: {found.reason}")
    if (why := found.unusable) and limits.keys() - {"outcome"} and found.outcome == limits.get("outcome", "ok"):
        pytest.skip(f"{found.cell} could not be measured: {why}")
    request.node.stash[BROKEN] = (found, found.broken(limits))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """A broken limit is a failure of the test itself, not an error of its fixture."""
    found, said = item.stash.get(BROKEN, (None, []))
    if found is not None and said:
        lines = [f"{found.cell} breaks its limits:", *(f"  {line}" for line in said), f"  records and evidence: {found.folder}"]
        pytest.fail("\n".join(lines), pytrace=False)


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
    return MeasuredCell({str(name): None if value != value else value for name, value in row.items()}, folder, row["cell"])
