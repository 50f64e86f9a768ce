"""The atlas as lines of text, at most WIDTH wide. Pure."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from harness.atlas import against
from harness.atlas.entries import BAD, SEVERAL, Entry
from harness.atlas.stored import Atlas
from harness.display import wrapped
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome

WIDTH = 80
BELOW = " " * 16
UNKNOWN = "unknown"  # the cause of which nothing is known, see `judge.causes`
HEAD = "  trials    ok  combination (c2+: two or more at once)"


def headline(atlas: Atlas, listed: Sequence[Entry] | None = None) -> str:
    """How much there is; with `listed`, the entries that were asked for, how much of it they are.

    >>> headline(Atlas(runs={"results/full": 1}, entries=()))
    'the atlas: 0 trials of 1 run, 0 combinations'
    """
    runs, kinds = _many(len(atlas.runs), "run"), _many(len(atlas.entries), "combination")
    if listed is None or len(listed) == len(atlas.entries):
        return f"the atlas: {_many(atlas.trials, 'trial')} of {runs}, {kinds}"
    judged = sum(one.judged for one in listed)
    return f"the atlas, as asked: {judged} of {_many(atlas.trials, 'trial')} of {runs}, {len(listed)} of {kinds}"


def overview(entries: Iterable[Entry]) -> Iterator[str]:
    """A line for each pool of each backend, with what failed in it; no rates, as these are of many combinations."""
    for (backend, releases), group in _by_backend(entries):
        yield from _heading(backend, releases)
        for pool, each in groupby(group, key=lambda one: "-".join(_parts(one.cell)[:2])):
            outcomes = _added(one.outcomes for one in each)
            failed = [f"{outcomes[bad]} {against.SAID.get(bad, bad.value)}" for bad in BAD if outcomes[bad]]
            yield from _row(outcomes, pool, ", ".join(failed))


def details(entries: Iterable[Entry]) -> Iterator[str]:
    """A line for each combination, and below it each way in which it failed, with its exact 95 % interval, and the causes."""
    for (backend, releases), group in _by_backend(entries):
        yield from _heading(backend, releases)
        for one in group:
            failed = ", ".join(map(str, against.of_entry(one)))
            causes = [f"{name} {count}" for name, count in sorted(one.causes.items()) if name != UNKNOWN]
            told = f"{failed}; cause: {', '.join(causes)}" if causes else failed
            yield from _row(one.outcomes, "-".join(_parts(one.cell)), told)


def _by_backend(entries: Iterable[Entry]) -> Iterator[tuple[tuple[str, str], list[Entry]]]:
    """By backend and the versions of engine, Keras and Celery, in order; a pool's own library stands in its entries alone."""
    found = sorted(entries, key=lambda one: (*_place(one), one.cell, one.releases))
    for place, group in groupby(found, key=_place):
        yield place, list(group)


def _place(one: Entry) -> tuple[str, str]:
    return one.cell.backend, ", ".join(f"{name} {release}" for name, release in one.releases if name != one.cell.pool)


def _parts(cell: Cell) -> tuple[str, ...]:
    """The id's parts without the backend; 'c2+' where it stands for more than one."""
    _, pool, concurrency, *others = cell.fields
    return (pool, f"{concurrency}+" if cell.concurrency == SEVERAL else concurrency, *others)


def _heading(backend: str, releases: str) -> list[str]:
    return ["", wrapped(f"{backend}: {releases or 'versions not on record'}", WIDTH, ""), HEAD]


def _row(outcomes: Mapping[Outcome, int], name: str, failed: str) -> Iterator[str]:
    yield f"{sum(outcomes.values()):8d}{outcomes.get(Outcome.OK, 0):6d}  {name}"
    if failed:
        yield textwrap.fill(failed, WIDTH, initial_indent=BELOW, subsequent_indent=BELOW, break_on_hyphens=False)


def _added(counts: Iterable[Mapping[Outcome, int]]) -> Counter[Outcome]:
    total = Counter[Outcome]()
    for each in counts:
        total.update(each)
    return total


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
