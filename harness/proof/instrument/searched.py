"""Truth test of `harness tune`: how near it comes to the best of a whole grid, and how much of the grid it measures.

The whole grid is a run on record (`results/grid`: `harness run grid`). Of each of its workloads: the search replayed over the
records; and the search live, whose winner is then held against the recorded best, both measured again side by side, because
what a grid of single trials calls its best is partly luck. About half an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness import environments, workloads
from harness.certainty.intervals import middle, over_trials
from harness.decide.advise import candidates
from harness.decide.tune import replay, search, tune
from harness.decide.tune.replay import Replay
from harness.errors import BadInput
from harness.experiment import experiment
from harness.experiment.experiment import Experiment, Settings
from harness.experiment.matrix import Cell
from harness.proof.instrument.finding import Finding, at_least, at_most
from harness.records.store import RunFolder
from harness.run import plan, workflow
from harness.run.source import Ordered
from harness.run.workflow import Silent

GRID = Path("results/grid")
REACHED = 0.97
SIDE_BY_SIDE = {"measure_s": 3.0, "requests": 60, "repeat": 7, "stable_limit_s": 3.0, "noise_limit": 100.0}


def searched(folder: Path, recorded: Path = GRID) -> list[Finding]:
    """Four findings a workload. Raises BadInput where the grid is not on record."""
    if not RunFolder(recorded).has_trials:
        raise BadInput(f"there is no whole grid in {recorded}", remedy="'harness run grid' makes it, in about an hour")
    spec = experiment.read("grid", backends=list(environments.descriptions()), workloads=list(workloads.NAMES))
    cells = tune.grid_of(spec, plan.why_skipped)
    return [finding for one in replay.of_run(recorded, ()) for finding in _of_workload(one, spec, cells, folder)]


def _of_workload(replayed: Replay, spec: Experiment, cells: list[Cell], folder: Path) -> Iterator[Finding]:
    best = replayed.exhaustive
    name = f"{best.workload} on {best.backend}"
    yield at_least(f"{name}, replayed: reached of the best", replayed.reached, REACHED, note=_note(replayed.answer.best, best))
    yield at_most(f"{name}, replayed: share of the grid measured", replayed.answer.share, search.SHARE)
    grid = [cell for cell in cells if (cell.venv, cell.workload) == (best.venv, best.workload)]
    ask, place = tune.OfExperiment(experiment=spec), folder / f"live-{best.workload}"
    order = tune.TuneOrder(grid=grid, settings=spec.settings, ask=ask, bounds=(), folder=place)
    answer = tune.live(order, Silent())
    pair = replace(ask([answer.best, best], again(spec.settings), folder / f"pair-{best.workload}"), fresh=True)
    ratio, note = side_by_side(answer.best, best, pair, pair.folder)
    yield at_least(f"{name}, live: reached of the best", ratio, REACHED, note=f"{_note(answer.best, best)}{note}")
    yield at_most(f"{name}, live: share of the grid measured", answer.share, search.SHARE)


def _note(found: Cell, best: Cell) -> str:
    return "the very best" if found == best else f"{found.id}; the best is {best.id}"


def again(settings: Settings) -> Settings:
    """Those of a comparison side by side: more trials, whatever else runs."""
    return settings.model_copy(update=SIDE_BY_SIDE)


def side_by_side(found: Cell, best: Cell, pair: Ordered, folder: Path) -> tuple[float, str]:
    """(rows a second of the one over the other's, from fresh workers by turns; what they had). `pair`: the order of the two."""
    if found == best:
        return 1.0, ""
    workflow.run(pair, Silent())
    paces = {one.cell: one.paces for one in candidates.read_all([folder], ())}
    ours, theirs = middle(paces.get(found, ())), middle(paces.get(best, ()))
    if ours is None or theirs is None:
        return 0.0, "; one of them did not end ok when it was measured again"
    spans = [over_trials(paces[cell]) for cell in (found, best)]
    return ours / theirs, "; rows/s " + " and ".join(f"{span.low:.4g} - {span.high:.4g}" for span in spans if span.low)
