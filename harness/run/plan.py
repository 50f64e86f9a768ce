"""The plan of a run: which trials, in which order, with what each needs; and which of them are done already."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from harness import environments
from harness.broker import shown
from harness.environments import Description, Environment
from harness.errors import BadInput, MissingTool, NothingMatches
from harness.experiment import matrix, seeds
from harness.experiment.experiment import REPEATS, Experiment, Settings
from harness.experiment.matrix import Cell
from harness.judge.causes import LOST_THREADS
from harness.machine import cores
from harness.measure import silent
from harness.records.outcomes import ANSWERED, FAILED, STUCK, Outcome
from harness.records.record import TrialRecord
from harness.run.bundles import Bundle
from harness.trial import outside

NOT_BOUGHT = "not measured within the budget"  # how the reason of a trial begins for which there was no time,
FAILS_ALONE = "not run, for every call raised"  # and of one that would show nothing new
CONTROL_CALLS = ("predict",)
CAME_LATER = ("stop_early", "shutdown")  # settings that say something only if they are on
MEASURED_AS = 3  # raise it when trials measure something else: then earlier ones are of another plan


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One trial to come. `skip` says why it is not run, '' to run it."""

    cell: Cell
    trial: int
    key: str
    skip: str = ""


def chosen_cells(experiment: Experiment, patterns: Sequence[str], *, workload: str = "") -> list[Cell]:
    """The experiment's cells that the patterns select, with the controls they need. Raises NothingMatches."""
    cells = experiment.expand()
    if workload:
        cells = list(dict.fromkeys(replace(cell, workload=workload) for cell in cells))
    everything = matrix.with_controls(cells, cores=cores.to_fill()) if experiment.settings.controls else cells
    picked = matrix.select(cells, patterns) or matrix.select(everything, patterns)
    if not picked:
        raise NothingMatches(
            f"no cell matches {' or '.join(map(repr, patterns))}. {len(cells)} cells are defined in {experiment.name!r}",
            remedy=f"'harness list {experiment.name}' prints them; '{matrix.pattern_like(cells, patterns)}' selects some",
        )
    return matrix.with_controls(picked, cores=cores.to_fill()) if experiment.settings.controls else picked


def why_skipped(cell: Cell) -> str:
    """Why this combination cannot exist whatever is installed, or ''."""
    description = _description(cell.venv)
    calls = CONTROL_CALLS if cell.is_control else description.calls
    reason = matrix.impossible(cell, calls=calls, celery=celery_version(cell.venv), compile_cache=description.compile_cache)
    return reason or ""


@cache
def _description(name: str) -> Description:
    """Read once: a plan asks at each of its cells, which may be ten thousand."""
    return environments.described(name)


@cache
def celery_version(name: str) -> tuple[int, int]:
    """(major, minor) of the Celery in an environment: of a variant what it asks for, else what its lock pins."""
    asked = environments.pins_of(name).get("celery") or _pinned(environments.base_of(name))
    found = re.match(r"(\d+)\.(\d+)", asked)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@cache
def _pinned(name: str) -> str:
    """A backend from outside gets its lock when its environment is built; until then its requirements are all there is."""
    description = _description(name)
    text = description.lock.read_text() if description.lock.exists() else "\n".join(description.requires)
    found = re.search(r"^celery==(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def key(cell: Cell, settings: Settings, **own: object) -> str:
    """Hash of everything a trial's result depends on by our will; a record with another key is of another plan.

    `own`: what the trial's source adds, as values that JSON has.
    """
    unsaid = {name for name in CAME_LATER if not getattr(settings, name)}
    given = settings.model_dump(exclude={*REPEATS, *unsaid})
    asked = {"schema": MEASURED_AS, "cell": cell.as_dict(), "settings": given, **own}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def key_of(cell: Cell, settings: Settings, environment: Environment | None, bundle: Bundle | None, broker_url: str = "") -> str:
    """The key of an experiment's trial. The user's own broker makes another pace than ours."""
    own = {
        "environment": environment.fingerprint if environment else "missing",
        "bundle": bundle.fingerprint if bundle else "missing",
        **({"backend": code} if not cell.is_control and (code := _description(cell.venv).code) else {}),
    }
    return key(cell, settings, **own, **({"broker": shown(broker_url)} if broker_url else {}))


def trials(
    cells: Sequence[Cell],
    settings: Settings,
    *,
    environments_ready: Mapping[str, Environment | MissingTool],
    bundles: Mapping[str, Bundle],
    broker_url: str = "",
) -> list[Planned]:
    """All trials in order: round after round, so that a drift of the machine meets all cells alike.

    If repeated, each round is shuffled anew, so that no cell always runs after the same other. In the first the baselines
    stay in front: they fill the warm compile caches, and say how long a request takes; only what people ask first does not wait
    for others' baselines. With `stop_early` that comes first of all engines, one after the other: while a hang of one is
    confirmed, another one is measured; and a ceiling that may be spared comes last (`sparing`). The dice are for the order
    alone, see `seeds` for others.
    """
    dice = seeds.dice("order", settings.seed)
    planned = []
    for repetition in range(1, settings.repeat + 1):
        order = list(cells)
        if settings.repeat > 1:
            order = [order[place] for place in dice.permutation(len(order))]
            if repetition == 1:
                order = _answers_early(order)
        elif settings.stop_early:
            order = _spares_last([*_asked_first(order), *order])
        for cell in dict.fromkeys(order):
            planned.append(_planned(cell, repetition, settings, environments_ready, bundles, broker_url))
    return planned


def _answers_early(cells: Sequence[Cell]) -> list[Cell]:
    """What people ask first, then the baselines, then the rest as they stand; some more than once."""
    return [*_asked_first(cells), *(cell for cell in cells if cell.is_baseline), *cells]


def _asked_first(cells: Sequence[Cell]) -> list[Cell]:
    known = set(cells)
    return [cell for cell in matrix.asked_first(cells) if cell in known]


def _spares_last(cells: Sequence[Cell]) -> list[Cell]:
    """Each ceiling of twice as many processes as another one after the pools that are held against it."""
    known = set(cells)
    spares = [cell for cell in cells if cell.is_baseline and replace(cell, concurrency=cell.concurrency // 2) in known]
    order = [cell for cell in cells if cell not in spares]
    for cell in spares:
        places = [place for place, one in enumerate(order) if matrix.work(one) == matrix.work(cell)]
        order.insert(max(places) + 1, cell)
    return order


def _planned(
    cell: Cell,
    trial: int,
    settings: Settings,
    ready: Mapping[str, Environment | MissingTool],
    bundles: Mapping[str, Bundle],
    broker_url: str,
) -> Planned:
    environment, skip = ready.get(cell.venv), why_skipped(cell) or outside.cannot(cell.fault)
    if isinstance(environment, MissingTool):
        skip = skip or f"{environment}; {environment.remedy}"
        environment = None
    asked = key_of(cell, settings, environment, bundles.get(cell.workload), broker_url)
    return Planned(cell=cell, trial=trial, key=asked, skip=skip)


def missing(
    planned: Iterable[Planned], done: Mapping[tuple[str, int], TrialRecord], retry: frozenset[Outcome]
) -> list[Planned]:
    """The trials that have no record of the same plan, or one that is to be tried again, or was left out for now."""
    return [
        item
        for item in planned
        if (record := done.get((item.cell.id, item.trial))) is None
        or record.asked.plan_key != item.key
        or record.outcome in retry
        or record.reason.startswith((NOT_BOUGHT, FAILS_ALONE))
        or (record.spoiled and Outcome.INVALID in retry)
    ]


def pace(baselines: Sequence[TrialRecord]) -> dict[str, Any]:
    """What the baseline says of a request's duration, as fields of an Assignment; seconds, None where it says nothing.

    `baseline_waits`: the calls waited there as well, to the limit or by proof. `alone_share`: see `silent.alone_share`.
    """
    waits = any(record.outcome in STUCK for record in baselines)
    shares = [share for record in baselines if (share := silent.alone_share(record.cpu.facts)) is not None]
    good = [
        record
        for record in baselines
        if record.outcome in ANSWERED and record.pace.measured_s and record.pace.measured_requests
    ]
    if not good:
        unknown = dict.fromkeys(("baseline_s", "baseline_first_s", "baseline_slowest_s", "alone_share"))
        return {**unknown, "baseline_waits": waits}
    usual = max((record.pace.measured_s or 0.0) / record.pace.measured_requests for record in good)
    return {
        "baseline_s": usual,
        "baseline_first_s": max((record.pace.first_predict_s or 0.0) for record in good) or None,
        "baseline_slowest_s": max((record.pace.slowest_s or 0.0) for record in good) or None,
        "baseline_waits": waits,
        "alone_share": min(shares, default=None),
    }


def loss_shown(cell: Cell, records: Iterable[TrialRecord]) -> bool:
    """Whether a sibling has hung for threads that the fork took away: with the same engine, placement and work in the parent.
    Its proof was watched for longer than others are.
    """
    return any(
        record.outcome is Outcome.HUNG and record.ended.cause == LOST_THREADS and _alike(record.as_cell, cell)
        for record in records
    )


def _alike(one: Cell, other: Cell) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in ("backend", "environment", "pool", "placement", "parent"))


def retry_outcomes(text: str) -> frozenset[Outcome]:
    """'failed' or 'hung,invalid' -> outcomes. Raises BadInput."""
    if not text:
        return frozenset()
    if text == "failed":
        return FAILED
    try:
        return frozenset(Outcome(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise BadInput(
            f"--retry does not know {text!r}: {error}", remedy=f"use 'failed', or of {', '.join(Outcome)}"
        ) from error
