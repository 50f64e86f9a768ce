"""The table of searches over recorded grids, each figure with what it is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from harness.certainty.intervals import middle
from harness.decide.tune.replay import Replay
from harness.decide.tune.search import Score
from harness.experiment.matrix import Cell
from harness.proof.grids.record import NEAR, TRIALS, TRIALS_AGAIN, Live
from harness.proof.instrument.searched import REACHED

MOST_SHARE = 0.10
PREFACE = """\
# Searches of `harness tune --app`, over recorded grids and live

Made by `python -m harness.proof.grids`. Of each application (`harness/proof/grids/projects.py`) the whole grid was
measured: one trial of every cell, and {trials} of those that had at least {near:.0%} of the best pace, each trial with a fresh
worker. A search draws one of a cell's trials when it measures it; what it found is held against the best of the grid, each by
the middle of its trials. *Spread*: the middle, over these cells, of the standard deviation between a cell's trials.

| application | cells | of which ok | trials | spread | pace of the best, per s | the best |
| --- | --- | --- | --- | --- | --- | --- |
"""
SEARCHES = f"""
What a grid of few trials calls its best is partly luck. So what was found, and that best, were measured once more, in
{TRIALS_AGAIN} fresh workers each, by turns: *by fresh trials*. The bound is on these. Where a cell's trials differ by a few
percent alone, none are needed: the bound is on the grid's own trials.

| application | searches | measured | reached, middle | the least | by fresh trials, middle | the least | bound | kept |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{{rows}}
A live search has the options of `harness tune --app` that hold if nothing is said. What it advises, and the best on record,
were then measured again, side by side: 7 fresh workers of each, by turns. It shall reach {REACHED:.0%}, too.

| application | measured | advised | reached | pace of each, per s | kept |
| --- | --- | --- | --- | --- | --- |
"""


def kept(one: Replay, fresh: Mapping[Cell, Score]) -> bool:
    """By fresh trials, if there are some: those of the grid made its luckiest cell the best."""
    reached = by_fresh(one, fresh)
    return (_middle(reached) if reached else one.reached) >= REACHED and one.answer.share <= MOST_SHARE


def kept_live(one: Live) -> bool:
    return one.reached >= REACHED and one.measured <= MOST_SHARE * one.grid


def write(
    folder: Path, tables: Mapping[str, pd.DataFrame], paces: Mapping[str, Mapping[Cell, Sequence[float]]],
    replays: Mapping[str, Replay], fresh: Mapping[str, Mapping[Cell, Score]], found: Mapping[str, Live],
) -> None:  # fmt: skip
    """`grids.csv` (the replays) and `grids.md`. `fresh`: scores of what was found, and of the best, by fresh trials."""
    lines = [PREFACE.format(trials=TRIALS, near=NEAR)]
    rows = []
    for name, table in tables.items():
        one, each = replays[name], paces[name]
        best, ok = one.exhaustive, sum(bool(trials) for trials in each.values())
        pace = middle(each[best]) or 0.0
        spread, again = spread_of(list(each.values())), by_fresh(one, fresh.get(name, {}))
        lines.append(f"| {name} | {len(each)} | {ok} | {len(table)} | {spread:.1%} | {pace:.4g} | `{best.id}` |\n")
        rows.append({
            "application": name, "cells": len(each), "ok": ok, "trials": len(table), "spread": spread, "best": best.id,
            "pace_per_s": pace, "searches": one.searches, "measured": one.answer.measured, "reached": one.reached,
            "least": one.worst, "fresh": _middle(again) if again else None,
            "fresh_least": again[0] if again else None, "kept": kept(one, fresh.get(name, {})),
        })  # fmt: skip
    lines.append(SEARCHES.format(rows="".join(_row(name, one, fresh.get(name, {})) for name, one in replays.items())))
    for name, live in found.items():
        measured = f"{live.measured} of {live.grid} ({live.measured / live.grid:.1%})"
        told = _told(kept_live(live))
        lines.append(f"| {name} | {measured} | `{live.best}` | {live.reached:.1%} | {live.note} | {told} |\n")
    pd.DataFrame(rows).to_csv(folder / "grids.csv", index=False)
    (folder / "grids.md").write_text("".join(lines))


def _row(name: str, one: Replay, fresh: Mapping[Cell, Score]) -> str:
    measured = f"{one.answer.measured} of {one.answer.grid} ({one.answer.share:.1%})"
    reached = f"{one.reached:.1%} | {one.worst:.1%} | {_by_fresh(one, fresh)}"
    bound = f">= {REACHED:.0%}, <= {MOST_SHARE:.0%}"
    return f"| {name} | {one.searches} | {measured} | {reached} | {bound} | {_told(kept(one, fresh))} |\n"


def by_fresh(one: Replay, scores: Mapping[Cell, Score]) -> list[float]:
    """What each search reached by fresh trials, in order; () if there are none."""
    if one.exhaustive not in scores:
        return []
    return sorted(scores[cell].rows_per_s / scores[one.exhaustive].rows_per_s for cell in one.found)


def _by_fresh(one: Replay, scores: Mapping[Cell, Score]) -> str:
    reached = by_fresh(one, scores)
    return f"{_middle(reached):.1%} | {reached[0]:.1%}" if reached else " | "


def _middle(ordered: Sequence[float]) -> float:
    return ordered[(len(ordered) - 1) // 2]


def lives(found: Mapping[str, Live]) -> pd.DataFrame:
    """A line per live search."""
    return pd.DataFrame([{"application": name, **asdict(one)} for name, one in found.items()])


def spread_of(paces: Sequence[Sequence[float]]) -> float:
    """The middle of the standard deviations, as shares of the mean, of those cells that have several trials; 0 if none has."""
    series = [pd.Series(each) for each in paces if len(each) > 1]
    return middle([float(one.std() / one.mean()) for one in series]) or 0.0


def _told(kept: bool) -> str:
    return "yes" if kept else "**no**"
