"""A run's folder as the pages on it need it: trials by cell, what is on disk beside them, and pieces of Markdown.

Used by the pages of claims and of incidents, which lie in the same folder, so every link is relative to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.experiment.matrix import Cell
from harness.records import evidence, store
from harness.records.links import Ways
from harness.records.record import by_cell
from harness.studies.claims.cases import Case, Trials


@dataclass(frozen=True)
class Dossier:
    """`cells`: all that the experiment asks for, so that a missing one is known to be missing."""

    folder: Path
    cells: Sequence[Cell]
    trials: Trials

    @classmethod
    def of(cls, folder: Path, cells: Sequence[Cell]) -> Dossier:
        return cls(folder, cells, by_cell(store.RunFolder(folder).current().values()))

    def exists(self, path: str) -> bool:
        return evidence.exists(self.folder, path)

    def read(self, path: str) -> str | None:
        """The text of a file in the folder, or of a packed one of evidence; None where there is none."""
        return evidence.read(self.folder, path)

    def present(self, paths: Sequence[str]) -> list[str]:
        """Where what the paths name is on disk; where nothing is, the records, in which every trial has its line."""
        ways, records = Ways(folder=self.folder), store.RunFolder(self.folder).records_name
        found = [way for path in paths for way in (path, ways.light(path)) if self.exists(way)]
        return list(dict.fromkeys(found)) or ([records] if paths and self.exists(records) else [])

    def provenance(self) -> str:
        """When, on what machine and in which environments it was measured."""
        run = store.RunFolder(self.folder).read_json("run.json")
        machine = run.get("machine", {})
        facts = [f"{machine[name]} {text}".strip() for name, text in MACHINE.items() if machine.get(name)]
        names = [f"`{name}`" for name in run.get("environments", {})]
        return (
            f"Measured {run.get('started', 'at an unknown time')} on {', '.join(facts) or 'an unknown machine'}; environments: "
            f"{', '.join(names) or 'unknown'}. Versions and settings: `run.json`."
        )

    def case_table(self, found: Sequence[Case]) -> str:
        """One line a case, with links."""
        lines = ["| case | stands | seen | evidence |", "| --- | --- | --- | --- |"]
        lines += [f"| `{case.name}` | {case.stand} | {cell_text(case.seen)} | {self.linked(case.evidence)} |" for case in found]
        return "\n".join(lines)

    def linked(self, paths: Sequence[str]) -> str:
        """Links to those that are on disk."""
        return ", ".join(map(evidence.linked, self.present(paths)))


MACHINE = {"processor": "", "cores_available": "cores", "cpu_quota_cores": "cores by CPU quota", "kernel": "kernel"}


def cell_text(text: str) -> str:
    """Text that may stand in a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
