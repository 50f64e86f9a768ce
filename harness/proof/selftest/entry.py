"""What an entry of the fault catalogue is, and the words in which the catalogue's parts are written. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.records.outcomes import Outcome

CHILDREN = ("prefork", "prefork-spawn")
GREEN = ("gevent", "eventlet")
ALL = tuple(POOLS)
NOT_SOLO = tuple(pool for pool in ALL if pool != "solo")
NOT_GREEN = tuple(pool for pool in ALL if pool not in GREEN)
NOT_EVENTLET = tuple(pool for pool in ALL if pool != "eventlet")
MAIN_THREAD = tuple(pool for pool in ALL if pool != "threads")

#: How long and how much: what is judged is how a trial ends, so it is short, and no machine is too noisy.
SETTINGS: Mapping[str, Any] = {
    "measure_s": 0.5, "requests": 20, "limit_s": 40.0, "ready_limit_s": 60.0, "warmup_limit_s": 60.0,
    "stable_limit_s": 0.1, "confirm_s": 3.0, "noise_limit": 100.0, "controls": False,
}  # fmt: skip
LONG = {"measure_s": 2.0}  # the fault strikes in the measured phase
READY_SOON = {"ready_limit_s": 6.0}
SOON_OVER = {"limit_s": 20.0}  # what is not proved takes until then
PATIENT = {"limit_s": 90.0}  # what ends by itself has time for it, three times over; few settings make few runs

NO_CHILDREN = "only prefork's children are forked, and lose the threads of their parent"
NO_HUB = "only green pools have a hub that all requests share"
ONE_EXECUTOR = "solo has one executor, which cannot hang in part"
NO_INIT = "worker_process_init fires in prefork and solo alone"
NO_RESPAWN = "only prefork replaces its processes"
NO_SHARING = "no two requests run in one process, so none takes a lock of the other"
NO_SECOND_READING = "only a spawned child reads the application a second time"
NO_IMPORT_LOCK = "to the import lock, which eventlet leaves as it is, all greenlets are one thread: none waits for another"
NO_HANDLER = "Python lets the main thread alone handle signals, and no request runs there"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One fault. `elsewhere`: why it cannot exist in the pools that are not named. `accepted_in`: what is true in a pool where
    it is something else than in the others. `cause`: that the record is to name, '' where none is looked at; `cause_in`: in a
    pool where it shows as another one. `hung`: (k, n),
    executors that hang of those there are, in the pools of `counted_in`. `slow`: it ends by itself, so `hung` would be false.
    `doubt`: the name of the doubt that the record is to raise, of `measure.silent`; no other of these may be raised.
    `provable`: the kernel shows that no progress can come, so `waiting` is too little to say, but for green pools. `outside`:
    what would end it is another process's or nobody's to say, so `waiting` is all that is promised. `deadlock`: the time to
    its verdict counts for the thresholds. `seconds`: what a trial takes, about. `settings`: other ones than SETTINGS."""

    name: str
    fault: str
    accepted: frozenset[Outcome]
    accepted_in: Mapping[str, frozenset[Outcome]] = field(default_factory=dict)
    cause: str = ""
    cause_in: Mapping[str, str] = field(default_factory=dict)
    pools: tuple[str, ...] = ALL
    elsewhere: str = ""
    concurrency: int = 2  # 1 in solo
    placement: str = "first-task"
    traffic: str = "closed-4"
    hung: tuple[int, int] | None = None
    counted_in: tuple[str, ...] = ()
    doubt: str = ""
    duplicates: bool = False  # the record counts answers that came twice
    slow: bool = False
    provable: bool = False
    outside: bool = False
    deadlock: bool = False
    seconds: float = 6.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def cell(self, pool: str, environment: str) -> Cell:
        return Cell(
            backend="faulty", environment=environment, pool=pool, concurrency=1 if pool == "solo" else self.concurrency,
            placement=self.placement, traffic=self.traffic, fault=self.fault,
        )  # fmt: skip

    def true_in(self, pool: str) -> frozenset[Outcome]:
        """What may be said of it in this pool."""
        return self.accepted_in.get(pool, self.accepted)

    def named_in(self, pool: str) -> str:
        """The cause that the record is to name in this pool; '' where none is looked at."""
        return self.cause_in.get(pool, self.cause)

    def hangs_in(self, pool: str) -> bool:
        """Whether it is a true hang there: no progress can come, and no other process is asked for it."""
        return Outcome.HUNG in self.true_in(pool) and not self.outside


@dataclass(frozen=True, kw_only=True)
class Case:
    """An entry in a pool. `skip` says why it cannot exist there, '' where it can."""

    entry: Entry
    pool: str
    cell: Cell
    skip: str = ""


def hangs(name: str, fault: str, **more: Any) -> Entry:
    """A true hang that is to be proved in every pool."""
    return Entry(name=name, fault=fault, accepted=frozenset({Outcome.HUNG}), **{"provable": True, **more})


def stands(name: str, fault: str, *, provable: bool = True, **more: Any) -> Entry:
    """A true hang; where it cannot be proved, `waiting` is true of it, too."""
    accepted = frozenset({Outcome.HUNG, Outcome.WAITING})
    limits = {} if provable else {"seconds": 25.0, "settings": SOON_OVER}
    return Entry(name=name, fault=fault, accepted=accepted, provable=provable, **{**limits, **more})


def computes(name: str, fault: str, **more: Any) -> Entry:
    """A true hang that computes on: cut off before it is proved, it is slow as far as anybody can say."""
    return Entry(name=name, fault=fault, accepted=frozenset({Outcome.HUNG, Outcome.WAITING, Outcome.SLOW}), **more)


def slow(name: str, fault: str, seconds: float, **more: Any) -> Entry:
    """What ends by itself: answered in the end, or cut off while it still may."""
    accepted = frozenset({Outcome.OK, Outcome.SLOW})
    return Entry(name=name, fault=fault, accepted=accepted, slow=True, seconds=seconds + 5, settings=PATIENT, **more)


def ends(name: str, fault: str, *accepted: Outcome, **more: Any) -> Entry:
    """Everything else, with all that is true of it."""
    return Entry(name=name, fault=fault, accepted=frozenset(accepted), **more)
