"""The atlas as lines of text, at most WIDTH wide, and as JSON. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from harness.atlas import against, answer, stored
from harness.atlas.entries import BAD, Entry, added, parts
from harness.atlas.stored import Atlas
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome

WIDTH = 80
BELOW = " " * 16
UNKNOWN = "unknown"  # the cause of which nothing is known, see `judge.causes`
HEAD = "  trials    ok  combination (c2+: two or more at once)"
PLACED = "  trials    ok  pool, placement, call"
JSON_SCHEMA = 1


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
    yield from _grouped(entries, HEAD, lambda cell: "-".join(parts(cell)[:2]))


def by_place(entries: Iterable[Entry]) -> Iterator[str]:
    """A line for each pool, placement and call of a backend, likewise without rates."""
    yield from _grouped(entries, PLACED, lambda cell: "-".join(_placed(cell)))


def details(entries: Iterable[Entry]) -> Iterator[str]:
    """A line for each combination, and below it each way in which it failed, with its exact 95 % interval, and the causes; then
    when, and in which runs, it was measured."""
    for (backend, releases), group in _by_backend(entries):
        yield from _heading(backend, releases)
        for one in group:
            failed = ", ".join(map(str, against.of_entry(one)))
            causes = [f"{name} {count}" for name, count in sorted(one.causes.items()) if name != UNKNOWN]
            told = f"{failed}; cause: {', '.join(causes)}" if causes else failed
            yield from _row(one.outcomes, "-".join(parts(one.cell)), told, _source(one))


def as_json(atlas: Atlas, listed: Sequence[Entry], said: Sequence[str]) -> dict[str, Any]:
    """What was asked for, plain; schema 1. A field is never removed as long as the number stays."""
    return {
        "schema": JSON_SCHEMA, "said": list(said), "runs": dict(atlas.runs), "trials": atlas.trials,
        "entries": [
            {
                **stored.data(one), "cell": one.cell.as_dict(), "judged": one.judged,
                "failed": [
                    {"outcome": bad.outcome.value, "failed": bad.failed, "judged": bad.judged, "interval": list(bad.interval)}
                    for bad in against.of_entry(one)
                ],
            }
            for one in listed
        ],
    }  # fmt: skip


def wrapped(text: str, indent: str = "") -> str:
    """In lines of WIDTH; no word is torn."""
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _grouped(entries: Iterable[Entry], head: str, name: Callable[[Cell], str]) -> Iterator[str]:
    for (backend, releases), group in _by_backend(entries):
        yield from _heading(backend, releases, head)
        for called, each in groupby(sorted(group, key=lambda one: name(one.cell)), key=lambda one: name(one.cell)):
            outcomes = added(list(each))
            failed = [f"{outcomes[bad]} {against.said(bad)}" for bad in BAD if bad in outcomes]
            yield from _row(outcomes, called, ", ".join(failed))


def _source(one: Entry) -> str:
    """'2026-11-23 to 2026-11-25 in results/claims, results/grid'; '' if it is not on record."""
    first, last = one.days
    when = first if first == last else f"{first} to {last}"
    return f"{when} in {', '.join(one.runs)}" if one.runs else when


def _by_backend(entries: Iterable[Entry]) -> Iterator[tuple[tuple[str, str], list[Entry]]]:
    """By backend and the versions of engine, Keras, Celery and Python, in order; without a pool's own library."""
    found = sorted(entries, key=lambda one: (*_place(one), one.cell, one.releases))
    for place, group in groupby(found, key=_place):
        yield place, list(group)


def _place(one: Entry) -> tuple[str, str]:
    return one.cell.backend, versions(one)


def versions(one: Entry) -> str:
    """'celery 5.7, keras 3.15, python 3.11': what ran, by release; without the pool's own library."""
    known = [*one.releases, *([("python", one.python)] if one.python else [])]
    return ", ".join(f"{name} {release}" for name, release in sorted(known) if name != one.cell.pool)


def _placed(cell: Cell) -> tuple[str, ...]:
    """Pool, placement, call, and what the parent did if it did anything."""
    return (cell.pool, cell.placement, cell.call, *(() if cell.parent == "nothing" else (f"parent-{cell.parent}",)))


def _heading(backend: str, releases: str, head: str = HEAD) -> list[str]:
    return ["", wrapped(f"{backend}: {releases or 'versions not on record'}"), head]


def _row(outcomes: Mapping[Outcome, int], name: str, *below: str) -> Iterator[str]:
    yield f"{sum(outcomes.values()):8d}{outcomes.get(Outcome.OK, 0):6d}  {name}"
    for said in filter(None, below):
        yield wrapped(said, BELOW)


def sentences(backends: Sequence[str], atlas: Atlas, pools: Sequence[str]) -> list[str]:
    """What the atlas says of each of these, the first lines of the answer."""
    return [answer.headline(backend, atlas, pool) for backend in backends for pool in pools or ("",)]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
