"""One side of a comparison: the records of a run, and where and with what they were made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.environments import base_of
from harness.errors import BadInput
from harness.experiment.experiment import REPEATS
from harness.experiment.matrix import Cell
from harness.machine import identity
from harness.measure import figures
from harness.records.record import TrialRecord, by_cell
from harness.records.sections import Figures
from harness.records.store import RunFolder
from harness.summary import notes


@dataclass(frozen=True, kw_only=True)
class Side:
    """`cells`: the trials of each cell, by an id that leaves the versions of dependencies out (see `key`)."""

    name: str
    cells: Mapping[str, tuple[TrialRecord, ...]]
    figures: Mapping[tuple[str, int], Figures]  # by the record's own cell id and trial, computed where they are not on record
    machine: Mapping[str, Any]
    packages: Mapping[str, Mapping[str, str]]  # environment -> package -> version
    interpreters: Mapping[str, str] = field(default_factory=dict)  # environment -> version of its Python
    plan: Mapping[str, Any] = field(default_factory=dict)  # the settings, broker and models that it ran with, by name
    started: str = ""
    application: Mapping[str, Any] | None = None  # of a probe: what `applications.probe` says of it, with its paths

    def of(self, record: TrialRecord) -> Figures | None:
        return self.figures.get((record.cell_id, record.trial))


def read(folder: Path) -> Side:
    """A run's folder. Raises BadInput where it holds no trial."""
    run = RunFolder(folder)
    records = run.trials()
    header = run.read_json("run.json")
    known = {(record.cell_id, record.trial): figures.of(record, folder) for record in records}
    return Side(
        name=str(folder),
        cells=_cells(records),
        figures={place: one for place, one in known.items() if one is not None},
        machine=header.get("machine", {}),
        packages={name: one.get("installed", {}) for name, one in header.get("environments", {}).items()},
        interpreters={name: one.get("interpreter", "") for name, one in header.get("environments", {}).items()},
        plan=_plan(header),
        started=header.get("started", ""),
        application=_placed(header.get("application"), folder),
    )


def _placed(application: Mapping[str, Any] | None, folder: Path) -> dict[str, Any] | None:
    """With its `folder`, `python` and `env_file` as paths that hold anywhere here; links are kept, for a venv has one."""
    if application is None:
        return None
    here = os.path.abspath(folder)
    placed = {name: os.path.normpath(os.path.join(here, path)) for name, path in application.get("from_here", {}).items()}
    return {**application, **placed}


def _plan(header: Mapping[str, Any]) -> dict[str, Any]:
    settings = header.get("experiment", {}).get("settings", {})
    models = {f"model {name}": print_ for name, print_ in header.get("workloads", {}).items()}
    return {**settings, **models, **({"broker": header["broker"]} if "broker" in header else {})}


def _cells(records: list[TrialRecord]) -> dict[str, tuple[TrialRecord, ...]]:
    """By `key` where that names one cell of the run, else by the cell's own id."""
    own = by_cell(records)
    keys = {name: key(trials[0].as_cell) for name, trials in own.items()}
    taken = list(keys.values())
    return {keys[name] if taken.count(keys[name]) == 1 else name: tuple(trials) for name, trials in own.items()}


def key(cell: Cell) -> str:
    """The cell's id without the versions of a variant: the same cell with another Celery is compared with itself.

    >>> key(Cell(backend="null", environment="celery+celery==5.4.0", pool="solo"))
    'null@celery-solo-c1-first-task-predict'
    >>> key(Cell(backend="theano", environment="theano+celery==5.4.0", pool="solo"))
    'theano-solo-c1-first-task-predict'
    """
    plain = base_of(cell.environment)
    return replace(cell, environment="" if plain == cell.backend else plain).id


def machines_differ(first: Side, second: Side) -> str:
    return identity.differ(first.machine, second.machine)


PROBED = ("task", "rows", "rows_digest", "consumed", "queue", "check", "checked", "tolerance")  # of a probe: what was asked for
CHECKS = ("pass the check", "match those of serial calls")  # else nothing could be compared, whatever was asked for


def probes_differ(first: Side, second: Side) -> str:
    """What two probes of somebody's application were asked for otherwise, of what both have on record; '' for other runs.

    Another application, or other code of it, is what probes are compared for; other rows, or another task, queue or check make
    another question.
    """
    here, there = first.application or {}, second.application or {}
    pairs = [(name, here[name], there[name]) for name in PROBED if name in here and name in there]
    by_queue = any(name == "consumed" for name, _, _ in pairs)
    told = [
        f"{name} {one or '(none)'} -> {other or '(none)'}"
        for name, one, other in pairs
        if one != other
        and not (name == "queue" and by_queue)  # named or not: the queue that is consumed counts
        and not (name == "checked" and not {one, other} <= set(CHECKS))
    ]
    return ", ".join(told)


def same_probe(first: Side, second: Side) -> None:
    """Raises BadInput for probes that ask different things."""
    if told := probes_differ(first, second):
        raise BadInput(
            f"{first.name} and {second.name} are probes that ask different things, so they cannot be compared: {told}",
            remedy="probe both with the same --args, --task, --queue and --check",
        )


def plans_differ(first: Side, second: Side) -> list[str]:
    """What was asked for otherwise, of what both say: 'limit_s 60.0 -> 10.0', 'model user-model: another one'."""
    both = [name for name in first.plan if name in second.plan and name not in REPEATS]
    pairs = [(name, first.plan[name], second.plan[name]) for name in both]
    return [
        f"{name}: another one" if name.startswith("model ") else f"{name} {one} -> {other}"
        for name, one, other in pairs
        if one != other
    ]


def noted(first: Side, second: Side) -> list[tuple[str, str]]:
    """(of which run, note) of all that a reader has to know of the cells of both runs, each note once."""
    here, there = (notes.of(record for trials in side.cells.values() for record in trials) for side in (first, second))
    where = {note: "both runs" if note in there else "the first run" for note in here}
    return [(run, note) for note, run in {**where, **{note: "the second run" for note in there if note not in here}}.items()]


def versions_differ(first: Side, second: Side, *, but: str = "") -> list[str]:
    """What is installed otherwise, a line an environment: 'theano: celery 5.2.7 -> 5.6.0, kombu added 5.6'.

    `but`: a package that is not looked at.
    """
    lines = []
    here, there = _by_base(first.packages), _by_base(second.packages)
    for name in sorted(here.keys() & there.keys()):
        packages = sorted((here[name].keys() | there[name].keys()) - {but})
        changed = [_change(package, here[name], there[name]) for package in packages]
        if any(changed):
            lines.append(f"{name}: {', '.join(filter(None, changed))}")
    return lines


def _by_base(packages: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """By the environment's name without a variant's versions, where a run has but one of that name."""
    bases = [base_of(name) for name in packages]
    return {base: one for base, one in zip(bases, packages.values(), strict=True) if bases.count(base) == 1}


def _change(package: str, here: Mapping[str, str], there: Mapping[str, str]) -> str:
    one, other = here.get(package), there.get(package)
    if one == other:
        return ""
    return f"{package} {one} -> {other}" if one and other else f"{package} added {other}" if other else f"{package} gone"
