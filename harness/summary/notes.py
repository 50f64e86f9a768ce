"""What a reader has to know beside the figures: which settings were kept or overridden, what was not compared. Each note once.

Notes stand in each record (`certainty.notes`); every page that tells of a run tells them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.record import TrialRecord

BETWEEN = " | "


def of(trials: Iterable[TrialRecord]) -> list[str]:
    """Of all these trials, in the order in which they first appear."""
    return list(dict.fromkeys(note for record in trials for note in record.certainty.notes))


def text(notes: Iterable[str]) -> str:
    """As a column of `cells.csv`.

    >>> text(["a | b", "c"])
    'a / b | c'
    """
    return BETWEEN.join(note.replace(BETWEEN, " / ") for note in notes)


def parts(column: str) -> list[str]:
    """The notes of such a column.

    >>> parts("a / b | c"), parts("")
    (['a / b', 'c'], [])
    """
    return column.split(BETWEEN) if column else []


def counted(cells: Sequence[Iterable[str]]) -> list[str]:
    """Each note once, with the number of cells that have it where that is not all of them.

    >>> counted([["a", "b"], ["a"]])
    ['a', 'b (1 of 2 cells)']
    """
    every = [list(dict.fromkeys(one)) for one in cells]
    names = dict.fromkeys(note for one in every for note in one)
    counts = {note: sum(note in one for one in every) for note in names}
    return [note if count == len(every) else f"{note} ({count} of {len(every)} cells)" for note, count in counts.items()]
