"""From records to entries: how often trials of one kind ended how, and why. Pure.

What makes a kind, and why
    A cell, without its batch, and with one or more than one in the place of its concurrency. The other fields stay, since
    they were seen to decide, all else equal (`results/grid`, `claims`, `incidents`): a prefetch of 1 stalls and one of 4 does
    not; one engine thread frees the call `direct` from a hang; so does a smaller model; and placement, call and parent decide
    most of all.
    The versions of what runs, by release (major.minor): the engine, Keras, Celery, and the pool's own library. `harness
    bisect` found one minor release of Keras at which `ok` becomes `errors` (`results/bisect-keras`); no patch release was seen
    to change an outcome. A record does not hold its Python; a backend's lock allows but one minor version of it.

What counts
    Trials of real cells that could be judged. Controls, baselines and somebody's own application are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from harness.experiment.matrix import OWN_APP, Cell
from harness.records.outcomes import NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.summary.summary import GRAVITY

SEVERAL = 2  # the concurrency that stands for more than one
#: what speaks against a configuration, gravest first
BAD = GRAVITY[: GRAVITY.index(Outcome.STALLED) + 1]
GREEN = frozenset({"gevent", "eventlet"})  # installed in every environment, used by the pool of that name alone
BESIDE = frozenset({"kombu", "numpy"})  # come with Celery and with the engine
Releases = tuple[tuple[str, str], ...]  # (package, release), sorted


@dataclass(frozen=True, kw_only=True)
class Entry:
    """All trials of one kind. `cell` stands for the kind, see `kind`; `outcomes` and `causes` are counts of trials.

    A cause is one of `judge.causes`, or, where requests raised, the class of most of their exceptions.
    """

    cell: Cell
    releases: Releases
    outcomes: Mapping[Outcome, int]
    causes: Mapping[str, int]

    @property
    def judged(self) -> int:
        return sum(self.outcomes.values())


def kind(cell: Cell) -> Cell:
    """The cell that stands for all of its kind.

    >>> kind(Cell(backend="theano", environment="theano+celery==5.4.0", pool="threads", concurrency=4, batch=8)).id
    'theano-threads-c2-first-task-predict'
    """
    return replace(cell, environment="", concurrency=min(cell.concurrency, SEVERAL), batch=1)


def releases(pool: str, versions: Mapping[str, str]) -> Releases:
    """What of the recorded versions decides, by release.

    >>> releases("gevent", {"keras": "2.3.1", "celery": "5.5.3", "kombu": "5.5.4", "gevent": "24.2.1", "eventlet": "0.39.1"})
    (('celery', '5.5'), ('gevent', '24.2'), ('keras', '2.3'))
    """
    deciding = versions.keys() - BESIDE - (GREEN - {pool})
    return tuple(sorted((name, ".".join(versions[name].split(".")[:2])) for name in deciding))


def build(records: Iterable[TrialRecord]) -> list[Entry]:
    """The entries of these records, sorted by cell and releases."""
    groups: dict[tuple[Cell, Releases], list[TrialRecord]] = {}
    for record in records:
        if counts(record):
            cell = record.as_cell
            groups.setdefault((kind(cell), releases(cell.pool, record.asked.versions)), []).append(record)
    return [_entry(*key, groups[key]) for key in sorted(groups)]


def counts(record: TrialRecord) -> bool:
    """Whether the trial says something of a real configuration."""
    cell = record.as_cell
    beside = cell.is_control or cell.is_baseline or cell.backend == OWN_APP
    return not beside and record.outcome not in NOT_JUDGED


def _entry(cell: Cell, known: Releases, trials: Iterable[TrialRecord]) -> Entry:
    found = list(trials)
    causes = Counter(cause for record in found if (cause := _cause(record)))
    return Entry(cell=cell, releases=known, outcomes=Counter(record.outcome for record in found), causes=causes)


def _cause(record: TrialRecord) -> str:
    if record.outcome not in BAD:
        return ""
    if record.outcome is not Outcome.ERRORS or not record.answers.errors:
        return record.ended.cause
    return max(record.answers.errors.items(), key=lambda item: (item[1], item[0]))[0].partition(":")[0].strip()
