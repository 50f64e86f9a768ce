"""The atlas as a file: JSON, sorted, an entry a line, nothing in it of when and where it was made. The same runs give the
same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from harness.atlas.entries import Cost, Entry
from harness.errors import BadInput
from harness.experiment.matrix import Cell
from harness.places import PACKAGE
from harness.records.outcomes import Outcome

SHIPPED = PACKAGE / "atlas" / "measured.json"
SCHEMA = 2  # 1 had neither Python, days, runs, evidence nor costs, and batches in one
DEFAULTS = {one.name: one.default for one in fields(Cell) if one.default is not MISSING}


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """`runs`: trials that count, by the run that they stand in. `skipped`: backends that could not be measured, and why."""

    runs: Mapping[str, int]
    entries: tuple[Entry, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def trials(self) -> int:
        return sum(one.judged for one in self.entries)


@cache
def shipped() -> Atlas:
    """What came with the package. Raises BadInput where the file is damaged."""
    return read(SHIPPED)


def text(atlas: Atlas) -> str:
    lines = ",\n".join(json.dumps(data(one), sort_keys=True, separators=(",", ":")) for one in atlas.entries)
    told = {"schema": SCHEMA, "runs": atlas.runs, "trials": atlas.trials, "skipped": atlas.skipped}
    head = json.dumps(told, sort_keys=True, indent=1)
    return f'{head[:-2]},\n "entries": [\n{lines}\n]}}\n'


def read(path: Path) -> Atlas:
    """What `text` wrote. Raises BadInput where it is something else."""
    try:
        found = json.loads(path.read_text())
        return Atlas(runs=found["runs"], entries=tuple(map(_entry, found["entries"])), skipped=found.get("skipped", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is no atlas: {error}", remedy="install the package again, or make the file by 'harness atlas --build RUN'"
        ) from error


def data(one: Entry) -> dict[str, Any]:
    """An entry as plain values; of the cell, what differs from the defaults; of the rest, what there is."""
    cell = {name: value for name, value in one.cell.as_dict().items() if name not in DEFAULTS or value != DEFAULTS[name]}
    told: dict[str, Any] = {"cell": cell, "releases": dict(one.releases), "outcomes": one.outcomes}
    others = {
        "causes": one.causes, "python": one.python, "days": one.days if any(one.days) else (), "runs": one.runs,
        "evidence": one.evidence, "costs": [_cost(each) for each in one.costs],
    }  # fmt: skip
    return told | {name: value for name, value in others.items() if value}


def _cost(one: Cost) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if value is not None}


def _entry(found: Mapping[str, Any]) -> Entry:
    first, last = found.get("days", ("", ""))
    return Entry(
        cell=Cell(**found["cell"]), releases=tuple(sorted(found["releases"].items())),
        outcomes={Outcome(name): count for name, count in found["outcomes"].items()}, causes=found.get("causes", {}),
        python=found.get("python", ""), days=(first, last), runs=tuple(found.get("runs", ())),
        evidence=found.get("evidence", ""), costs=tuple(Cost(**each) for each in found.get("costs", ())),
    )  # fmt: skip
