"""The table of made-up gates, with what each row is held to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from harness.proof.gates import resample
from harness.proof.gates.resample import Recorded, Row

MOST_FALSE, LEAST_FOUND = 0.01, 0.90
LIVE = """
*Live*: real gates, one after the other; [live.csv](live.csv) says beside which load each of them ran.
"""
PREFACE = """\
# Gates made of recorded pairs

Made by `python -m harness.proof.gates`: {gates} gates per row, each of pairs drawn from [pairs.csv](pairs.csv), with a budget
of {budget:.0f} min. Both trials of a recorded pair were of commits that differ in a comment; what is planted is planted in the
figures of the head, as it would be with nobody beside it. Of pairs at once, no times were recorded: there, a wait is planted
in the pace alone, and is seen less well if both commits together want more than the cores. *Made up*: of pairs with a normal
spread. *Spread* is the standard deviation between the trials of a pair, in per cent: what a gate has to see through. *Time* is
how long a request keeps its executor, without waits for a core.

| recorded | pairs | spread of the pace | spread of the CPU time | spread of the time |
| --- | --- | --- | --- | --- |
"""
TABLE = """
| recorded | planted in the head | worse | passes | cannot say | pairs, in the middle | bound | kept |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def bound(row: Row) -> str:
    if row.planted == "nothing":
        return f"worse <= {MOST_FALSE:.0%}"
    return "worse always" if resample.PLANTED[row.planted][0] is None else f"worse >= {LEAST_FOUND:.0%}"


def kept(row: Row) -> bool:
    share = row.worse / row.gates
    if row.planted == "nothing":
        return share <= MOST_FALSE
    return share >= (1.0 if resample.PLANTED[row.planted][0] is None else LEAST_FOUND)


def write(folder: Path, rows: Sequence[Row], kinds: Mapping[str, Sequence[Recorded]]) -> None:
    """`gates.csv` and `gates.md`."""
    table = pd.DataFrame([{**asdict(row), "bound": bound(row), "kept": kept(row)} for row in rows])
    table.to_csv(folder / "gates.csv", index=False)
    lines = [PREFACE.format(gates=rows[0].gates, budget=resample.BUDGET_S / 60)]
    for kind, pairs in kinds.items():
        spreads = " | ".join(_spread(pairs, name) for name in ("paces_per_s", "cpu_s", "own_s"))
        lines.append(f"| {kind} | {len(pairs)} | {spreads} |\n")
    lines.append(TABLE)
    for row in rows:
        shares = " | ".join(f"{count / row.gates:.1%}" for count in (row.worse, row.passes, row.cannot_say))
        told = "yes" if kept(row) else "**no**"
        lines.append(f"| {row.kind} | {row.planted} | {shares} | {row.pairs:g} | {bound(row)} | {told} |\n")
    if any(row.kind.startswith("live") for row in rows):
        lines.append(LIVE)
    (folder / "gates.md").write_text("".join(lines))


def _spread(pairs: Sequence[Recorded], name: str) -> str:
    figures = [getattr(pair, name) for pair in pairs]
    ratios = [math.log(each[0] / each[1]) for each in figures if each]
    if not ratios:
        return "-"
    both = [*ratios, *(-ratio for ratio in ratios)]  # which of the two is first is chance
    return f"{np.std(both) * 100:.0f} %"
