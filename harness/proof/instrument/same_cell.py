"""Truth test: two runs of the same cell (A/A) must not be told apart more often than `harness.certainty.comparison` states.

By simulation, 1 000 pairs for each number of trials; and by real workers: the experiment `same-cell` repeats null cells,
and its trials are dealt out to pairs that differ in nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from harness.certainty.comparison import STATED_RATE, ComparisonWord, compare
from harness.proof.instrument.finding import Finding
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, by_cell
from harness.records.sections import Figures

EXPERIMENT = "same-cell"
SIMULATED_PAIRS = 1000
REAL_PAIRS = 20
MOST_REAL = 1
TRIALS = 3  # a side of a real pair
COMPARED: dict[str, Callable[[Figures], float | None]] = {
    "throughput": lambda one: one.throughput_per_s,
    "p50": lambda one: one.latency_s.get("p50"),
}


def simulated(seed: int = 1) -> list[Finding]:
    """False differences among simulated pairs of 2, 3, 5 and 10 trials a side; workers differ by 0.5 % to 30 %."""
    dice = np.random.default_rng(seed)
    return [_simulated(dice, trials) for trials in (2, 3, 5, 10)]


def _simulated(dice: np.random.Generator, trials: int) -> Finding:
    deviations = np.exp(dice.uniform(np.log(0.005), np.log(0.3), SIMULATED_PAIRS))
    figures = np.exp(deviations[:, None, None] * dice.standard_normal((SIMULATED_PAIRS, 2, trials)))
    false = sum(compare(first, second).word is ComparisonWord.DIFFER for first, second in figures)
    return Finding(
        name=f"false differences, simulated, {trials} trials a side",
        figure=false / SIMULATED_PAIRS,
        bound=f"<= {STATED_RATE:g}",
        passed=false <= STATED_RATE * SIMULATED_PAIRS,
        note=f"{false} of {SIMULATED_PAIRS} pairs",
    )


def real(records: Iterable[TrialRecord]) -> list[Finding]:
    """False differences among 20 pairs of real trials of the experiment `same-cell`: at most one."""
    dealt = pairs(records)
    return [_real(name, [tuple(list(map(read, side)) for side in pair) for pair in dealt]) for name, read in COMPARED.items()]


def _real(name: str, values: Sequence[tuple[list[float | None], ...]]) -> Finding:
    known = [pair for pair in values if None not in pair[0] + pair[1]]
    words = [compare(*([value for value in side if value is not None] for side in pair)).word for pair in known]
    false, ties = words.count(ComparisonWord.DIFFER), words.count(ComparisonWord.TIE)
    enough = len(words) >= REAL_PAIRS
    note = f"of {len(words)} pairs {ties} tie, {len(words) - false - ties} cannot say"
    return Finding(
        name=f"false differences in {name}, real workers, {TRIALS} trials a side",
        figure=float(false) if enough else None,
        bound=f"<= {MOST_REAL} of {REAL_PAIRS}",
        passed=enough and false <= MOST_REAL,
        note=note if enough else f"only {len(words)} whole pairs; 'harness run {EXPERIMENT}' makes {REAL_PAIRS}",
    )


def pairs(records: Iterable[TrialRecord]) -> list[tuple[list[Figures], list[Figures]]]:
    """The trials of each cell in the order of their rounds, dealt alternately to the two sides of one pair after the other.

    The first REAL_PAIRS of them, taken from the cells in turn.
    """
    cells = by_cell(one for one in records if one.outcome is Outcome.OK and one.certainty.figures is not None)
    dealt = [_dealt(sorted(trials, key=lambda record: record.trial)) for trials in cells.values()]
    most = max(map(len, dealt), default=0)
    in_turn = [one[place] for place in range(most) for one in dealt if place < len(one)]
    return in_turn[:REAL_PAIRS]


def _dealt(trials: list[TrialRecord]) -> list[tuple[list[Figures], list[Figures]]]:
    figures = [record.certainty.figures for record in trials if record.certainty.figures is not None]
    whole = [figures[begin : begin + 2 * TRIALS] for begin in range(0, len(figures) - 2 * TRIALS + 1, 2 * TRIALS)]
    return [(block[0::2], block[1::2]) for block in whole]
