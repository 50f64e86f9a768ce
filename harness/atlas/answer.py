"""What the atlas says of an engine in a pool, in one sentence. Pure.

A count over calls, models and settings is what happened, and no rate of anything: intervals stand beside single kinds alone
(`against.of_entry`). What other verbs quote begins with `MEASURED`, so that nobody takes it for a measurement of his own.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from harness.atlas import against, engines
from harness.atlas.entries import BAD, Entry, added
from harness.atlas.stored import Atlas
from harness.experiment.matrix import PLACEMENTS
from harness.experiment.pools import POOLS

USUAL = "prefork"  # Celery's own choice
MEASURED = "the atlas (measured before, on our models; not here)"
NONE = "no trial on record yet"


def headline(backend: str, atlas: Atlas, pool: str = "") -> str:
    """How trials of a backend in a pool ended, by where the model was loaded; `pool`: the usual one if none is named.

    >>> from harness.experiment.matrix import Cell
    >>> one, two = Cell(backend="torch", pool="prefork"), Cell(backend="torch", pool="prefork", placement="import")
    >>> known = [Entry(cell=cell, releases=(), outcomes=counts, causes={}) for cell, counts in
    ...          ((one, {"ok": 120}), (two, {"hung": 97}))]
    >>> headline("torch", Atlas(runs={}, entries=tuple(known)))
    'PyTorch 2, prefork, loaded at import: 97 of 97 hung; loaded in the first task: 0 of 120'
    """
    mine = [one for one in atlas.entries if one.cell.backend == backend]
    named = pool or next((each for each in (USUAL, *POOLS) if any(one.cell.pool == each for one in mine)), USUAL)
    said = _by_place([one for one in mine if one.cell.pool == named])
    if not mine and backend in atlas.skipped:
        return f"{engines.title(backend)}: not measured: {atlas.skipped[backend]}"
    return f"{engines.title(backend)}, {named}, {'; '.join(said)}" if said else f"{engines.title(backend)}, {named}: {NONE}"


def _by_place(entries: Iterable[Entry]) -> list[str]:
    """'loaded at import: 97 of 97 hung', a place each; without those whose main process did more than load."""
    groups: dict[str, list[Entry]] = {}
    for one in sorted(entries, key=lambda one: _rank(one.cell.placement)):
        if one.cell.parent == "nothing":
            groups.setdefault(engines.loaded(one.cell), []).append(one)
    said, none = list[str](), " failed"  # the word is clear once something failed
    for words, group in groups.items():
        if found := failed(group):
            none = ""
        said.append(f"{words}: {found or f'0 of {sum(one.judged for one in group)}{none}'}")
    return said


def _rank(placement: str) -> int:
    return PLACEMENTS.index(placement) if placement in PLACEMENTS else len(PLACEMENTS)


def failed(group: Sequence[Entry]) -> str:
    """'20 of 30 hung, 1 of 30 raised errors'; '' if none did."""
    outcomes, judged = added(list(group)), sum(one.judged for one in group)
    return ", ".join(f"{outcomes[bad]} of {judged} {against.said(bad)}" for bad in BAD if bad in outcomes)


def quoted(atlas: Atlas, versions: Mapping[str, str], pool: str = USUAL, used: Container[str] | None = None) -> tuple[str, ...]:
    """What to say of somebody's own application with these packages, an engine each; none if the atlas has nothing of them.

    `used`: the packages, as they are imported, that its process has loaded; None if that is not known.

    >>> quoted(Atlas(runs={}, entries=()), {"celery": "5.7.0"})
    ()
    """
    found = engines.installed((one for one in atlas.entries if one.cell.pool == pool), versions, used)
    return tuple(
        f"{MEASURED}: {headline(backend, atlas, pool)}{f'; {remark}' if remark else ''}" for backend, remark in found.items()
    )


def of_name(atlas: Atlas, name: str) -> str:
    """What to say of an engine of which only the name is known, as it is imported; '' if the atlas has nothing of it.

    >>> of_name(Atlas(runs={}, entries=()), "torch")
    ''
    """
    backends = sorted({one.cell.backend for one in atlas.entries if one.cell.pool == USUAL})
    found = [headline(backend, atlas, USUAL) for backend in engines.of_word(name, backends)]
    return f"{MEASURED}: {'; '.join(found)}" if found else ""
