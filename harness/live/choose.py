"""Which workers `harness why` looks at: those that are named by process, by application or by name; all, if none is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.errors import NothingMatches
from harness.live import find, scripts
from harness.live.find import Worker
from harness.machine import containers, descriptors, procfs
from harness.texts import few

MOST_SAID = 5
MOST_BELOW = 16  # processes below one whose stacks are asked for


class Chosen(NamedTuple):
    """`notes`: what has to be said of how they were found, a line each; `named`: the main processes that a number stands for,
    and not for something above them: of these it has to be said if they are none, or have ended."""

    workers: list[Worker]
    notes: list[str]
    named: frozenset[int] = frozenset()


def chosen(pids: Sequence[int], app: str, hostname: str) -> Chosen:
    """By what their command lines say. Raises NothingMatches."""
    mains, notes, named = _named(pids) if pids else _all()
    known = [find.described(pid) for pid in dict.fromkeys(mains)]
    found = [one for one in known if is_of(one, app, hostname)]
    if found:
        return Chosen(found, notes, named)
    if not known:
        remedy = "; ".join([*notes, "name its process: harness why PID"])
        raise NothingMatches("no Celery worker was found on this machine", remedy=remedy)
    told = "; ".join(f"{one.main}: {one.app or 'no -A'}, {one.hostname or 'no -n'}" for one in known)
    raise NothingMatches(
        "no Celery worker's command line has this --app and --hostname",
        remedy=f"the workers that were found are {told}; an application that is set elsewhere is named by its process",
    )


def _named(pids: Iterable[int]) -> tuple[list[int], list[str], frozenset[int]]:
    """The main processes of these, or of those that run below them; a process of which neither is known stands for itself."""
    mains, notes, named = list[int](), list[str](), set[int]()
    for pid in pids:
        found = mains_of(pid)
        mains += found or [pid]
        if found and set(found) <= {stat.pid for stat in procfs.tree(pid)}:
            runs = "run workers" if len(found) > 1 else "runs worker"
            below = few([str(one) for one in found], MOST_SAID)
            notes.append(f"{descriptors.named(pid)} is no worker itself: below it {runs} {below}")
        else:
            named |= {*(found or [pid])}
    return mains, notes, frozenset(named)


def mains_of(pid: int) -> list[int]:
    """The main processes that a number may mean: that of the worker which the process belongs to, whoever has
    started it; else those that run below it, as below a shell, `timeout`, `tini`, supervisord or `uv run`."""
    above = find.main_of(pid) or scripts.main_of(pid)
    if above:
        return [above]
    below = [stat.pid for stat in procfs.tree(pid)]
    found = [main for one in below if (main := find.main_of(one))]
    return list(dict.fromkeys(found or [main for one in below[:MOST_BELOW] if (main := scripts.main_of(one))]))


def _all() -> tuple[list[int], list[str], frozenset[int]]:
    known = [one.main for one in find.workers()]
    more = scripts.found(known)
    notes = []
    if more.unasked:
        which = few([descriptors.named(pid) for pid in more.unasked], MOST_SAID)
        notes.append(f"not looked into: {which}, which may be workers that a script has started; 'harness why PID' looks")
    return sorted([*known, *more.mains]), notes, frozenset()


def hint(pid: int) -> str:
    """What helps if this process is no worker: a pidfile, a log or a `docker exec` names one by the number that it has in its
    container."""
    all_ = [stat.pid for worker in find.workers() for stat in worker.tree()]
    if found := containers.named_inside(pid, all_):
        here = few([str(one) for one in found])
        return f"in a container, process {pid} is what has the number {here} here: harness why {found[0]}"
    return "'harness why' finds the workers; of another user's it can as root"


def is_of(worker: Worker, app: str, hostname: str) -> bool:
    """Whether a worker is of this application and has this name, as far as they are given.

    >>> shop = Worker(main=7, app="shop.main:app", hostname="web@%h")
    >>> [is_of(shop, app, "") for app in ("shop.main:app", "shop.main", "shop", "main", "")]
    [True, True, True, False, True]
    >>> [is_of(shop, "", name) for name in ("web@%h", "web", "web@box", "we", "other")]
    [True, True, True, False, False]
    """
    return (not app or _starts(worker.app, app, ".:")) and (not hostname or _is_name(worker.hostname, hostname))


def _starts(whole: str, part: str, ends: str) -> bool:
    return whole == part or any(whole.startswith(f"{part}{end}") for end in ends)


def _is_name(given: str, asked: str) -> bool:
    """A command line has '%h' for the machine's name, '%n' and '%d' for its parts (celery/utils/nodenames.py)."""
    name, _, machine = given.partition("@")
    if given == asked or ("@" not in asked and name == asked):
        return bool(given)
    return asked.partition("@")[0] == name and bool(machine) and "%" in machine
