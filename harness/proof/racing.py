"""Early stopping on trial: `python -m harness.proof.racing [--record RUN]` races made-up cells, thousands of them.

A race is that of a run: a rival is measured for MEASURE_S, and has the interval of its throughput; a challenger is stopped as
soon as `certainty.slower` holds it for clearly slower. How often is one stopped that is not slower, and how soon one that is?
Answers come as those of recorded cells did (`streams.json`: the gaps between them, in microseconds, of a thorough run; drawn in
blocks, so that neighbours stay neighbours), or as a model has it: its pace wanders. Exit code 1 if a bound is not kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import signal

from harness.certainty import intervals, slower
from harness.certainty.intervals import Floats
from harness.certainty.slower import Race
from harness.errors import Exit
from harness.records.answers import MEASURE
from harness.records.outcomes import ANSWERED
from harness.records.store import RunFolder
from harness.terminal import console

RUNS, MEASURE_S, REQUESTS = 10_000, 3.0, 30  # as in experiments/quick.toml
BLOCK_S = 0.5
PACES = (1.0, 0.95, 0.8, 0.6, 0.4)  # of the challenger, over the rival's
MOST_FALSE = 1 - slower.CONFIDENCE
#: name -> answers per second, standard deviation of the pace, and seconds for which it stays alike
MODELS: Mapping[str, tuple[float, float, float]] = {
    "even": (60.0, 0.0, 1.0),
    "wanders by 10 % within 0.2 s": (60.0, 0.1, 0.2),
    "wanders by 10 % within 1 s": (60.0, 0.1, 1.0),
    "wanders by 20 % within 0.5 s": (200.0, 0.2, 0.5),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Of so many races. `after_s`: when those that were stopped were, in the middle; `bound`: of `stopped`, '' for none."""

    answers: str
    pace: float
    races: int
    stopped: int
    after_s: float | None

    @property
    def bound(self) -> float | None:
        return MOST_FALSE if self.pace >= 1.0 else None

    @property
    def kept(self) -> bool:
        return self.bound is None or self.stopped <= self.bound * self.races


def streams(run: Path) -> dict[str, list[int]]:
    """The gaps between the answers of each cell's measured phase, µs: cells that were measured to the end."""
    found = {}
    for record in RunFolder(run).latest().values():
        stopped = record.client.sending is not None and record.client.sending.stopped
        cell, file = record.as_cell, record.answers.requests_file
        if record.outcome not in ANSWERED or not file or stopped or cell.is_control or cell.is_baseline:
            continue
        table = pq.read_table(run / file, columns=["phase", "received"])
        received = np.sort(table["received"].to_numpy()[table["phase"].to_numpy() == MEASURE])
        if len(received) > REQUESTS:
            found[record.cell_id] = (np.diff(received) // 1000).tolist()
    return found


def drawn(gaps: Floats, dice: np.random.Generator) -> Floats:
    """As many gaps as fill the measured phase and a bit more, in blocks of the recorded ones."""
    size = max(1, min(len(gaps), round(BLOCK_S / float(gaps.mean()))))
    count = int(np.ceil(1.5 * MEASURE_S / float(gaps.mean()) / size)) + 1
    places = dice.integers(0, len(gaps), count)[:, None] + np.arange(size)
    found: Floats = gaps[places % len(gaps)].ravel()
    return found


def modelled(model: tuple[float, float, float], dice: np.random.Generator) -> Floats:
    """Gaps of a gamma distribution, over a pace whose logarithm is an Ornstein-Uhlenbeck process."""
    rate, deviation, alike_s = model
    count = int(1.5 * MEASURE_S * rate)
    kept = np.exp(-1 / (rate * alike_s))
    steps = dice.normal(size=count) * deviation * np.sqrt(1 - kept**2)
    wander = signal.lfilter([1.0], [1.0, -kept], steps, zi=[kept * deviation * dice.normal()])[0]
    made: Floats = dice.gamma(4.0, 1 / (4.0 * rate), count) * np.exp(-wander - deviation**2 / 2)
    return made


def raced(rival: Floats, challenger: Floats) -> float | None:
    """When the challenger is stopped, in seconds; None if it is measured to the end."""
    received = np.cumsum(rival)
    received = received[received <= MEASURE_S]
    span = intervals.of_rate(received, 0.0, len(received) / MEASURE_S)
    if span.low is None:
        return None
    race = Race(span.low, 0.0)
    for number, moment in enumerate(np.cumsum(challenger)):
        if moment > MEASURE_S and number >= REQUESTS:
            return None
        race.add([float(moment)])
        if race.lost and number + 1 >= REQUESTS:
            return float(moment)
    return None


def rows(recorded: Mapping[str, Sequence[int]], races: int) -> Iterator[Row]:
    gaps = {name: np.array(values) * 1e-6 for name, values in recorded.items()}
    names = sorted(gaps)
    for pace in PACES:
        dice, count = np.random.default_rng(1), races if pace >= 1.0 else races // 10  # only the first are held to a bound
        ends = [raced(*(drawn(gaps[name], dice) / each for each in (1.0, pace))) for name in dice.choice(names, count)]
        yield _row("recorded", pace, ends)
        for name, model in MODELS.items():
            yield _row(name, pace, [raced(*(modelled(model, dice) / each for each in (1.0, pace))) for _ in range(count)])


def _row(answers: str, pace: float, ends: Sequence[float | None]) -> Row:
    after = [end for end in ends if end is not None]
    return Row(
        answers=answers, pace=pace, races=len(ends), stopped=len(after), after_s=float(np.median(after)) if after else None
    )


PREFACE = f"""\
# Races of made-up cells

Made by `python -m harness.proof.racing`: how often a challenger is stopped early, since it is held for clearly slower than its
rival ({slower.CONFIDENCE:.0%} confidence). *Recorded*: answers come as those of the cells in [streams.json](streams.json) did.
The others are a model whose pace wanders. At a pace of 1 nothing is slower: whatever is stopped there is stopped wrongly.

| answers | pace of the challenger | races | stopped | after, in the middle | bound | kept |
| --- | --- | --- | --- | --- | --- | --- |
"""


def write(folder: Path, found: Sequence[Row]) -> None:
    """`racing.csv` and `racing.md`."""
    pd.DataFrame([asdict(row) for row in found]).to_csv(folder / "racing.csv", index=False)
    lines = [PREFACE]
    for row in found:
        after = "-" if row.after_s is None else f"{row.after_s:.1f} s"
        bound = "-" if row.bound is None else f"<= {row.bound:.0%}"
        share = f"{row.stopped / row.races:.2%}"
        told = "yes" if row.kept else "**no**"
        lines.append(f"| {row.answers} | {row.pace:g} | {row.races:,} | {share} | {after} | {bound} | {told} |\n")
    (folder / "racing.md").write_text("".join(lines))


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m harness.proof.racing", description=str(__doc__).partition("\n")[0])
    asked.add_argument("--record", type=Path, metavar="RUN", help="take the recorded answers from this thorough run")
    asked.add_argument("--races", type=int, default=RUNS, help=f"per row that has a bound ({RUNS}), a tenth in others")
    asked.add_argument("--out", type=Path, default=Path("results/racing"), help="folder of streams and table (results/racing)")
    given = asked.parse_args()
    path = given.out / "streams.json"
    if given.record:
        path.write_text(json.dumps(streams(given.record), indent=None, separators=(",", ":")).replace("],", "],\n") + "\n")
    found = list(rows(json.loads(path.read_text()), given.races))
    write(given.out, found)
    console.print(f"{sum(row.kept for row in found)} of {len(found)} rows keep their bounds: {given.out}/racing.md")
    return Exit.DONE if all(row.kept for row in found) else Exit.CHECK_FAILED


if __name__ == "__main__":
    sys.exit(main())
