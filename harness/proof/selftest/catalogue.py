"""The fault catalogue, as data: what is injected, where it can exist, and what may be said of it.

Faults are named as cells name them (`experiment.matrix.FAULT`). An entry's `accepted` outcomes are the true ones: where there
are two, both are true, and which one it is depends on how far the trial came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import NothingMatches
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.records.outcomes import Outcome
from harness.run import plan

CHILDREN = ("prefork", "prefork-spawn")
GREEN = ("gevent", "eventlet")
ALL = tuple(POOLS)
NOT_SOLO = tuple(pool for pool in ALL if pool != "solo")

#: How long and how much: what is judged is how a trial ends, so it is short, and no machine is too noisy.
SETTINGS: Mapping[str, Any] = {
    "measure_s": 0.5, "requests": 20, "limit_s": 40.0, "ready_limit_s": 60.0, "warmup_limit_s": 60.0,
    "stable_limit_s": 0.5, "confirm_s": 3.0, "noise_limit": 100.0, "controls": False,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One fault. `elsewhere`: why it cannot exist in the pools that are not named. `cause`: that the record is to name,
    '' where none is looked at. `hung`: (k, n), executors that hang of those there are, in the pools of `counted_in`. `slow`: it
    ends by itself, so `hung` would be false. `deadlock`: the time to its verdict counts for the thresholds. `seconds`: what
    a trial takes, about. `settings`: other ones than SETTINGS."""

    name: str
    fault: str
    accepted: frozenset[Outcome]
    cause: str = ""
    pools: tuple[str, ...] = ALL
    elsewhere: str = ""
    concurrency: int = 2  # 1 in solo
    placement: str = "first-task"
    traffic: str = "closed-4"
    hung: tuple[int, int] | None = None
    counted_in: tuple[str, ...] = ()
    duplicates: bool = False  # the record counts answers that came twice
    slow: bool = False
    deadlock: bool = False
    seconds: float = 6.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def cell(self, pool: str, environment: str) -> Cell:
        return Cell(
            backend="faulty", environment=environment, pool=pool, concurrency=1 if pool == "solo" else self.concurrency,
            placement=self.placement, traffic=self.traffic, fault=self.fault,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """An entry in a pool. `skip` says why it cannot exist there, '' where it can."""

    entry: Entry
    pool: str
    cell: Cell
    skip: str = ""


def _hangs(name: str, fault: str, **more: Any) -> Entry:
    return Entry(name=name, fault=fault, accepted=frozenset({Outcome.HUNG}), **more)


def _slow(name: str, fault: str, seconds: float, **more: Any) -> Entry:
    """What ends by itself: answered in the end, or cut off while it still may."""
    accepted = frozenset({Outcome.OK, Outcome.SLOW})
    return Entry(
        name=name, fault=fault, accepted=accepted, slow=True, seconds=seconds + 5, settings={"limit_s": 60.0 + seconds}, **more
    )


def _ends(name: str, fault: str, *accepted: Outcome, **more: Any) -> Entry:
    return Entry(name=name, fault=fault, accepted=frozenset(accepted), **more)


NO_CHILDREN = "only prefork's children are forked, and lose the threads of their parent"
NO_HUB = "only green pools have a hub that all requests share"
ONE_EXECUTOR = "solo has one executor, which cannot hang in part"
NO_INIT = "worker_process_init fires in prefork and solo alone"
NO_RESPAWN = "only prefork replaces its processes"
LONG = {"measure_s": 2.0}  # the fault strikes in the measured phase
READY_SOON = {"ready_limit_s": 6.0}

CATALOGUE: tuple[Entry, ...] = (
    _ends("nothing", "", Outcome.OK),
    # hangs
    _hangs("deadlock", "deadlock", cause="deadlock", deadlock=True),
    _hangs(
        "deadlock-of-one",
        "deadlock@3x1",
        cause="deadlock",
        deadlock=True,
        concurrency=4,
        hung=(1, 4),
        counted_in=NOT_SOLO,
        pools=NOT_SOLO,
        elsewhere=ONE_EXECUTOR,
    ),
    _hangs(
        "fork-lock",
        "fork-lock",
        cause="fork-held-lock",
        placement="import",
        deadlock=True,
        pools=("prefork",),
        elsewhere=NO_CHILDREN,
    ),
    _hangs("gil-held", "gil-held", cause="gil-held", deadlock=True),
    _hangs("hub-blocked", "hub-blocked", cause="hub-blocked", deadlock=True, pools=GREEN, elsewhere=NO_HUB),
    _hangs("native-spin", "native-spin", cause="native-spin", seconds=30, settings={"limit_s": 90.0}),
    _hangs("load-deadlock", "load-deadlock", cause="deadlock"),
    _hangs(
        "load-deadlock-at-start",
        "load-deadlock",
        cause="deadlock",
        placement="process-init",
        pools=(*CHILDREN, "solo"),
        elsewhere=NO_INIT,
        seconds=10,
    ),
    _hangs("lost-reply", "lost-reply@5x1", cause="lost-message", seconds=8),
    _hangs("stopped", "outside-stop", cause="stopped", concurrency=4, hung=(1, 4), counted_in=CHILDREN, settings=LONG),
    # slow, and never hung
    _slow("sleep-30-s", "sleep:30@3x1", 30),
    _slow("lock-wait", "lock-wait:12@3x1", 12),
    _slow("spin", "spin:12@3x1", 12),
    _slow("native-sleep", "native-sleep:12@3x1", 12),
    _slow("subprocess-wait", "subprocess-wait:12@3x1", 12),
    _slow("load-sleep", "load-sleep:9", 9),
    Entry(
        name="slow-steady",
        fault="sleep:2@0",
        accepted=frozenset({Outcome.OK, Outcome.SLOW}),
        slow=True,
        seconds=25,
        settings={"requests": 6, "limit_s": 90.0},
    ),
    # processes that end
    _ends("signal-11", "signal:11@5", Outcome.CRASHED, cause="unknown"),
    _ends("signal-9", "signal:9@5", Outcome.CRASHED, cause="unknown"),
    _ends("exit-3", "exit:3@5", Outcome.CRASHED, cause="unknown"),
    _ends(
        "respawn-loop",
        "load-exit:7",
        Outcome.RESPAWNING,
        Outcome.CRASHED,  # Celery gives up where all children die before it begins to consume (celery/worker/loops.py)
        cause="respawn-loop",
        placement="process-init",
        pools=CHILDREN,
        elsewhere=NO_RESPAWN,
        seconds=10,
    ),
    # answers that are missing, wrong, somebody else's, or there twice
    _ends("wrong", "wrong@5", Outcome.WRONG),
    _ends("crossed", "crossed@5", Outcome.WRONG),
    _ends("error-20-percent", "error:1%20", Outcome.ERRORS),
    # Celery raises a prefork child's MemoryError again in the worker, which ends by it (celery/worker/request.py, on_failure)
    _ends("memory", "memory:300", Outcome.ERRORS, Outcome.CRASHED, settings={"limit_s": 70.0}),
    _ends("duplicate-reply", "duplicate-reply", Outcome.OK, duplicates=True),
    # loads that fail
    _ends("load-error", "load-error:1", Outcome.ERRORS),
    _ends("load-error-at-import", "load-error:1", Outcome.REFUSED, placement="import"),
    _ends("load-exit-at-import", "load-exit:7", Outcome.REFUSED, placement="import"),
    _ends("load-sleep-at-import", "load-sleep:60", Outcome.REFUSED, placement="import", seconds=10, settings=READY_SOON),
    # from outside
    _ends("broker-killed", "outside-broker-kill", Outcome.INVALID, settings=LONG),
    _ends("broker-restarted", "outside-broker-restart", Outcome.INVALID, settings=LONG),
    _ends("network-cut", "outside-cut", Outcome.STALLED, Outcome.INVALID, cause="broker-lost", seconds=15, settings=LONG),
    _ends("disk-full", "outside-disk-full", Outcome.INVALID, settings=LONG),
)


def cases(environment: str, pools: Iterable[str] = (), names: Iterable[str] = ()) -> list[Case]:
    """The entries of these names (all) in these pools (all). Raises NothingMatches for a name that there is not."""
    pools, names = list(pools), list(names)
    known = {entry.name: entry for entry in CATALOGUE}
    for wanted, there, what in ((pools, ALL, "pool"), (names, tuple(known), "fault")):
        for one in wanted:
            if one not in there:
                raise NothingMatches(f"no {what} {one!r}", remedy=f"use {', '.join(there)}")
    return [_case(known[name], pool, environment) for name in names or known for pool in pools or ALL]


def _case(entry: Entry, pool: str, environment: str) -> Case:
    cell = entry.cell(pool, environment)
    skip = entry.elsewhere if pool not in entry.pools else plan.why_skipped(cell)
    return Case(entry=entry, pool=pool, cell=cell, skip=skip)
