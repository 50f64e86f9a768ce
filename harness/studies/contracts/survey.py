"""The survey: which contracts are to be measured where, each kept as soon as it is known, and the page of them all.

How they are measured, a few at a time, is in `lanes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness import environments
from harness.errors import BadInput, NothingMatches
from harness.experiment.brokers import VALKEY
from harness.experiment.pools import POOLS
from harness.records.store import now
from harness.run import opening
from harness.run.opening import Opened
from harness.run.plan import celery_version
from harness.studies.contracts import lanes, rows
from harness.studies.contracts.catalogue import CONTRACTS
from harness.studies.contracts.lanes import Task
from harness.studies.contracts.rows import Row

CONTROL_ENVIRONMENT = "celery"  # Celery alone, for tests
TABLES = {
    "A predict that never returns": ("hard-", "soft-", "revoke-"),
    "Shutdown with work in flight, and a killed process": ("warm-", "cold-", "kill"),
    "Signs of life while the only executor is busy": ("ping-",),
    "The broker goes away from an idle worker and comes back": ("idle-",),
    "The broker goes away from a busy worker and comes back": ("blip", "restart-", "partition", "half-open"),
    "The broker hands out a message again, for it was not acknowledged in time": ("visibility-",),
    "RabbitMQ goes away from an idle worker and comes back": ("rabbitmq-idle-",),
    "RabbitMQ goes away from a busy worker and comes back": tuple(
        f"rabbitmq-{name}" for name in ("blip", "restart-", "partition", "half-open")
    ),
    "RabbitMQ and a call that takes long": ("rabbitmq-ack-", "rabbitmq-heartbeat"),
    "RabbitMQ and a killed process": ("rabbitmq-kill",),
    "RabbitMQ and requests that are put off": ("rabbitmq-eta", "rabbitmq-quorum-eta"),
}
PREFACE = """\
Made by `harness contracts`; every word was seen with a real worker of concurrency 1, none is from documentation.
Measurements ran up to {jobs} at a time, which adds some tenths of a second to the seconds in parentheses. **Bold** is not
what one would hope for; the notes say what was seen. *python*: the predict is blocked on a lock in Python (the control
`faulty`). *native*: it is in C and does not come back; the note, or `detail` in `contracts.csv`, says whether that was a
real predict or an endless computation. Every wait was bounded: "not" means not within the seconds that the note names."""
STOPPING = "stopping; what was measured is kept"
Say = Callable[[str], None]


def backends() -> list[str]:
    """What a survey is of if nobody names backends: contracts are Celery's, so one with each of its releases, and those of
    which a real predict hangs.
    """
    known = [name for name in environments.descriptions() if name != CONTROL_ENVIRONMENT]
    shown = [name for name in known if name in lanes.REAL_HANGS]
    releases = {celery_version(name) for name in shown}
    others = {celery_version(name): name for name in reversed(known) if celery_version(name) not in releases}
    return [name for name in known if name in shown or name in others.values()]


@dataclass(frozen=True, kw_only=True)
class SurveyOrder:
    """What the user asked for; `select` are patterns of `BACKEND-POOL-CONTRACT` or of a contract's own id."""

    folder: Path
    backends: Sequence[str]
    pools: Sequence[str]
    select: Sequence[str] = ()
    jobs: int = 3
    brokers: Sequence[str] = (VALKEY,)  # whose contracts
    fresh: bool = False


def tasks(order: SurveyOrder) -> list[Task]:
    """All rows that the order asks for, in the table's order. Raises BadInput, NothingMatches."""
    for names, known, what in (
        (order.backends, list(environments.descriptions()), "backend"),
        (order.pools, list(POOLS), "pool"),
        (order.brokers, list(dict.fromkeys(one.broker for one in CONTRACTS.values())), "broker"),
    ):
        for name in names:
            if name not in known:
                raise BadInput(f"no {what} {name!r}", remedy=f"use {', '.join(known)}")
    everything = [
        Task(backend=backend, pool=POOLS[pool], contract=contract)
        for backend in order.backends
        for pool in order.pools
        for contract in CONTRACTS.values()
        if contract.broker in order.brokers
    ]
    chosen = [task for task in everything if selected((task.id, task.contract.id), order.select)]
    if not chosen:
        raise NothingMatches(
            f"no contract matches {' or '.join(map(repr, order.select))}",
            remedy=f"contracts are {', '.join(name for name, one in CONTRACTS.items() if one.broker in order.brokers)}",
        )
    return chosen


def selected(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether one of these names is asked for; all are, if there is no pattern."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def survey(order: SurveyOrder, say: Say, measured: Callable[[Row], None]) -> dict[tuple[str, str, str], Row]:
    """Measure what is asked for and not yet known; all rows of the folder. `measured` is told of each answer that is asked for,
    of those on record first. Raises Interrupted with everything kept."""
    wanted = tasks(order)
    with opening.opened(order.folder, "survey", say, fresh=order.fresh, sight=False, stopping=STOPPING) as opened:
        known = rows.read(order.folder)
        kept = rows.kept((task.key for task in wanted), known)
        todo = [task for task in wanted if task.key not in kept]
        shown_again(kept.values(), len(wanted), say, measured)
        opened.folder.write_header(ended="", interrupted=opened.stopped.is_set())
        try:
            with closing(lanes.answers(todo, opened, say, jobs=order.jobs)) as found:
                for row in found:
                    rows.append(order.folder, row)
                    known[row.key] = row
                    measured(row)
        finally:
            known = arranged(known)
            write(opened, known, order.jobs)
    return known


def shown_again(kept: Collection[Row], wanted: int, say: Say, shown: Callable[[Row], None]) -> None:
    """What is on record is shown as it was when it was measured."""
    if kept:
        say(f"{len(kept)} of {wanted} answers are on record; --fresh measures them again")
    for row in kept:
        shown(row)


def write(opened: Opened, known: dict[tuple[str, str, str], Row], jobs: int) -> None:
    """All that is known, as a table and as a page."""
    opened.folder.replace(rows.TABLE, rows.table(known.values()))
    opened.folder.replace("contracts.md", page(known, jobs))
    opened.folder.write_header(ended=now(), interrupted=opened.stopped.is_set())


def arranged(known: dict[tuple[str, str, str], Row]) -> dict[tuple[str, str, str], Row]:
    """In the order of backends, pools and contracts, whatever order they were measured in."""
    ranks = [list(environments.descriptions()), list(POOLS), list(CONTRACTS)]
    places = [{name: rank for rank, name in enumerate(names)} for names in ranks]
    order = sorted(known, key=lambda key: [place.get(part, 99) for place, part in zip(places, key, strict=True)])
    return {key: known[key] for key in order}


def page(known: dict[tuple[str, str, str], Row], jobs: int) -> str:
    groups = {title: [one for one in CONTRACTS.values() if one.id.startswith(heads)] for title, heads in TABLES.items()}
    return rows.markdown(known, groups, PREFACE.format(jobs=jobs))
