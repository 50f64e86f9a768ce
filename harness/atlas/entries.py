"""Entries: how often trials of one kind ended how, and why, and where the records are. Plain data; `making` fills it in.

What makes a kind, and why
    A cell, with one or more than one in the place of its concurrency. The other fields stay, since they were seen to decide,
    all else equal (`results/grid`, `claims`, `incidents`): a prefetch of 1 stalls and one of 4 does not; one engine thread
    frees the call `direct` from a hang; so does a smaller model; and placement, call and parent decide most of all. The batch
    is half of the size: engines share out among threads only what is large enough, for some a model, for others a batch.
    The versions of what runs, by release (major.minor): the engine, Keras, Celery, the pool's own library, and Python. `harness
    bisect` found one minor release of Keras at which `ok` becomes `errors` (`results/bisect-keras`); no patch release was seen
    to change an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.experiment.matrix import Cell
from harness.records.outcomes import GRAVITY, Outcome

SEVERAL = 2  # the concurrency that stands for more than one
#: what speaks against a configuration, gravest first
BAD = GRAVITY[: GRAVITY.index(Outcome.STALLED) + 1]
GREEN = frozenset({"gevent", "eventlet"})  # installed in every environment, used by the pool of that name alone
BESIDE = frozenset({"kombu", "numpy"})  # come with Celery and with the engine
Releases = tuple[tuple[str, str], ...]  # (package, release), sorted


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What trials that ended ok took, on the machine of their run: medians over trials. `concurrency`: requests at once."""

    run: str
    concurrency: int
    trials: int
    throughput_per_s: float
    p50_s: float | None = None
    peak_pss_bytes: int | None = None  # of the worker and its children


@dataclass(frozen=True, kw_only=True)
class Entry:
    """All trials of one kind. `cell` stands for the kind, see `kind`; `outcomes` and `causes` are counts of trials.

    A cause is one of `judge.causes`, or, where requests raised, the class of most of their exceptions. `python`: the worker's
    release, '' if it is not on record. `days`: the first and the last on which trials began (ISO 8601, UTC). `runs`: the
    folders with the records. `evidence`: of a trial that failed, the gravest; '' if none did, or nothing of it is kept.
    """

    cell: Cell
    releases: Releases
    outcomes: Mapping[Outcome, int]
    causes: Mapping[str, int]
    python: str = ""
    days: tuple[str, str] = ("", "")
    runs: tuple[str, ...] = ()
    evidence: str = ""
    costs: tuple[Cost, ...] = ()

    @property
    def judged(self) -> int:
        return sum(self.outcomes.values())

    @property
    def ok(self) -> int:
        return self.outcomes.get(Outcome.OK, 0)


def kind(cell: Cell) -> Cell:
    """The cell that stands for all of its kind.

    >>> kind(Cell(backend="theano", environment="theano+celery==5.4.0", pool="threads", concurrency=4, batch=8)).id
    'theano-threads-c2-first-task-predict-b8'
    """
    return replace(cell, environment="", concurrency=min(cell.concurrency, SEVERAL))


def parts(cell: Cell) -> tuple[str, ...]:
    """The parts of a kind's id without the backend; 'c2+' where it stands for more than one."""
    _, pool, concurrency, *others = cell.fields
    return (pool, f"{concurrency}+" if cell.concurrency == SEVERAL else concurrency, *others)


def release(version: str) -> str:
    """
    >>> release("3.11.9"), release("")
    ('3.11', '')
    """
    return ".".join(version.split(".")[:2])


def releases(pool: str, versions: Mapping[str, str]) -> Releases:
    """What of the recorded versions decides, by release.

    >>> releases("gevent", {"keras": "2.3.1", "celery": "5.5.3", "kombu": "5.5.4", "gevent": "24.2.1", "eventlet": "0.39.1"})
    (('celery', '5.5'), ('gevent', '24.2'), ('keras', '2.3'))
    """
    deciding = versions.keys() - BESIDE - (GREEN - {pool})
    return tuple(sorted((name, release(versions[name])) for name in deciding))


def added(entries: list[Entry]) -> dict[Outcome, int]:
    """How the trials of all of them ended, the gravest first; outcomes that there were alone."""
    return {word: total for word in GRAVITY if (total := sum(one.outcomes.get(word, 0) for one in entries))}
