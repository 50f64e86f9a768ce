"""Gates made of recorded pairs: how often the rule fails a change that is none, and how often it sees what was planted. Pure.

A gate draws recorded pairs of one kind (a pool beside a load) at random, turns each around by chance, plants something in the
head, and asks the rule after each pair until it is decided or the trials' own seconds have used up the budget. A pair keeps its
two trials together, so whatever the machine did to both is in it. Pairs are drawn anew, so a drift over a gate is not.

What is planted is 10 % slower with nobody beside it. A head that waits does so for as long beside others, too: its pace falls
by less there, and each request keeps its executor longer by that wait (`waiting`).
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
EXECUTORS = {"prefork": 2, "threads": 2, "solo": 1}  # of the recorded pools
ALONE = 0.1  # below that share of the cores taken by others, nobody is beside a trial
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
    """Two trials of a pair: requests per second, core-seconds per request, seconds that one keeps its executor (None: not
    recorded), seconds of each trial; `first` as of a `Pair`."""

    paces_per_s: tuple[float, float]
    cpu_s: tuple[float, float]
    seconds: tuple[float, float]
    own_s: tuple[float, float] | None = None
    first: str = BASE
    executors: int = 1
    alone_s: float | None = None  # from one request to the next of an executor with nobody beside; None: not recorded


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


def alone(table: pd.DataFrame) -> dict[str, float]:
    """Seconds from one request to the next of an executor with nobody beside, in the middle of trials by turns, by pool."""
    sides = [table[table["first"] != BOTH][["pool", f"{side}_pace_per_s", f"{side}_others_share"]] for side in ("base", "head")]
    both = pd.concat([side.set_axis(["pool", "pace_per_s", "others"], axis=1) for side in sides])
    paces = both[both["others"] < ALONE].groupby("pool")["pace_per_s"].median()
    return {str(pool): EXECUTORS[str(pool)] / pace for pool, pace in paces.items()}


def read(table: pd.DataFrame, alone_s: Mapping[str, float]) -> list[Recorded]:
    """The pairs of a recording that have a pace and CPU times. `alone_s`: see `alone`."""
    columns = {name: [f"{side}_{name}" for side in ("base", "head")] for name in ("pace_per_s", "cpu_s", "seconds", "own_s")}
    whole = table.dropna(subset=[*columns["pace_per_s"], *columns["cpu_s"], *columns["seconds"]])
    both = {name: whole[pair].to_numpy().tolist() for name, pair in columns.items()}
    return [
        Recorded(
            paces_per_s=tuple(pace), cpu_s=tuple(cpu), seconds=tuple(seconds), first=first,
            own_s=None if any(map(math.isnan, own)) else tuple(own), executors=EXECUTORS[pool], alone_s=alone_s.get(pool),
        )
        for pace, cpu, seconds, own, first, pool in zip(*both.values(), whole["first"], whole["pool"], strict=True)
    ]  # fmt: skip


def kinds(table: pd.DataFrame) -> dict[str, list[Recorded]]:
    """The pairs by the share of the cores that others took from both trials; without bands of a few pairs."""
    at_once, alone_s = table["first"] == BOTH, alone(table)
    shares = table[["base_others_share", "head_others_share"]].mean(axis=1)
    shares -= at_once * table[["base_ours_share", "head_ours_share"]].mean(axis=1).fillna(0.0)  # neither side is foreign
    found = {
        f"{how}, {name}": read(table[(shares >= low) & (shares < high) & mode], alone_s)
        for how, mode in (("by turns", ~at_once), ("at once", at_once))
        for name, low, high in BANDS
    }
    return {name: pairs for name, pairs in found.items() if len(pairs) >= LEAST_PAIRS}


def made_up(spread_of_pace: float, spread_of_cpu: float, dice: np.random.Generator) -> list[Recorded]:
    """Pairs whose slow-down and times are normal with these standard deviations, each trial of 10 s. What a request takes of
    the CPU and of its executor have the same one, each by itself."""
    slower, dearer, longer = (dice.normal(0, spread, MADE_UP_PAIRS) for spread in (spread_of_pace, *[spread_of_cpu] * 2))
    return [
        Recorded(
            paces_per_s=(100.0 * math.exp(one), 100.0), cpu_s=(0.01 * math.exp(two), 0.01),
            own_s=(0.01 * math.exp(three), 0.01), seconds=(10.0, 10.0),
        )
        for one, two, three in zip(slower, dearer, longer, strict=True)
    ]  # fmt: skip


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


def planting(name: str) -> Callable[[Trial, Recorded], Trial]:
    """What becomes of a head's trial, of that pair."""
    share, kind = PLANTED[name]

    def plant(one: Trial, pair: Recorded) -> Trial:
        if share is None:
            return replace(one, outcome=Outcome.HUNG, pace_per_s=None, cpu_s=None, own_s=None, seconds=HUNG_S)
        if kind == WAITS and one.own_s and pair.alone_s:
            return waiting(one, share / (1 - share) * pair.alone_s, pair.executors)
        return replace(
            one,
            pace_per_s=(one.pace_per_s or math.nan) * (1 - share),
            cpu_s=(one.cpu_s or math.nan) / (1 - share if kind == COMPUTES else 1),
            own_s=one.own_s / (1 - share) if one.own_s else None,
        )

    return plant


def waiting(one: Trial, wait_s: float, executors: int) -> Trial:
    """The same with a wait of so long in each request; `executors` wait beside each other."""
    pace_per_s = 1 / (1 / (one.pace_per_s or math.nan) + wait_s / executors)
    return replace(one, pace_per_s=pace_per_s, own_s=(one.own_s or math.nan) + wait_s)


def one_gate(
    pairs: Sequence[Recorded], plant: Callable[[Trial, Recorded], Trial], dice: np.random.Generator, wanted: Rule
) -> tuple[Word, int]:
    """Its word, and the number of pairs that it took."""
    drawn, left_s = list[Pair](), BUDGET_S - BESIDE_S
    while True:
        one, turned = pairs[int(dice.integers(len(pairs)))], int(dice.integers(2))
        base, head = (_trial(one, side) for side in (turned, 1 - turned))
        pair = Pair(base=base, head=plant(head, one), first=one.first)
        left_s -= pair.seconds
        if left_s < 0:
            return Word.CANNOT_SAY, len(drawn)
        drawn.append(pair)
        found = rule.decide(drawn, wanted)
        if found.decided:
            return found.word, len(drawn)


def _trial(one: Recorded, side: int) -> Trial:
    return Trial(
        outcome=Outcome.OK, pace_per_s=one.paces_per_s[side], cpu_s=one.cpu_s[side], seconds=one.seconds[side],
        own_s=one.own_s[side] if one.own_s else None,
    )  # fmt: skip
