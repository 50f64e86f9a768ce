"""A search over real workers, or over the records of a run that has the whole grid."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from harness.decide.advise import candidates, constraints
from harness.decide.advise.candidates import Candidate
from harness.decide.advise.constraints import HANG_RATE, Bound
from harness.decide.advise.ranking import Advice
from harness.decide.tune import search
from harness.decide.tune.search import NOTHING, Score, Search
from harness.experiment.experiment import Experiment, Settings
from harness.experiment.matrix import Cell
from harness.machine import cores
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import estimate, workflow
from harness.run.experiment_source import RunOrder
from harness.run.plan import NOT_BOUGHT, Planned
from harness.run.source import Ordered

FINALISTS = 3  # of which more trials are made, where one trial each cannot decide
TRIALS = 3
MORE_TRIALS = 6  # of finalists of which so many workers do not tell whether one more keeps the bounds
OPEN = -1e-9  # nearness, if that cannot be said: behind those that keep them, before those that break one
STEP = 10  # fresh workers of the winner at a time
CLOSER = "closer"  # the folder of what is measured with more requests
CLOSER_LIMIT_S, CLOSER_TIMES, MOST_LIMIT_S = 60.0, 3.0, 3600.0  # a trial's limit there: at least, by its pace, at most


class Ask(Protocol):
    """How cells of the grid are run: an experiment's, or somebody's own application's."""

    def __call__(
        self, cells: Sequence[Cell], settings: Settings, folder: Path, later: Sequence[Cell] = (),
        further: Sequence[Cell] = (), *, again: bool = True,
    ) -> Ordered:  # fmt: skip
        """The order of these cells; `again`: trials whose figures were spoiled are made again. `later`: cells that will be
        asked for after these, about; `further`: likewise, for more trials of some of all."""

    @property
    def buys(self) -> bool:
        """Whether the order itself settles what there is time for, trial by trial, and says so (`plan.NOT_BOUGHT`)."""


@dataclass(frozen=True, kw_only=True)
class OfExperiment:
    """Cells of an experiment, in our own workers. `model` and `rows`: the user's own, in place of a workload."""

    experiment: Experiment
    model: Path | None = None
    rows: Path | None = None

    @property
    def buys(self) -> bool:
        return False

    def __call__(
        self, cells: Sequence[Cell], settings: Settings, folder: Path, later: Sequence[Cell] = (),
        further: Sequence[Cell] = (), *, again: bool = True,
    ) -> RunOrder:  # fmt: skip
        return RunOrder(
            experiment=self.experiment.model_copy(update={"settings": settings}), cells=list(cells), folder=folder,
            model=self.model, rows=self.rows, retry=frozenset({Outcome.INVALID} if again else ()),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TuneOrder:
    """`settings`: of the search's own trials. `trials`: of each finalist. `budget_s`: None for as long as the search takes."""

    grid: Sequence[Cell]
    settings: Settings
    ask: Ask
    folder: Path
    bounds: tuple[Bound, ...] = ()
    share: float = search.SHARE
    trials: int = TRIALS
    budget_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class TuneAnswer:
    """What the search found. `gain`: rows a second over the default's, None where the default gave none; `answers`: whether
    the best ended ok; `kept`: whether it is known to keep all bounds; `alike`: no one is best, see `advise.ranking`;
    `as_fast`: the default cannot be told from the best."""

    best: Cell
    default: Cell
    measured: int
    grid: int
    stopped: str
    gain: float | None
    answers: bool
    kept: bool
    alike: bool = False
    as_fast: bool = False
    cells: frozenset[str]  # that were measured
    closely: frozenset[str] = frozenset()  # of these, the ones that were measured with more requests, too

    @property
    def share(self) -> float:
        return self.measured / self.grid


def live(order: TuneOrder, screen: workflow.Screen) -> TuneAnswer:
    """Search with real workers; records in the order's folder, where a later call goes on.

    The search itself asks few requests of each configuration. The finalists are then measured more often, and with as many
    requests as the bounds on latency need (in a folder of their own, see `advised`); the best of them with as many fresh
    workers as a bound on hangs needs.
    """
    requests, workers = constraints.needed(order.bounds)
    if workers > order.trials:
        screen.say(f"a hang rate that low takes {workers} fresh workers of the winner, as far as there is time")
    until = time.monotonic() + order.budget_s if order.budget_s is not None else math.inf

    def measure(cells: Sequence[Cell]) -> dict[Cell, Score]:
        later, before = ahead(order, found, cells), list(found.known) if found.is_whole else []
        again = not (found.is_whole and later)
        further = finals_of(order)
        return _measured(order, cells, screen, until, later=later, further=further, before=before, again=again)

    found = begun(order.grid, measure, order.share)
    found.run()
    finalists = [cell for cell in found.ranked()[:FINALISTS] if found.known[cell].answers]
    finals = _finals(order, requests, [found.known[cell].rows_per_s / cell.batch for cell in finalists])
    for trials in (order.trials, max(MORE_TRIALS, order.trials)):
        cells = finalists if trials == order.trials else undecided(finals, finalists)
        if cells and time.monotonic() < until:
            found.known |= _measured(finals, cells, screen, until, trials=trials)
    for trials in range(order.trials + STEP, workers + STEP, STEP):
        best = found.best
        if time.monotonic() >= until or not found.known[best].answers:
            break
        found.known |= _measured(finals, [best], screen, until, trials=min(trials, workers))
    closely = frozenset(cell.id for cell in finalists) if finals is not order else frozenset()
    return replace(answer_of(found, found.best), closely=closely)


def trials_of(order: TuneOrder) -> list[Cell]:
    """As many cells as the search will make trials of, about: some of them as finalists more than once."""
    most = min(search.most_of(order.grid, order.share), len(order.grid))
    return [*order.grid[:most], *finals_of(order)]


def finals_of(order: TuneOrder) -> list[Cell]:
    """As many as the finalists' further trials: of the cells with most executors, which are mostly the fastest."""
    return sorted(order.grid, key=lambda cell: cell.concurrency, reverse=True)[:FINALISTS] * (order.trials - 1)


def ahead(order: TuneOrder, found: Search, cells: Sequence[Cell]) -> list[Cell]:
    """What the search will make trials of after these cells, about, before it comes to its finalists."""
    done = {*found.known, *cells}
    rest = [cell for cell in order.grid if cell not in done]
    return rest[: max(0, found.most - len(done))]


def advised(order: TuneOrder, answer: TuneAnswer) -> list[Candidate]:
    """What advice on a search rests on: the cells that it measured, the finalists as they were measured more closely."""
    found = {one.id: one for one in candidates.read_all([order.folder], order.bounds) if one.id in answer.cells}
    if answer.closely and RunFolder(order.folder / CLOSER).has_trials:
        for one in candidates.read_all([order.folder / CLOSER], order.bounds):
            if one.id in answer.closely and not found[one.id].vetoed and (one.measured or one.vetoed):
                found[one.id] = one
    return list(found.values())


def as_advised(answer: TuneAnswer, advice: Advice, known: Sequence[Candidate]) -> TuneAnswer:
    """With what is advised as the best: of those that are as fast, another one may need less memory.

    `known`: what the advice rests on. If nothing is advised, the best is what came nearest, as the search has it.
    """
    if (shown := advice.shown) is None:
        return answer
    default = next((one for one in known if one.cell == answer.default and one.measured), None)
    gain = shown.rows_per_s / default.rows_per_s if default and default.rows_per_s else None
    as_fast = shown.cell != answer.default and any(one.cell == answer.default for one in advice.best)
    return replace(answer, best=shown.cell, gain=gain, answers=True, kept=True, alike=not advice.best, as_fast=as_fast)


def _finals(order: TuneOrder, requests: int, paces_per_s: Sequence[float]) -> TuneOrder:
    """The order for finalists of these paces: with so many requests, and time for them; the order itself if it has as many."""
    settings = order.settings
    if requests <= settings.requests:
        return order
    slowest = min((pace for pace in paces_per_s if pace), default=math.inf)
    limit_s = min(max(settings.limit_s, CLOSER_LIMIT_S, CLOSER_TIMES * requests / slowest), MOST_LIMIT_S)
    more = settings.model_copy(update={"requests": requests, "limit_s": limit_s})
    return replace(order, folder=order.folder / CLOSER, settings=more)


def begun(grid: Sequence[Cell], measure: search.Measure, share: float) -> Search:
    """A search that begins with what Celery does here if nothing is said."""
    return Search(grid=grid, start=search.default(grid, cores.to_fill()), measure=measure, most=search.most_of(grid, share))


def answer_of(found: Search, best: Cell) -> TuneAnswer:
    """What it found, and that this is the best of it."""
    default, winner = found.known.get(found.start, NOTHING), found.known.get(best, NOTHING)
    gain = winner.rows_per_s / default.rows_per_s if default.answers and default.rows_per_s else None
    return TuneAnswer(
        best=best, default=found.start, measured=len(found.known), grid=len(found.grid), stopped=found.stopped, gain=gain,
        answers=winner.answers, kept=winner.nearness == 0, cells=frozenset(cell.id for cell in found.known),
    )  # fmt: skip


def _measured(
    order: TuneOrder,
    cells: Sequence[Cell],
    screen: workflow.Screen,
    until_s: float,
    *,
    trials: int = 1,
    later: Sequence[Cell] = (),
    further: Sequence[Cell] = (),
    before: Sequence[Cell] = (),
    again: bool = True,
) -> dict[Cell, Score]:
    """Run what there is time for. What was spoiled by others is run a second time once all have been run (`again`), and so is
    what was of cells that were run `before`; their scores come, too."""
    settings = order.settings.model_copy(update={"repeat": trials, "controls": False})
    known = list(RunFolder(order.folder).current().values())
    affordable = list(cells) if order.ask.buys else _affordable(cells, known, settings, until_s)
    if not affordable or time.monotonic() >= until_s:
        return {}
    workflow.run(order.ask(affordable, settings, order.folder, later, further, again=False), screen)
    measured = [*before, *affordable]
    names, ended = {cell.id for cell in measured}, RunFolder(order.folder).current().values()
    if again and any(one.spoiled and one.cell_id in names for one in ended) and time.monotonic() < until_s:
        workflow.run(order.ask(measured, settings, order.folder, later, further), screen)
        ended = RunFolder(order.folder).current().values()
    return scores(order.folder, order.bounds, _bought(measured, ended))


def _bought(cells: Sequence[Cell], records: Iterable[TrialRecord]) -> list[Cell]:
    """Without those for which there was no time."""
    said = {record.cell_id: record.reason.startswith(NOT_BOUGHT) for record in records if record.trial == 1}
    return [cell for cell in cells if not said.get(cell.id)]


def _affordable(cells: Sequence[Cell], known: Sequence[TrialRecord], settings: Settings, until_s: float) -> list[Cell]:
    """Those, from the first on, for which the time is enough; what is on record takes none."""
    names = {(record.cell_id, record.trial) for record in known}
    found, left_s = list[Cell](), until_s - time.monotonic()
    for cell in cells:
        trials = range(1, settings.repeat + 1)
        todo = [Planned(cell=cell, trial=trial, key="") for trial in trials if (cell.id, trial) not in names]
        left_s -= estimate.left_s(todo, known, settings)
        if left_s < 0:
            break
        found.append(cell)
    return found


def undecided(order: TuneOrder, cells: Sequence[Cell]) -> list[Cell]:
    """Those of which it cannot be said whether one more fresh worker keeps the bounds; hangs are asked of the winner alone."""
    if not RunFolder(order.folder).has_trials:
        return []
    known = {one.id: one for one in candidates.read_all([order.folder], order.bounds)}
    open_ = {name for name, one in known.items() if one.measured and not one.broken}
    return [cell for cell in cells if cell.id in open_ and any(bound.name != HANG_RATE for bound in known[cell.id].unknown)]


def scores(folder: Path, bounds: Sequence[Bound], cells: Sequence[Cell]) -> dict[Cell, Score]:
    """The scores of these cells by the records in a folder; a cell without a record scores nothing."""
    known = {one.id: one for one in candidates.read_all([folder], bounds)}
    return {cell: score(known[cell.id]) if cell.id in known else NOTHING for cell in cells}


def score(one: Candidate) -> Score:
    """How good a configuration is, see `search`."""
    if not one.measured:
        return NOTHING
    broken = [_times(bound, figure) for bound in one.broken if (figure := bound.at_best(one.row)) is not None]
    nearness = -max(math.log(times) for times in broken) if broken else OPEN if one.unknown else 0.0
    return Score(answers=True, nearness=nearness, rows_per_s=one.rows_per_s)


def _times(bound: Bound, figure: float) -> float:
    """By how many times a bound is broken, above 1."""
    ratio = bound.value / figure if bound.least and figure else figure / bound.value
    return max(ratio, 1.0 + 1e-6)


def grid_of(experiment: Experiment, why_not: Callable[[Cell], str], workload: str = "") -> list[Cell]:
    """The experiment's real cells that can exist."""
    chosen = (replace(cell, workload=workload) if workload else cell for cell in experiment.expand())
    return [cell for cell in dict.fromkeys(chosen) if not (cell.is_control or cell.is_baseline or why_not(cell))]
