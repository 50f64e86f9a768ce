"""Truth test of `harness compare`: runs of the same thing, one after the other, and runs of a thing that is 10 % slower.

Unlike `same_cell`, whose trials are dealt out of one run, these are runs of their own, as a user compares them: each with
its broker and its workers, some minutes apart, by the way that `harness run` goes. The work is a control that computes for a
known time in each request, on every core; the slower one computes 10 % longer. Forty to fifty minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from harness.certainty.comparison import ComparisonWord
from harness.decide.compare import changes, sides
from harness.decide.compare.changes import Changes
from harness.decide.compare.sides import Side
from harness.experiment.experiment import Block, Experiment, Settings
from harness.machine import cores
from harness.proof.instrument.finding import Finding, at_least, at_most
from harness.run import plan, workflow
from harness.run.experiment_source import RunOrder
from harness.run.workflow import Silent

PAIRS = 20
FOUND = 18
WORK_S, SLOWER = 0.020, 1.10
TRIALS = 5
SETTINGS = Settings(repeat=TRIALS, controls=False)  # else the defaults: shorter trials hide more


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two comparisons with the same first run: with its like, and with the slower one."""

    alike: Changes
    slower: Changes


def compared(folder: Path, environment: str, *, pairs: int = PAIRS) -> list[Finding]:
    """Run all pairs in `folder`, and count what was told apart."""
    return judged(list(_pairs(folder, environment, pairs)))


def judged(pairs: list[Pair]) -> list[Finding]:
    """How often a difference was claimed where there is none, in whatever figure, and how often the real one was found."""
    false = [pair for pair in pairs if pair.alike.claimed or pair.alike.words(ComparisonWord.DIFFER)]
    said = ", ".join(
        f"{one.metric.name} {one.found.ratio:.3f}" for pair in false for one in pair.alike.words(ComparisonWord.DIFFER)
    )
    found = [
        one.found.ratio for pair in pairs for one in pair.slower.words(ComparisonWord.DIFFER) if one.metric.name == "throughput"
    ]
    ratios = [one.found.ratio for pair in pairs for one in pair.slower.differences if one.metric.name == "throughput"]
    known = ", ".join(f"{ratio:.3f}" for ratio in ratios if ratio)
    return [
        at_most(f"of {len(pairs)} pairs of runs of the same thing, told apart", len(false), 0, note=said),
        at_least(
            f"of {len(pairs)} runs that are {SLOWER - 1:.0%} slower, found", sum(bool(one and one < 1) for one in found),
            FOUND * len(pairs) / PAIRS, note=f"ratios of throughput {known}",
        ),
    ]  # fmt: skip


def _pairs(folder: Path, environment: str, count: int) -> Iterator[Pair]:
    for number in range(1, count + 1):
        first, like, slower = (
            _run(folder / f"{name}-{number}", environment, seconds)
            for name, seconds in (("first", WORK_S), ("like", WORK_S), ("slower", SLOWER * WORK_S))
        )
        yield Pair(alike=changes.compare(first, like), slower=changes.compare(first, _named_as(first, slower)))


def _run(folder: Path, environment: str, seconds: float) -> Side:
    count = cores.to_fill()
    block = {"backend": ["faulty"], "environment": [environment], "pool": ["prefork"], "concurrency": [count]}
    spec = Experiment(
        name="paired", summary="one cell, some trials", settings=SETTINGS,
        cells=[Block.model_validate({**block, "fault": [f"spin:{seconds:g}@0"]})],
    )  # fmt: skip
    workflow.run(RunOrder(experiment=spec, cells=plan.chosen_cells(spec, []), folder=folder, fresh=True), Silent())
    return sides.read(folder)


def _named_as(first: Side, other: Side) -> Side:
    """The slower cell by the name of the one that it stands for: a change of code leaves a cell's name alone."""
    return replace(other, cells=dict(zip(first.cells, other.cells.values(), strict=True)))
