"""Truth test: what `recommend`, `compare` and `bisect` claim from few workers is wrong no more often than is stated.

By simulation, since it takes thousands of fleets to see an error of 1 %. Workers are of one kind (their figures lognormal), or
of two, of which one in five is ten times slower. Half a minute.

What no rule can know is a kind of worker that was never met: if each worker is slow with a chance of one in five, five show
none in a third of cases. `recommend` says how large a share so many workers can miss; that is not judged here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from harness.certainty.comparison import STATED_RATE, ComparisonWord, compare
from harness.certainty.intervals import CONFIDENCE, LEAST_WORKERS, Floats
from harness.decide.advise import candidates, constraints
from harness.decide.advise.fresh import Fresh
from harness.decide.compare import outcomes
from harness.proof.instrument.coverage import WORKERS_DIFFER
from harness.proof.instrument.finding import Finding, at_least
from harness.records.outcomes import Outcome

TIMES = 10_000  # fleets, or pairs of runs
SLOW, SLOW_SHARE = 10.0, 0.2
SPREADS = (
    WORKERS_DIFFER,
    0.04,
)  # of fresh workers of one kind; on a quiet machine the first, which intervals are tried with, too
OWN = 0.03  # how well a worker's own figure is known
BOUND_S = (0.010, 2.0)  # bounds on a latency whose usual figure is USUAL_S
USUAL_S = 0.020
WORKERS = 5
CHANGE, FOUND = 1.2, 0.8  # a change, and how often it has to be found
Dice = np.random.Generator
Factors = Callable[[int, int], Floats | np.float64]  # by how much each worker's figure is larger: number of workers, which side


def claimed(seed: int = 1, times: int = TIMES) -> list[Finding]:
    """Promises of bounds, changes of outcomes, differences of figures."""
    dice = np.random.default_rng(seed)
    return [*promises(dice, times), *endings(dice, times), *differences(dice, times)]


def promises(dice: Dice, times: int) -> list[Finding]:
    """How often a configuration is said to keep a bound on latency that a fresh fleet of it breaks."""
    findings = []
    for name, fleet in (("one of five is ten times slower", _one_slow), ("workers of one kind", _one_kind)):
        bounds = np.exp(dice.uniform(math.log(BOUND_S[0]), math.log(BOUND_S[1]), times))
        said = broken = 0
        for bound_s in bounds:
            if _said_to_keep(_measured(dice, fleet(dice)), float(bound_s)):
                said += 1
                broken += bool(fleet(dice).max() > bound_s)
        findings.append(_rare(f"bounds said to be kept and broken, {name}", broken, times, f"said to be kept in {said}"))
    findings += [_tightest(dice, times, workers) for workers in (LEAST_WORKERS, WORKERS)]
    few = sum(_said_to_keep([USUAL_S] * count, BOUND_S[1]) for count in range(1, LEAST_WORKERS))
    findings.append(_rare("bounds said to be kept by fewer than three workers", few, LEAST_WORKERS - 1, rate=0.0))
    return findings


def _tightest(dice: Dice, times: int, workers: int) -> Finding:
    """How often one more fresh worker breaks the tightest bound that is said to be kept: half of what 95 % leaves."""
    broken = 0
    for _ in range(times):
        end = _fresh(_measured(dice, _one_kind(dice, workers))).end
        broken += end is not None and bool(_one_kind(dice, 1)[0] > end)
    name = f"one more fresh worker breaks the tightest bound that {workers} are said to keep"
    return _rare(name, broken, times, rate=(1 - CONFIDENCE) / 2)


def _one_kind(dice: Dice, workers: int = WORKERS) -> Floats:
    return np.asarray(USUAL_S * np.exp(SPREADS[1] * dice.standard_normal(workers)))


def _one_slow(dice: Dice) -> Floats:
    fleet = _one_kind(dice)
    fleet[dice.integers(WORKERS)] *= SLOW
    return fleet


def _measured(dice: Dice, fleet: Floats) -> list[float]:
    return [float(value) for value in fleet * np.exp(OWN * dice.standard_normal(len(fleet)))]


def _said_to_keep(values: list[float], bound_s: float) -> bool:
    """By the way that `harness recommend` goes."""
    nothing = Fresh(workers=len(values), values=(), own=())
    row = {"fresh": {"p50": nothing, "p95": nothing, "p99": _fresh(values)}}
    return candidates.held(row, [constraints.latency_bound("p99", bound_s)]) == ((), ())


def _fresh(values: list[float]) -> Fresh:
    return Fresh(workers=len(values), values=tuple(values), own=tuple(value * math.exp(2 * OWN) for value in values))


def endings(dice: Dice, times: int) -> list[Finding]:
    """How often the outcomes of a like pair are said to have changed, and whether a real change is."""
    findings = []
    for trials in (3, 5, 30):
        for rate in (0.0, 0.03, 0.3):
            pairs = dice.binomial(trials, rate, (times, 2))
            false = sum(_changed(int(before), int(after), trials) for before, after in pairs)
            findings.append(_rare(f"changed outcomes, like pairs of {trials} trials, {rate:.0%} hang", false, times))
    found = float(_changed(0, 15, 30))
    return [*findings, at_least("0 of 30 to 15 of 30 hung is said to be a change", found, 1.0)]


def _changed(before: int, after: int, trials: int) -> bool:
    here, there = ([Outcome.HUNG] * hung + [Outcome.OK] * (trials - hung) for hung in (before, after))
    verdict = outcomes.endings(here, there).verdict
    return verdict is not None and verdict.worse is not None


def differences(dice: Dice, times: int) -> list[Finding]:
    """How often figures of a like pair are said to differ if workers are of two kinds, and how often a change is found."""
    findings = []
    for sides in ((2, 2), (3, 3), (5, 5), (10, 10), (3, 30), (5, 30)):
        false = _differ(dice, times, sides, lambda count, _: np.where(dice.random(count) < SLOW_SHARE, SLOW, 1.0))
        name = f"false differences, workers of two kinds, {sides[0]} and {sides[1]} trials"
        findings.append(_rare(name, false, times))
    for spread in SPREADS:
        found = _differ(dice, times, (WORKERS, WORKERS), lambda _, side: np.float64(CHANGE**side), spread)
        name = f"a change of {CHANGE - 1:.0%} is found, {WORKERS} trials a side, workers differ by {spread:.0%}"
        findings.append(at_least(name, found / times, FOUND, note=f"{found} of {times} pairs"))
    return findings


def _differ(dice: Dice, times: int, sides: tuple[int, int], factors: Factors, spread: float = WORKERS_DIFFER) -> int:
    """In how many pairs of so many trials a difference is claimed."""
    differ = 0
    for _ in range(times):
        first, second = (
            (factors(count, side) * np.exp(spread * dice.standard_normal(count))).tolist() for side, count in enumerate(sides)
        )
        differ += compare(first, second).word is ComparisonWord.DIFFER
    return differ


def _rare(name: str, false: int, times: int, note: str = "", rate: float = STATED_RATE) -> Finding:
    """A share that may be `rate`, and as much more as chance makes of so many (three standard deviations)."""
    allowed = rate * times + 3 * math.sqrt(rate * times)
    said = "; ".join(filter(None, (f"{false} of {times}", note)))
    return Finding(
        name=name, figure=false / times, bound=f"<= {rate:g} ({allowed:.0f} of {times})", passed=false <= allowed, note=said
    )
