"""Runs of parts of one experiment (`shards`) become one run: records, evidence, and the files of requests and samples.

Merging again changes nothing. What does not fit is refused before anything is written. Runs of machines of another kind are
kept apart, in a folder each, for their figures make no one table.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import Cell
from harness.machine import identity
from harness.records import evidence, store
from harness.records.record import TrialRecord, to_line
from harness.records.store import RunFolder
from harness.run import plan, written
from harness.run.plan import Planned

TOGETHER = ("environments", "workloads")  # of a header, by name: of one name there may be only one
FOLDERS = (evidence.FOLDER, "requests", "samples")  # what a trial leaves beside its record lies there
MACHINE = "machine-"  # how the folders of several kinds of machines begin
HOW = "'harness run NAME --shard 1/4' writes such a run"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the runs, as it lies on disk."""

    folder: RunFolder
    header: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What became of the runs of one kind of machine. `lacking`: cells of the experiment that none of them has run."""

    folder: Path
    shards: tuple[str, ...]
    trials: int
    new: int
    cells: int
    lacking: int

    def __str__(self) -> str:
        what = f"{self.folder}: {self.trials} trials of {self.cells} cells, {self.new} of them new"
        parts = f"; shards {', '.join(self.shards)}" if self.shards else ""
        lack = f"; {self.lacking} cells of the experiment are not among them" if self.lacking else ""
        return what + parts + lack


def merge(paths: Sequence[Path], out: Path) -> list[Merged]:
    """Put these runs together in `out`, or, of several kinds of machines, below it. Raises BadInput if they do not fit."""
    parts = fit(paths)
    kinds = _by_machine(parts)
    todo = [(place, _with_earlier(kind, place)) for place, kind in zip(_places(out, kinds), kinds, strict=True)]
    return [_written(kind, place) for place, kind in todo]


def fit(paths: Sequence[Path]) -> list[Part]:
    """These runs, each once. Raises BadInput if they are no parts of one thing."""
    parts = [_read(path) for path in dict.fromkeys(paths)]
    for part in parts[1:]:
        _check(parts[0], part)
    return parts


def _places(out: Path, kinds: Sequence[Sequence[Part]]) -> list[Path]:
    """A folder for each kind of machine; what was merged before stays where it is."""
    below = {path: _machine(RunFolder(path).read_json("run.json")) for path in sorted(out.glob(f"{MACHINE}*"))}
    if len(kinds) == 1 and not below:
        return [out]
    if RunFolder(out).holds_ours:
        raise BadInput(f"{out} holds a run of one machine, and these are of several", remedy="name another --out")
    for kind in kinds:
        own = _machine(kind[0].header)
        if not any(not identity.differ(known, own) for known in below.values()):
            below[out / f"{MACHINE}{len(below) + 1}"] = own
    return [
        next(path for path, known in below.items() if not identity.differ(known, _machine(kind[0].header))) for kind in kinds
    ]


def _with_earlier(kind: Sequence[Part], place: Path) -> list[Part]:
    """The parts, after what was merged there before. Raises BadInput if that is something else."""
    if not RunFolder(place).holds_ours or place.resolve() in {part.folder.path.resolve() for part in kind}:
        return list(kind)
    known = _read(place)
    _check(known, kind[0])
    if differs := identity.differ(_machine(known.header), _machine(kind[0].header)):
        raise BadInput(f"{place} was made on another machine: {differs}", remedy="name another --out")
    return [known, *kind]


def _machine(header: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = header.get("machine", {})
    return found


def _read(path: Path) -> Part:
    folder = RunFolder(path)
    if folder.packed_path.exists():
        raise BadInput(f"{path} is packed", remedy="merge the runs as they were made; pack what they become")
    if not folder.has_trials:
        raise BadInput(f"there are no records in {path}", remedy=HOW)
    header = folder.read_json("run.json")
    if "experiment" not in header:
        raise BadInput(f"{path} is no run of an experiment", remedy=HOW)
    return Part(folder=folder, header=header)


def _check(one: Part, other: Part) -> None:
    """Raise BadInput if these are no two parts of one thing."""
    pair = f"{one.folder.path} and {other.folder.path} do not fit"
    versions = [_machine(part.header).get("harness") for part in (one, other)]
    if versions[0] != versions[1]:
        raise BadInput(f"{pair}: versions {versions[0]} and {versions[1]} measured them", remedy="run both with one version")
    names = [part.header["experiment"].get("name") for part in (one, other)]
    if names[0] != names[1]:
        raise BadInput(f"{pair}: experiments {names[0]!r} and {names[1]!r}", remedy="merge shards of one experiment")
    if changed := _differing(one.header["experiment"], other.header["experiment"]):
        raise BadInput(
            f"{pair}: the experiment is another one in {', '.join(changed)}", remedy="run both with the same options"
        )
    if one.header.get("broker") != other.header.get("broker"):
        brokers = f"{one.header.get('broker')} and {other.header.get('broker')}"
        raise BadInput(f"{pair}: they were run on {brokers}", remedy="run both on one kind of broker")
    for kind in TOGETHER:
        ours, theirs = one.header.get(kind, {}), other.header.get(kind, {})
        for name in ours.keys() & theirs.keys():
            if _print_of(ours[name]) != _print_of(theirs[name]):
                raise BadInput(f"{pair}: {kind[:-1]} {name} is another one", remedy="run both with the same locks and models")


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of what two experiments have otherwise; settings by their own names."""
    flat = [{**each, **each.get("settings", {}), "settings": None} for each in (one, other)]
    return sorted(name for name in flat[0].keys() | flat[1].keys() if flat[0].get(name) != flat[1].get(name))


def _print_of(told: Any) -> Any:
    return told.get("fingerprint") if isinstance(told, dict) else told


def _by_machine(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts by the kind of machine, as far as that is known; kinds and parts keep their order."""
    found: list[list[Part]] = []
    for part in parts:
        same = next((kind for kind in found if not identity.differ(_machine(kind[0].header), _machine(part.header))), None)
        if same is None:
            found.append([part])
        else:
            same.append(part)
    return found


def _written(parts: Sequence[Part], place: Path) -> Merged:
    """One run of these parts. Records stand in the order of their start, so that what was run again counts as it does in a run;
    files come first, for a record leads to them."""
    known = {to_line(record): (part, record) for part in parts for record in part.folder.records()}
    ordered = dict(sorted(known.items(), key=lambda each: each[1][1].asked.started))
    with store.room(place), RunFolder(place).opened() as whole:
        before = set(map(to_line, whole.records()))
        for part, record in {(record.cell_id, record.trial): (part, record) for part, record in ordered.values()}.values():
            if to_line(record) not in before:
                _copy(part.folder.path, place, record)
        if before != known.keys():
            whole.rewrite(record for _, record in ordered.values())
        header = _header(parts)
        whole.write_json("run.json", header)
        cells = _cells(header)
        table = written.tables(whole, _every_trial(cells, header))
        ran = {record.cell_id for _, record in known.values()}
        return Merged(
            folder=place, shards=tuple(header["shards"]), trials=len(whole.current()), new=len(known.keys() - before),
            cells=len(table), lacking=sum(cell.id not in ran for cell in cells if not (cell.is_control or cell.is_baseline)),
        )  # fmt: skip


def _copy(source: Path, target: Path, record: TrialRecord) -> None:
    """The files that one trial has left; those of an earlier record of the same trial make room."""
    ways = (evidence.folder_of(record.ended.evidence), record.answers.requests_file, record.cpu.samples_file)
    for way in filter(None, ways):
        if Path(way).parts[0] not in FOLDERS or ".." in Path(way).parts or (source / way).is_symlink():
            continue  # a record may come from anywhere: nothing but a run's own files is touched
        if (source / way).is_dir():
            shutil.rmtree(target / way, ignore_errors=True)
            shutil.copytree(source / way, target / way, ignore=_links)
        elif (source / way).is_file():
            (target / way).parent.mkdir(exist_ok=True)
            shutil.copy2(source / way, target / way)


def _links(folder: str, names: Sequence[str]) -> list[str]:
    """Those of these names that are links, which may lead out of the run."""
    return [name for name in names if (Path(folder) / name).is_symlink()]


def _header(parts: Sequence[Part]) -> dict[str, Any]:
    """The first part's, with what the others have beside it, and the whole time."""
    headers = [part.header for part in parts]
    found = dict(headers[0])
    for kind in TOGETHER:
        found[kind] = {name: told for header in headers for name, told in header.get(kind, {}).items()}
    found["shards"] = sorted({shard for header in headers for shard in header.get("shards", [])}, key=_in_order)
    hosts = {host for header in headers for host in [*header.get("hosts", []), header.get("host")] if host}
    found |= {"hosts": sorted(hosts)} if hosts else {}
    for own in ("host", "calibration"):
        found.pop(own, None)  # of one block on one host; they stand in its own header
    found["started"] = min(header["started"] for header in headers)
    found["ended"] = "" if any(not header.get("ended") for header in headers) else max(header["ended"] for header in headers)
    found["interrupted"] = any(header.get("interrupted") for header in headers)
    return found


def _in_order(shard: str) -> list[int]:
    return [int(part) for part in reversed(shard.split("/"))]


def _cells(header: Mapping[str, Any]) -> list[Cell]:
    """The cells of the experiment in order, with their controls, as this version knows them."""
    return plan.chosen_cells(Experiment.model_validate(header["experiment"]), [])


def _every_trial(cells: Sequence[Cell], header: Mapping[str, Any]) -> list[Planned]:
    repeat = int(header["experiment"].get("settings", {}).get("repeat", 1))
    return [Planned(cell=cell, trial=trial, key="") for cell in cells for trial in range(1, repeat + 1)]
