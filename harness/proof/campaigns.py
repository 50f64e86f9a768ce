"""Statistics over hosts on trial: `python -m harness.proof.campaigns` compares made-up cells on made-up hosts.

A campaign is that of a block which each of HOSTS unequal hosts has run: a calibration cell, then two cells in shuffled rounds,
then the calibration cell again, while the pace drifts. `certainty.hosts` compares the two as it does those of records. How
often does its interval hold the truth, how often are like cells told apart, how often is a difference of 20 % found? Exit code
1 if a bound is not kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from harness.certainty import hosts
from harness.certainty.comparison import ComparisonWord
from harness.certainty.hosts import OverHosts
from harness.errors import Exit
from harness.terminal import console

CAMPAIGNS, HOSTS, REPEAT = 2000, 4, 3
SLOWEST, FASTEST = 0.5, 2.0  # pace of a host over the middle one's
DRIFT = 0.10  # of the pace, from the first trial of a block to the last, up or down
FRESH = 0.03  # standard deviation of a trial's figure: fresh workers differ
CALIBRATED = 0.01  # of the calibration cell's, which computes nothing
PACES = (1.0, 1.2)  # of the second cell, over the first's
COVERED, WITHIN = 0.95, 0.015
MOST_FALSE, LEAST_FOUND = 0.01, 0.80


@dataclass(frozen=True, kw_only=True)
class Model:
    """How hosts are. `disagree`: standard deviation by which the cells' ratio differs from host to host; `line`: whether the
    pace drifts in a straight line, or goes up and comes back; `held`: whether the bounds are to be kept."""

    disagree: float = 0.0
    line: bool = True
    repeat: int = REPEAT
    steadied: bool = True
    held: bool = True


MODELS: Mapping[str, Model] = {
    "hosts agree": Model(),
    "hosts disagree by 3 %": Model(disagree=0.03),
    "the drift is no line": Model(disagree=0.03, line=False),
    "one trial a host": Model(disagree=0.03, repeat=1, held=False),
    "one trial a host, the drift left in": Model(disagree=0.03, repeat=1, steadied=False, held=False),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Of so many campaigns: shares whose interval held the truth, and which told the cells apart."""

    hosts: str
    pace: float
    campaigns: int
    covered: float
    differ: float
    width: float
    held: bool

    @property
    def kept(self) -> bool:
        good = self.differ <= MOST_FALSE if self.pace == 1.0 else self.differ >= LEAST_FOUND
        return not self.held or (abs(self.covered - COVERED) <= WITHIN and good)


def campaign(model: Model, pace: float, dice: np.random.Generator) -> OverHosts:
    """One campaign; `pace`: of the second cell over the first's, on the average host."""
    figures: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    for number in range(HOSTS):
        speed, drift = np.exp(dice.uniform(np.log(SLOWEST), np.log(FASTEST))), dice.uniform(-DRIFT, DRIFT)
        own = (1.0, pace * np.exp(dice.normal() * model.disagree))
        order = [cell for _ in range(model.repeat) for cell in dice.permutation(2)]
        at = (np.arange(len(order)) + 1) / (len(order) + 1)
        gone = 1 + drift * (at if model.line else np.sin(np.pi * at))
        measured = 100.0 * speed * np.take(own, order) * gone * np.exp(dice.normal(size=len(order)) * FRESH)
        last = (1 + drift if model.line else 1.0) * np.exp(dice.normal() * CALIBRATED)
        seen = last / np.exp(dice.normal() * CALIBRATED) if model.steadied else 1.0
        steady = hosts.steadied(measured.tolist(), at.tolist(), float(seen))
        for cell in (0, 1):
            figures[cell][f"host {number}"] = [one for one, which in zip(steady, order, strict=True) if which == cell]
    return hosts.over_hosts(*figures)


def row(name: str, pace: float, campaigns: int) -> Row:
    model, dice = MODELS[name], np.random.default_rng([list(MODELS).index(name), round(100 * pace)])
    found = [campaign(model, pace, dice).found for _ in range(campaigns)]
    spans = [(one.low or 0.0, one.high or np.inf) for one in found]
    return Row(
        hosts=name, pace=pace, campaigns=campaigns, covered=float(np.mean([low <= pace <= high for low, high in spans])),
        differ=float(np.mean([one.word is ComparisonWord.DIFFER for one in found])),
        width=float(np.median([high / low for low, high in spans])), held=model.held,
    )  # fmt: skip


def rows(campaigns: int) -> Iterator[Row]:
    for name in MODELS:
        for pace in PACES:
            yield row(name, pace, campaigns)


PREFACE = f"""\
# Made-up campaigns over hosts

Made by `python -m harness.proof.campaigns`: each campaign is a block that {HOSTS} hosts have run, {SLOWEST:g} to {FASTEST:g}
times as fast as the middle one, whose pace drifts by up to {DRIFT:.0%} meanwhile. Two cells are compared within each host, and
over hosts. Fresh workers differ by {FRESH:.0%}; {REPEAT} trials per cell and host, if nothing else is said. *Interval*: its
upper end over its lower, in the middle. At a pace of 1 the cells are alike: whoever tells them apart is wrong. Bounds: the
truth is in {COVERED:.0%} ± {100 * WITHIN:g} % of the intervals; like cells are told apart in at most {MOST_FALSE:.0%}; a
difference of 20 % is found in at least {LEAST_FOUND:.0%}.

| hosts | pace of the second cell | campaigns | truth in the interval | told apart | interval | bounds kept |
| --- | --- | --- | --- | --- | --- | --- |
"""


def write(folder: Path, found: Sequence[Row]) -> None:
    """`campaigns.csv` and `campaigns.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([asdict(one) for one in found]).to_csv(folder / "campaigns.csv", index=False)
    lines = [PREFACE]
    for one in found:
        kept = ("yes" if one.kept else "**no**") if one.held else "not held to them"
        lines.append(f"| {one.hosts} | {one.pace:g} | {one.campaigns:,} | {one.covered:.1%} | {one.differ:.1%} "
                     f"| {one.width:.3f} | {kept} |\n")  # fmt: skip
    (folder / "campaigns.md").write_text("".join(lines))


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m harness.proof.campaigns", description=str(__doc__).partition("\n")[0])
    asked.add_argument("--campaigns", type=int, default=CAMPAIGNS, help=f"per row ({CAMPAIGNS})")
    asked.add_argument("--out", type=Path, default=Path("results/campaigns"), help="folder of the table (results/campaigns)")
    given = asked.parse_args()
    found = list(rows(given.campaigns))
    write(given.out, found)
    console.print(f"{sum(one.kept for one in found)} of {len(found)} rows keep their bounds: {given.out}/campaigns.md")
    return Exit.DONE if all(one.kept for one in found) else Exit.CHECK_FAILED


if __name__ == "__main__":
    sys.exit(main())
