"""Which workers `harness why` looks at: those that are named by process, by application or by name; all, if none is."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import NothingMatches
from harness.live import find
from harness.live.find import Worker
from harness.machine import containers
from harness.texts import few


def chosen(pids: Sequence[int], app: str, hostname: str) -> list[Worker]:
    """By what their command lines say. Raises NothingMatches."""
    mains = dict.fromkeys(find.main_of(pid) or pid for pid in pids)
    known = [find.described(pid) for pid in mains] if mains else find.workers()
    found = [one for one in known if is_of(one, app, hostname)]
    if found:
        return found
    if not known:
        raise NothingMatches("no Celery worker was found on this machine", remedy="name its process: harness why PID")
    told = "; ".join(f"{one.main}: {one.app or 'no -A'}, {one.hostname or 'no -n'}" for one in known)
    raise NothingMatches(
        "no Celery worker's command line has this --app and --hostname",
        remedy=f"the workers that were found are {told}; an application that is set elsewhere is named by its process",
    )


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
