"""What several hosts have measured of the same cells: figures by cell and host, and each cell beside one of the same work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.certainty import comparison, hosts
from harness.certainty.hosts import OverHosts
from harness.errors import BadInput, NothingMatches
from harness.experiment import matrix
from harness.experiment.matrix import Cell
from harness.measure import figures
from harness.records.outcomes import ANSWERED
from harness.records.record import TrialRecord, by_cell
from harness.records.store import RunFolder
from harness.run import merging
from harness.run.hosts import calibration
from harness.run.hosts.home import BLOCKS

ByHost = Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One cell. `per_s`: throughputs by host, of trials that answered; `outcomes`: how its trials ended, by host."""

    cell: Cell
    per_s: ByHost
    outcomes: Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A cell beside the one of the same work that it is compared `to`."""

    to: Cell
    cell: Measured
    over: OverHosts


def parts(paths: Sequence[Path]) -> list[Path]:
    """The runs of single hosts: the blocks of a run on hosts, or the folders themselves. Raises BadInput."""
    found = [part for path in paths for part in (sorted((path / BLOCKS).glob("[!.]*/")) or [path])]
    merging.fit(found)
    return found


def measured(found: Sequence[Path]) -> list[Measured]:
    """All cells, in the order in which they were met, by host. Raises BadInput if a run's host is unclear."""
    per_s = dict[Cell, dict[str, list[float]]]()
    outcomes = dict[Cell, dict[str, list[str]]]()
    named = dict[str, Path]()
    headers = {part: RunFolder(part).read_json("run.json") for part in found}
    told = {part: header.get("calibration") or {} for part, header in headers.items()}
    rough = {_host(part, header) for part, header in headers.items() if calibration.drift(told[part]) is None}
    for part, header in headers.items():
        host = _host(part, header)
        if len(header.get("hosts", [])) > 1:
            raise BadInput(f"{part} holds records of several hosts", remedy="name the run that has a folder 'blocks'")
        if "host" not in header and named.setdefault(host, part) != part:
            raise BadInput(f"{part} and {named[host]} have one name", remedy="name each folder after its host")
        for trials in by_cell(RunFolder(part).trials()).values():
            for record in trials:
                cell = record.as_cell
                outcomes.setdefault(cell, {}).setdefault(host, []).append(str(record.outcome))
                if figure := _steady(record, part, {} if host in rough else told[part]):
                    per_s.setdefault(cell, {}).setdefault(host, []).append(figure)
    return [Measured(cell=cell, per_s=per_s.get(cell, {}), outcomes=ended) for cell, ended in outcomes.items()]


def _host(part: Path, header: Mapping[str, Any]) -> str:
    return str(header.get("host") or part.name)


def _steady(record: TrialRecord, run: Path, told: Mapping[str, Any]) -> float | None:
    """The trial's throughput; over the machine's pace at that moment, if `told`: of one host, all figures are so or none."""
    found = figures.of(record, run) if record.outcome in ANSWERED and not record.spoiled else None
    if found is None:
        return None
    pace = calibration.pace(told, record.asked.started)
    return found.throughput_per_s / pace if pace else found.throughput_per_s


def beside(cells: Sequence[Measured], to: str = "") -> list[Beside]:
    """Each cell beside another of the same work and traffic: that which `to` selects, or the first. Raises
    NothingMatches."""
    groups = dict[tuple[str, int, str], list[Measured]]()
    for one in cells:
        if not (one.cell.is_control or one.cell.is_baseline):
            groups.setdefault((one.cell.workload, one.cell.batch, one.cell.traffic), []).append(one)
    found = list[Beside]()
    for group in groups.values():
        if (base := next((one for one in group if not to or matrix.matches(one.cell, to)), None)) is not None:
            others = [one for one in group if one is not base]
            found += [Beside(to=base.cell, cell=one, over=hosts.over_hosts(base.per_s, one.per_s)) for one in others]
    if to and not found:
        raise NothingMatches(f"no cell that has others beside it matches {to!r}", remedy="'harness show RUN' prints the cells")
    together = comparison.together([one.over.found for one in found])
    return [replace(one, over=replace(one.over, found=said)) for one, said in zip(found, together, strict=True)]
