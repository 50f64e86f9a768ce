"""The atlas as a file: JSON, sorted, an entry a line, nothing in it of when and where it was made. The same runs give the
same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from harness.atlas import entries
from harness.atlas.entries import Entry
from harness.errors import BadInput
from harness.experiment.matrix import Cell
from harness.places import CHECKOUT, PACKAGE
from harness.records import store
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.run import packing

SHIPPED = PACKAGE / "atlas" / "measured.json"
SCHEMA = 1
DEFAULTS = {one.name: one.default for one in fields(Cell) if one.default is not MISSING}


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """`runs`: trials that count, by the run that they stand in."""

    runs: Mapping[str, int]
    entries: tuple[Entry, ...]

    @property
    def trials(self) -> int:
        return sum(one.judged for one in self.entries)


@cache
def shipped() -> Atlas:
    """What came with the package. Raises BadInput where the file is damaged."""
    return read(SHIPPED)


def of_runs(roots: Iterable[Path]) -> Atlas:
    """The atlas of the runs at and below these folders. Raises BadInput where there is none."""
    found = sorted({folder.resolve() for root in roots for folder in _runs(root)})
    trials = {folder: list(filter(entries.counts, store.RunFolder(folder).trials())) for folder in found}
    records: list[TrialRecord] = [record for each in trials.values() for record in each]
    return Atlas(
        runs={_name(folder): len(each) for folder, each in trials.items() if each}, entries=tuple(entries.build(records))
    )


def _runs(root: Path) -> list[Path]:
    if found := [folder for folder in packing.runs(root) if store.RunFolder(folder).has_trials]:
        return found
    raise BadInput(f"{root} holds no run", remedy=store.NO_RECORDS)


def _name(folder: Path) -> str:
    """A run of this checkout by its path in it, another one by its own name: no path of a machine goes into the file."""
    return folder.relative_to(CHECKOUT).as_posix() if folder.is_relative_to(CHECKOUT) else folder.name


def text(atlas: Atlas) -> str:
    lines = ",\n".join(json.dumps(_data(one), sort_keys=True, separators=(",", ":")) for one in atlas.entries)
    head = json.dumps({"schema": SCHEMA, "runs": atlas.runs, "trials": atlas.trials}, sort_keys=True, indent=1)
    return f'{head[:-2]},\n "entries": [\n{lines}\n]}}\n'


def read(path: Path) -> Atlas:
    """What `text` wrote. Raises BadInput where it is something else."""
    try:
        data = json.loads(path.read_text())
        found = tuple(map(_entry, data["entries"]))
        return Atlas(runs=data["runs"], entries=found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is no atlas: {error}", remedy="install the package again, or make the file by 'harness atlas --build RUN'"
        ) from error


def _data(one: Entry) -> dict[str, Any]:
    cell = {name: value for name, value in one.cell.as_dict().items() if name not in DEFAULTS or value != DEFAULTS[name]}
    told = {"cell": cell, "releases": dict(one.releases), "outcomes": one.outcomes}
    return {**told, "causes": one.causes} if one.causes else told


def _entry(data: Mapping[str, Any]) -> Entry:
    return Entry(
        cell=Cell(**data["cell"]), releases=tuple(sorted(data["releases"].items())),
        outcomes={Outcome(name): count for name, count in data["outcomes"].items()}, causes=data.get("causes", {}),
    )  # fmt: skip
