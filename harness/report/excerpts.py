"""What a report shows of a trial's evidence: which files, how much of each. Nothing outside the run's folder is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.records import evidence
from harness.records.record import TrialRecord

MOST_TEXT = 6000  # characters of one file of evidence
MOST_ALL_TEXT = 5_000_000  # of all files together
KINDS = ("stacks", "fork", "threads", "worker.log")  # of evidence, as one reads them
MOST_OF_KIND = 2  # excerpts; the other files are linked


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """The begin of one file of evidence, or of a section of the page of evidence; `path` leads there from the run's folder."""

    path: str
    text: str
    cut: bool


def most_text(groups: Iterable[Sequence[TrialRecord]]) -> int:
    """Characters of an excerpt: of a run in which many cells went wrong, less of each."""
    shown = sum(any(record.ended.evidence for record in trials) for trials in groups)
    return min(MOST_TEXT, MOST_ALL_TEXT // max(1, shown * MOST_OF_KIND * (len(KINDS) + 1)))


def chosen(shown: Sequence[Path]) -> list[Path]:
    """The files of which something is shown, as one reads them."""
    return [path for kind in (*KINDS, "") for path in [one for one in shown if _kind(one) == kind][:MOST_OF_KIND]]


def files(folder: Path, record: TrialRecord) -> list[Path]:
    """What was kept of a trial: the file that its record names first, then stacks, threads, logs. Nothing outside the run."""
    if evidence.PAGE_WAY.fullmatch(record.ended.evidence):  # a packed one beside others: its place on the page is linked
        return []
    named = folder / record.ended.evidence
    place = named if named.is_dir() else named.parent
    if not place.is_dir() or not place.resolve().is_relative_to(folder.resolve()):
        return []
    inside = folder.resolve()
    found = [
        path
        for path in place.rglob("*")
        if path.is_file() and path.suffix in (".txt", ".log", ".md") and path.resolve().is_relative_to(inside)
    ]
    return sorted(found, key=lambda path: (path != named, [*KINDS, ""].index(_kind(path)), path.name))


def _kind(path: Path) -> str:
    return next((kind for kind in KINDS if path.name.startswith(kind)), "")


def of_file(folder: Path, path: Path, most: int = MOST_TEXT) -> Excerpt:
    return cut(str(path.relative_to(folder)), path.read_text(errors="replace"), most)


def cut(path: str, text: str, most: int) -> Excerpt:
    return Excerpt(path=path, text=text[:most], cut=len(text) > most)
