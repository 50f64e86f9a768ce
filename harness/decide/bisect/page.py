"""The answer of a search as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.decide.bisect.search import BisectAnswer
from harness.decide.compare import sides
from harness.environments import normal
from harness.records.evidence import linked
from harness.records.store import RunFolder
from harness.texts import escaped

NAME = "bisect.md"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is searched. `cell`: the id of the one that is run; `name`: the package, or the repository; `one`, `many`: what its
    candidates are called; runs lie in `folder`, one folder each."""

    cell: str
    name: str
    one: str
    many: str
    folder: Path

    def folder_of(self, version: str) -> Path:
        return self.folder / f"{self.name}-{version}"


def also_changed(subject: Subject, answer: BisectAnswer) -> list[str]:
    """What else is installed otherwise after the change, a line an environment: it may be to blame, too."""
    sides_ = [sides.read(subject.folder_of(one.version)) for one in (answer.last_good, answer.first_bad)]
    return sides.versions_differ(*sides_, but=normal(subject.name))


def page(subject: Subject, answer: BisectAnswer, also: Sequence[str] = ()) -> str:
    """The answer as Markdown, links relative to the subject's folder; `also`: see `also_changed`."""
    good, bad = answer.last_good, answer.first_bad
    lines = [
        f"# `{subject.cell}` over {subject.many} of {subject.name}",
        "",
        f"**The change came between {escaped(good.shown)} and {escaped(bad.shown)}**: {answer.what}."
        + (f" Could not be told: {', '.join(answer.between)}." if answer.between else ""),
        *(f"\nAlso changed between them, and perhaps to blame: {escaped(line)}." for line in also),
        "",
        f"| {subject.one} | outcome | requests/s | reason | evidence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in answer.measured:
        pace = f"{one.pace_per_s:.1f}" if one.pace_per_s else ""
        evidence = one.evidence.removeprefix(f"{subject.folder}/")
        folder = subject.folder_of(one.version)
        records = f"[records]({folder.name}/{RunFolder(folder).records_name})" if RunFolder(folder).has_trials else ""
        link = linked(evidence) if evidence else records
        lines.append(f"| {escaped(one.shown)} | {one.outcome or 'not measured'} | {pace} | {escaped(one.reason)} | {link} |")
    return "\n".join(lines) + "\n"
