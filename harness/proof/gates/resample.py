"""Gates made of recorded pairs: how often the rule fails a change that is none, and how often it sees what was planted. Pure.

A gate draws recorded pairs of one kind (a pool beside a load) at random, turns each around by chance, plants something in the
head, and asks the rule after each pair until it is decided or the trials' own seconds have used up the budget. A pair keeps its
two trials together, so whatever the machine did to both is in it. Pairs are drawn anew, so a drift over a gate is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.applications.gate import rule
from harness.applications.gate.rule import BASE, BOTH, Pair, Rule, Trial, Word
from harness.records.outcomes import Outcome

BUDGET_S = 600.0
BESIDE_S = 40.0  # of a gate, beside its pairs: two imports, two times the serial calls, two ends
GATES = 2000
COMPUTES, WAITS = "computes", "waits"
#: by how much the pace falls, and whether the time goes to the CPU; None: the head hangs
PLANTED: dict[str, tuple[float | None, str]] = {
    "nothing": (0.0, COMPUTES),
    "10 % slower, computing": (0.10, COMPUTES),
    "10 % slower, waiting": (0.10, WAITS),
    "20 % slower, computing": (0.20, COMPUTES),
    "20 % slower, waiting": (0.20, WAITS),
    "a hang": (None, ""),
}
#: (name, from, below) shares of the cores that others took
BANDS = (
    ("others took less than 25 %", 0.0, 0.25),
    ("others took 25 to 50 %", 0.25, 0.50),
    ("others took more than 50 %", 0.50, 1.01),
)
LEAST_PAIRS = 20  # of a band, or its gates would be made of a few pairs again and again
#: (of the pace, of the CPU time) of pairs that are made up
SPREADS = ((0.02, 0.02), (0.05, 0.03), (0.10, 0.05), (0.20, 0.08))
MADE_UP_PAIRS = 2000
HUNG_S = 30.0  # of a trial that hangs: until it is proved, and watched on


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Two trials of a pair: requests per second, core-seconds per request, seconds of each; `first` as of a `Pair`."""

    paces_per_s: tuple[float, float]
    cpu_s: tuple[float, float]
    seconds: tuple[float, float]
    first: str = BASE


@dataclass(frozen=True, kw_only=True)
class Row:
    """`gates` of one kind with something planted, and how many ended with each word; `pairs`: that they took, in the middle."""

    kind: str
    planted: str
    gates: int
    worse: int
    passes: int
    cannot_say: int
    pairs: float


def read(table: pd.DataFrame) -> list[Recorded]:
    """The pairs of a recording that have all figures."""
    columns = [[f"{side}_{name}" for side in ("base", "head")] for name in ("pace_per_s", "cpu_s", "seconds")]
    whole = table.dropna(subset=[name for pair in columns for name in pair])
    return [
        Recorded(paces_per_s=(row[0], row[1]), cpu_s=(row[2], row[3]), seconds=(row[4], row[5]), first=row[6])
        for row in whole[[*(name for pair in columns for name in pair), "first"]].itertuples(index=False, name=None)
    ]


def kinds(table: pd.DataFrame) -> dict[str, list[Recorded]]:
    """The pairs by the share of the cores that others took from both trials; without bands of a few pairs."""
    at_once = table["first"] == BOTH
    shares = table[["base_others_share", "head_others_share"]].mean(axis=1)
    shares -= at_once * table[["base_ours_share", "head_ours_share"]].mean(axis=1).fillna(0.0)  # neither side is foreign
    found = {
        f"{how}, {name}": read(table[(shares >= low) & (shares < high) & mode])
        for how, mode in (("by turns", ~at_once), ("at once", at_once))
        for name, low, high in BANDS
    }
    return {name: pairs for name, pairs in found.items() if len(pairs) >= LEAST_PAIRS}


def made_up(spread_of_pace: float, spread_of_cpu: float, dice: np.random.Generator) -> list[Recorded]:
    """Pairs whose slow-down and CPU times are normal with these standard deviations, each trial of 10 s."""
    slower, dearer = (dice.normal(0, spread, MADE_UP_PAIRS) for spread in (spread_of_pace, spread_of_cpu))
    return [
        Recorded(paces_per_s=(100.0 * math.exp(one), 100.0), cpu_s=(0.01 * math.exp(two), 0.01), seconds=(10.0, 10.0))
        for one, two in zip(slower, dearer, strict=True)
    ]


def modelled(seed: int = 1) -> dict[str, list[Recorded]]:
    """What a spread allows, for machines that were not there to be recorded."""
    dice = np.random.default_rng(seed)
    return {f"made up, {pace * 100:g} % and {cpu * 100:g} %": made_up(pace, cpu, dice) for pace, cpu in SPREADS}


def rows(kinds: Mapping[str, Sequence[Recorded]], gates: int, seed: int = 1, wanted: Rule | None = None) -> list[Row]:
    """A row for each kind and each thing that is planted."""
    dice = np.random.default_rng(seed)
    return [_row(kind, pairs, planted, gates, dice, wanted or Rule()) for planted in PLANTED for kind, pairs in kinds.items()]


def _row(kind: str, pairs: Sequence[Recorded], planted: str, gates: int, dice: np.random.Generator, wanted: Rule) -> Row:
    ended = [one_gate(pairs, planting(planted), dice, wanted.among(1)) for _ in range(gates)]
    words = [word for word, _ in ended]
    return Row(
        kind=kind, planted=planted, gates=gates, worse=words.count(Word.WORSE), passes=words.count(Word.PASSES),
        cannot_say=words.count(Word.CANNOT_SAY), pairs=float(np.median([count for _, count in ended])),
    )  # fmt: skip


def planting(name: str) -> Callable[[Trial], Trial]:
    """What becomes of a head's trial."""
    share, kind = PLANTED[name]

    def plant(one: Trial) -> Trial:
        if share is None:
            return replace(one, outcome=Outcome.HUNG, pace_per_s=None, cpu_s=None, seconds=HUNG_S)
        pace = (one.pace_per_s or math.nan) * (1 - share)
        return replace(one, pace_per_s=pace, cpu_s=(one.cpu_s or math.nan) / (1 - share if kind == COMPUTES else 1))

    return plant


def one_gate(
    pairs: Sequence[Recorded], plant: Callable[[Trial], Trial], dice: np.random.Generator, wanted: Rule
) -> tuple[Word, int]:
    """Its word, and the number of pairs that it took."""
    drawn, left_s = list[Pair](), BUDGET_S - BESIDE_S
    while True:
        one, turned = pairs[int(dice.integers(len(pairs)))], int(dice.integers(2))
        base, head = (_trial(one, side) for side in (turned, 1 - turned))
        pair = Pair(base=base, head=plant(head), first=one.first)
        left_s -= pair.seconds
        if left_s < 0:
            return Word.CANNOT_SAY, len(drawn)
        drawn.append(pair)
        found = rule.decide(drawn, wanted)
        if found.decided:
            return found.word, len(drawn)


def _trial(one: Recorded, side: int) -> Trial:
    return Trial(outcome=Outcome.OK, pace_per_s=one.paces_per_s[side], cpu_s=one.cpu_s[side], seconds=one.seconds[side])
