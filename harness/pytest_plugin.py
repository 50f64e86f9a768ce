"""A pytest plugin for projects that serve models: a test runs one cell with real workers and holds it to limits.

    @pytest.mark.harness_cell(backend="tensorflow2", pool="prefork-spawn", concurrency=2, model="model.keras", repeat=3)
    @pytest.mark.harness_limits(min_throughput_per_s=40, max_p95_s=0.2)
    def test_predict(harness_cell):
        assert harness_cell.outcome == "ok"

Your own application is held to limits in the same way, by `harness_app`:

    @pytest.mark.harness_app(app="proj.tasks:app", task="proj.tasks.predict", args=[[1, 2], [3, 4]], pool="prefork")
    @pytest.mark.harness_limits(max_p95_s=0.2)
    def test_predict(harness_app):
        assert harness_app.outcome == "ok"

Its words are those of `harness probe` (`app`, `task`, `args` as a list or a file, `pool`, `concurrency`, `cwd`, `python`,
`env_file`, `queue`, `check`, `tolerance`, `traffic`; `mix`, a file, takes the place of `task` and `args`) and the settings.
`cwd` is the root folder of the tests and `python` their own interpreter, if nothing else is said.

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
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # every session of pytest imports this file: the rest is imported by those that use it
    from harness.decide.advise.fresh import Fresh
    from harness.run.source import Ordered

CELL, APP, LIMITS = "harness_cell", "harness_app", "harness_limits"
FOLDER = ".harness"
BOUNDS = ("min_throughput_per_s", "max_p50_s", "max_p95_s", "max_p99_s", "max_cpu_s_per_request", "max_peak_bytes",
          "max_hang_rate")  # fmt: skip # of `decide.advise.limits`
INFO = ("outcome", "reason", "throughput_per_s", "latency_p50_s", "latency_p95_s", "cpu_s_per_request", "cpu_saturation",
        "cpu_verdict", "peak_pss_bytes", "ready_s", "doubts")  # fmt: skip
NOT_MEASURED = ("skipped", "invalid", "unchecked")


Measure = Callable[[Mapping[str, Any], Path], "MeasuredCell"]  # words of a marker, and the run's folder


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
        "--harness-out", default=FOLDER, help=f"where runs of {CELL} and {APP} tests are kept ({FOLDER}, in the root folder)"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{CELL}(backend, pool, ...): the cell that the fixture {CELL} runs")
    config.addinivalue_line("markers", f"{APP}(app, task, args, pool, ...): the application that the fixture {APP} runs")
    config.addinivalue_line("markers", f"{LIMITS}({', '.join(BOUNDS)}, outcome): what the cell must keep")


@pytest.fixture
def harness_cell(request: pytest.FixtureRequest) -> MeasuredCell:
    """The cell of the test's marker, measured; the test fails, before its first line, if a worker breaks a limit."""
    return _held(request, CELL, "backend=..., pool=...", measure)


@pytest.fixture
def harness_app(request: pytest.FixtureRequest) -> MeasuredCell:
    """The application of the test's marker, measured in one pool; likewise."""
    root = request.config.rootpath
    return _held(request, APP, "app=..., task=..., args=..., pool=...", lambda words, folder: measure_app(words, folder, root))


def _held(request: pytest.FixtureRequest, marker: str, example: str, measured: Measure) -> MeasuredCell:
    from harness.errors import HarnessError

    name = re.sub(r"[^\w.-]+", "-", request.node.nodeid).strip("-")[-100:]
    folder = request.config.rootpath / request.config.getoption("--harness-out") / name
    found, failed = None, ""
    try:
        words, limits = _words(request, marker, example), checked_limits(_words(request, LIMITS))
        found = _benchmarked(request, words, folder, measured)
    except HarnessError as error:
        failed = "\n  ".join(filter(None, (f"{marker}: {error}", error.remedy, error.evidence)))
    if found is None:  # what somebody can act on is told without the frames that lead here
        pytest.fail(failed, pytrace=False)
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


def _words(request: pytest.FixtureRequest, marker: str, example: str = "") -> dict[str, Any]:
    """Of all markers of this name; the one nearest to the test wins. `example`: if there has to be one. Raises BadInput."""
    from harness.errors import BadInput

    found: dict[str, Any] = {}
    for one in reversed(list(request.node.iter_markers(marker))):
        if one.args:
            told = ", ".join(map(repr, one.args))
            raise BadInput(
                f"the marker takes words by name, and not {told}", remedy=f"@pytest.mark.{marker}({example or '...'})"
            )
        found |= one.kwargs
    if example and not found:
        raise BadInput(f"{request.node.nodeid} has no such marker", remedy=f"@pytest.mark.{marker}({example})")
    return found


def checked_limits(limits: Mapping[str, Any]) -> Mapping[str, Any]:
    """The limits of a marker. Raises BadInput."""
    from harness.errors import BadInput
    from harness.records.outcomes import Outcome

    if unknown := limits.keys() - {*BOUNDS, "outcome"}:
        names = ", ".join(sorted(unknown))
        raise BadInput(f"the marker {LIMITS} knows no {names}", remedy=f"choose from outcome, {', '.join(BOUNDS)}")
    for name, value in limits.items():
        if name == "outcome" and value not in set(Outcome):
            raise BadInput(f"{LIMITS}: there is no outcome {value!r}", remedy=f"choose from {', '.join(Outcome)}")
        if name != "outcome" and not _is_number(value):
            raise BadInput(f"{LIMITS}: {name}={value!r} is no number", remedy=f"such as {name}=0.2")
    return limits


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _benchmarked(request: pytest.FixtureRequest, words: Mapping[str, Any], folder: Path, measured: Measure) -> MeasuredCell:
    """The cell, measured under pytest-benchmark where that is there: its report then holds the figures."""
    if not request.config.pluginmanager.hasplugin("benchmark"):
        return measured(words, folder)
    benchmark = request.getfixturevalue("benchmark")
    found: MeasuredCell | None = benchmark.pedantic(measured, args=(words, folder), rounds=1, iterations=1)
    found = found or measured(words, folder)
    benchmark.extra_info |= {"cell": found.cell, **{name: found.row[name] for name in INFO}}
    return found


def measure(words: Mapping[str, Any], folder: Path) -> MeasuredCell:
    """Run the one cell that the words describe, afresh. Raises BadInput or NothingMatches if they describe none."""
    from harness import environments, workloads
    from harness.errors import BadInput
    from harness.experiment import experiment
    from harness.run import bundles, experiment_source, plan

    words = dict(words)
    model = words.pop("model", None)
    settings = {name: words.pop(name) for name in list(words) if name in experiment.Settings.model_fields}
    block = {name: value if isinstance(value, list) else [value] for name, value in words.items()}
    data = {"name": "pytest", "summary": "one cell", "settings": {"controls": False, **settings}, "cells": [block]}
    if not isinstance(model, str | Path | None):
        raise BadInput(f"model={model!r} is no file", remedy='such as model="model.keras"')
    spec = experiment.checked(
        data,
        f"the marker {CELL}",
        backends=list(environments.descriptions()),
        workloads=[*workloads.NAMES, bundles.USER_WORKLOAD],
    )
    if len(spec.expand()) != 1:
        raise BadInput(f"the marker describes {len(spec.expand())} cells, not one", remedy="give one value per word")
    cells = plan.chosen_cells(spec, [], workload=bundles.USER_WORKLOAD if model else "")
    order = experiment_source.RunOrder(experiment=spec, cells=cells, folder=folder, model=Path(model) if model else None)
    _emptied(folder)
    return _ran(order, folder, lambda: cells[0].id)


def measure_app(words: Mapping[str, Any], folder: Path, root: Path) -> MeasuredCell:
    """Probe the one pool of an application that the words describe, afresh. Raises BadInput if they describe none."""
    from harness.applications import marker
    from harness.applications.probe import probe
    from harness.applications.probe.source import ApplicationSource

    _emptied(folder)
    known = list[ApplicationSource]()
    order, _ = marker.read(words, folder, root)
    return _ran(probe.Probe(order=order, known=known), folder, lambda: marker.the_cell(known[-1].order).id)


def _emptied(folder: Path) -> None:
    """A run of an earlier session of tests gives its place to this one's."""
    shutil.rmtree(folder, ignore_errors=True)


def _ran(order: Ordered, folder: Path, cell_id: Callable[[], str]) -> MeasuredCell:
    """The cell's row, once the order is carried out."""
    from harness.errors import Interrupted
    from harness.run import workflow

    try:
        table = workflow.run(order, workflow.Silent())
    except Interrupted as error:
        raise KeyboardInterrupt from error  # as pytest knows it: no further test begins
    cell = cell_id()
    row = table[table["cell"] == cell].iloc[-1]
    plain = {str(name): None if value != value else value for name, value in row.items()}
    return MeasuredCell(plain, folder, cell, fresh=_fresh(folder, cell))


def _fresh(folder: Path, cell: str) -> Mapping[str, Fresh]:
    """The figures of all workers of the cell that were judged, however they ended."""
    from harness.decide.advise import fresh
    from harness.decide.compare import sides
    from harness.records.outcomes import NOT_JUDGED

    side = sides.read(folder)
    trials = [record for group in side.cells.values() for record in group if record.cell_id == cell]
    return fresh.of([(record, side.of(record)) for record in trials if record.outcome not in NOT_JUDGED])
