"""The answers as they are kept: one line of `contracts.csv` each, appended as it is measured, and `contracts.md` for people.

A line that a killed run tore is left out when the file is read, and measured again. Nothing is measured here.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from harness.records import store

TABLE = "contracts.csv"
NOT_APPLICABLE = "n/a"
CANNOT_SAY = "cannot say"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contract of one pool in one backend's environment. `seconds`: '' where there is nothing to time."""

    backend: str
    pool: str
    celery: str
    contract: str
    verdict: str
    seconds: str
    detail: str
    evidence: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.backend, self.pool, self.contract


COLUMNS = tuple(field.name for field in fields(Row))


def to_line(row: Row) -> str:
    """One CSV line, with its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(" ".join(value.split()) for value in asdict(row).values())
    return text.getvalue()


def from_text(text: str) -> dict[tuple[str, str, str], Row]:
    """The newest whole row of each key; a torn line, or one of other columns, is left out."""
    found: dict[tuple[str, str, str], Row] = {}
    for line in text.splitlines(keepends=True):
        values = next(csv.reader([line]), [])
        if line.endswith("\n") and len(values) == len(COLUMNS) and values != list(COLUMNS):
            row = Row(**dict(zip(COLUMNS, values, strict=True)))
            found[row.key] = row
    return found


def read(folder: Path) -> dict[tuple[str, str, str], Row]:
    try:
        return from_text((folder / TABLE).read_text())
    except FileNotFoundError:
        return {}


def kept(keys: Iterable[tuple[str, str, str]], known: Mapping[tuple[str, str, str], Row]) -> dict[tuple[str, str, str], Row]:
    """The answers to these that are on record. What could not be said is asked again."""
    return {key: known[key] for key in keys if key in known and known[key].verdict != CANNOT_SAY}


def append(folder: Path, row: Row) -> None:
    """Write one row through to the disk. Raises CannotWrite."""
    path = folder / TABLE
    with store.writing(path), open(path, "a+b") as file:
        if file.seek(0, os.SEEK_END) == 0:
            file.write((",".join(COLUMNS) + "\n").encode())
        elif not _ends_a_line(path):
            file.write(b"\n")
        file.write(to_line(row).encode())
        file.flush()
        os.fsync(file.fileno())


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def table(rows: Iterable[Row]) -> str:
    """The whole of `contracts.csv`."""
    return ",".join(COLUMNS) + "\n" + "".join(map(to_line, rows))


@dataclass(frozen=True, kw_only=True)
class Column:
    """One contract as the tables show it. `seconds`: what these are, in words; `kept`: verdicts that a user would hope for."""

    id: str
    title: str
    seconds: str
    kept: tuple[str, ...]


def markdown(rows: Mapping[tuple[str, str, str], Row], groups: Mapping[str, Sequence[Column]], preface: str) -> str:
    """`contracts.md`: for each backend one table a group of contracts, and a note for each cell that is not as hoped for."""
    lines = ["# Pool contracts", "", preface, ""]
    for backend in dict.fromkeys(row.backend for row in rows.values()):
        mine = {(row.pool, row.contract): row for row in rows.values() if row.backend == backend}
        lines += [f"## {backend}, Celery {_celery(mine.values())}", ""]
        for title, columns in groups.items():
            if measured := [column for column in columns if any(contract == column.id for _, contract in mine)]:
                lines += [f"### {title}", "", _meaning(measured), "", *_table(mine, measured), ""]
    return "\n".join(lines).rstrip() + "\n"


def _celery(rows: Iterable[Row]) -> str:
    """The version as installed, which rows that were not measured do not know."""
    return max((row.celery for row in rows), key=len)


def _meaning(columns: Sequence[Column]) -> str:
    """What the seconds of these columns are."""
    meant: dict[str, list[str]] = {}
    for column in columns:
        meant.setdefault(column.seconds, []).append(column.title)
    if len(meant) == 1:
        return f"Seconds are {columns[0].seconds}."
    return "Seconds are " + "; ".join(f"{text} ({', '.join(titles)})" for text, titles in meant.items()) + "."


def _table(mine: Mapping[tuple[str, str], Row], columns: Sequence[Column]) -> list[str]:
    """Pools as rows, contracts as columns; then the notes, cells with the same words under one number."""
    notes: list[str] = []
    body = []
    for pool in dict.fromkeys(pool for pool, _ in mine):
        cells = [_cell(mine.get((pool, column.id)), column, notes) for column in columns]
        body.append(f"| `{pool}` | {' | '.join(cells)} |")
    head = [f"| pool | {' | '.join(column.title for column in columns)} |", "| --- " * (len(columns) + 1) + "|"]
    return [*head, *body, "", *(f"{number}. {text}" for number, text in enumerate(notes, start=1))]


def _cell(row: Row | None, column: Column, notes: list[str]) -> str:
    if row is None:
        return ""
    text = f"{row.verdict} ({row.seconds} s)" if row.seconds else row.verdict
    if row.verdict in column.kept:
        return text
    note = row.detail.replace("|", "\\|")
    if note not in notes:
        notes.append(note)
    number = notes.index(note) + 1
    return f"{text} [{number}]" if row.verdict == NOT_APPLICABLE else f"**{text}** [{number}]"
