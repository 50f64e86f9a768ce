"""A search over the records of a run that has the whole grid: how near it comes to the best, with how little of it.

If cells have several trials, there are SEARCHES searches. Each draws one trial of every cell that it measures, and then TRIALS
of each finalist, as a live one does; what it found is held against the best by all trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from harness.certainty.intervals import middle
from harness.decide.advise import candidates
from harness.decide.advise.candidates import Candidate
from harness.decide.advise.constraints import Bound
from harness.decide.tune import search, tune
from harness.decide.tune.search import Score
from harness.decide.tune.tune import TuneAnswer
from harness.errors import BadInput
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome

SEARCHES = 20  # if they draw


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What the searches over one grid reached."""

    answer: TuneAnswer  # of the search in the middle
    reached: float  # rows a second of what that one found over those of the best of the grid
    worst: float  # likewise, of the search that reached least
    found: tuple[Cell, ...]  # by each search, that which reached least first
    searches: int
    exhaustive: Cell  # the best of the grid


def of_run(folder: Path, bounds: tuple[Bound, ...], share: float = search.SHARE) -> list[Replay]:
    """Search the recorded grid, backend by backend and workload by workload. Raises BadInput if there is no grid."""
    known = [one for one in candidates.read_all([folder], bounds) if one.outcome is not Outcome.SKIPPED]  # cannot exist
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for one in known:
        groups.setdefault((one.cell.venv, one.cell.workload), []).append(one)
    found = [_of_grid(group, share) for group in groups.values() if len(group) > 1]
    if not found:
        raise BadInput(f"{folder} holds no grid", remedy="'harness run' an experiment whose cells are one, such as grid")
    return found


def _of_grid(group: Sequence[Candidate], share: float) -> Replay:
    return of_paces({one.cell: tune.score(one) for one in group}, {one.cell: one.paces for one in group}, share)


def of_paces(table: Mapping[Cell, Score], paces: Mapping[Cell, Sequence[float]], share: float = search.SHARE) -> Replay:
    """Search a grid of which each cell's score is known, and what its trials had: rows a second, () for none."""
    exhaustive = max(table, key=lambda cell: table[cell])
    drawn = any(len(each) > 1 for each in paces.values())
    found = [_searched(table, _drawing(table, paces, Random(seed)) if drawn else _as_is(table), share, drawn)
             for seed in range(SEARCHES if drawn else 1)]  # fmt: skip
    ranked = sorted(((_reached(table, answer.best, exhaustive), answer) for answer in found), key=lambda each: each[0])
    reached, answer = ranked[(len(ranked) - 1) // 2]
    return Replay(
        answer=answer, reached=reached, worst=ranked[0][0], searches=len(ranked), exhaustive=exhaustive,
        found=tuple(one.best for _, one in ranked),
    )  # fmt: skip


Look = Callable[[Cell, int], Score]  # a cell's score by so many trials


def _as_is(table: Mapping[Cell, Score]) -> Look:
    return lambda cell, trials: table[cell]


def _drawing(table: Mapping[Cell, Score], paces: Mapping[Cell, Sequence[float]], dice: Random) -> Look:
    def look(cell: Cell, trials: int) -> Score:
        drawn = middle([dice.choice(paces[cell]) for _ in range(trials)]) if paces[cell] else None
        return table[cell] if drawn is None or not table[cell].answers else replace(table[cell], rows_per_s=drawn)

    return look


def _searched(table: Mapping[Cell, Score], look: Look, share: float, again: bool) -> TuneAnswer:
    """`again`: whether finalists are looked at again."""
    found = tune.begun(list(table), lambda cells: {cell: look(cell, 1) for cell in cells}, share)
    found.run()
    if again:
        found.known |= {cell: look(cell, tune.TRIALS) for cell in found.ranked()[: tune.FINALISTS]}
    return tune.answer_of(found, found.best)


def _reached(table: Mapping[Cell, Score], best: Cell, exhaustive: Cell) -> float:
    kept = table[best].nearness >= table[exhaustive].nearness and table[exhaustive].answers
    return table[best].rows_per_s / table[exhaustive].rows_per_s if kept else 0.0
