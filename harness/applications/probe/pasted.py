"""What a pasted worker's line puts in the place of the options that were not given. Pure, but for `~`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.applications.probe import worker_line
from harness.applications.probe.worker_line import CALLED, WorkerLine
from harness.errors import BadInput
from harness.experiment.pools import POOLS

PYTHON, CONCURRENCY, TRAFFIC = "python", "2", "closed-4"  # if neither an option nor a line says otherwise

MOST_PROCESSES = (
    64  # that are started without being asked for: a gevent worker of 1,000 executors is not to bring 1,000 processes
)
MANY = 8  # processes: more of them may be too many for a machine on which so many greenlets are none


@dataclass(frozen=True, kw_only=True)
class Given:
    """Options of the verb, as they were given; '' if they were not. `python` and `cwd`: as typer has them then."""

    app: str = ""
    python: str = PYTHON
    cwd: Path = Path()
    pools: str = ""
    concurrency: str = ""
    traffic: str = ""
    one_pool: bool = False  # the verb runs no other one beside it

    @property
    def whole(self) -> Given:
        """With what is usual. Raises BadInput if no application is named."""
        if not self.app:
            raise BadInput(
                "no application is named", remedy="--app proj.tasks:app, or your worker's own line: --worker 'celery …'"
            )
        return replace(self, concurrency=self.concurrency or CONCURRENCY, traffic=self.traffic or TRAFFIC)


def read(worker: str, given: Given) -> tuple[WorkerLine | None, Given]:
    """(the line, the options with what it says); (None, the options) for ''. Raises BadInput."""
    if not worker:
        return None, given
    line = worker_line.parse(worker)
    return line, completed(given, line, os.cpu_count() or 1)


def pool(worker: str) -> str:
    """The pool that a pasted line names, of those that we know; '' if it names none. Raises BadInput."""
    line = worker_line.parse(worker) if worker else None
    return line.pool if line and line.names_pool else ""


def pool_that_wins(line: WorkerLine | None) -> str:
    """The line's pool where it wins over the settings: `-P prefork` does not, being Celery's default; '' if it does not."""
    return line.pool if line and line.names_pool and line.pool != "prefork" else ""


def completed(given: Given, line: WorkerLine, cores: int) -> Given:
    """The options, and what the line says beside them; `cores`: of this machine, which Celery starts as many executors as."""
    cwd = Path(line.folder).expanduser() if line.folder and given.cwd == Path() else given.cwd
    python = given.python if given.python != PYTHON or not line.python else line.python
    if python is line.python and "/" in python:
        python = str(_placed(python, line.folder, cwd))
    count = given.concurrency or str(line.concurrency or cores)
    most = max((int(each) for each in count.split(",") if each.isdecimal()), default=0)
    return replace(
        given, app=given.app or line.app, python=python, cwd=cwd, concurrency=count,
        traffic=given.traffic or traffic((most,)),
    )  # fmt: skip


def _placed(python: str, folder: str, cwd: Path) -> Path:
    """An interpreter's path, which the line tells from where it begins; `folder`: where it goes, `cwd`: where that is."""
    path = Path(python).expanduser()
    if not folder:
        return Path(cwd, path)
    return Path(cwd, Path(python).relative_to(folder)) if Path(python).is_relative_to(folder) else path.absolute()


def traffic(concurrency: Sequence[int]) -> str:
    """As many requests in flight as there are executors, four at the least."""
    return f"closed-{max(4, *concurrency)}"


def unsaid(line: WorkerLine, given: Given) -> frozenset[str]:
    """What the application's settings say of the worker, see `by_settings`."""
    open_ = {
        "pool": not (given.pools or line.names_pool), "concurrency": not (given.concurrency or line.concurrency),
        "traffic": not given.traffic,
    }  # fmt: skip
    return frozenset(name for name, is_open in open_.items() if is_open)


def tried(pools: tuple[str, ...], line: WorkerLine, concurrency: Sequence[int]) -> tuple[str, ...]:
    """All pools, the line's before the others; none with so many processes that nobody has asked for."""
    many = _too_many(line, max(concurrency, default=0))
    kept = [pool for pool in pools if not (many and POOLS[pool].executors == "processes")]
    return tuple(sorted(kept, key=lambda pool: pool != line.pool))


def _too_many(line: WorkerLine, count: int) -> bool:
    return count > MOST_PROCESSES and _beside(line)


def _beside(line: WorkerLine) -> bool:
    """Whether processes are no more than a pool to compare with."""
    return line.pool in POOLS and POOLS[line.pool].executors != "processes"


def said(line: WorkerLine, given: Given, whole: Given, searched: Mapping[str, str] | None = None) -> list[str]:
    """What became of the line; `given`: the options as they were, `whole`: as they are; `searched`: options that a
    search says itself, and how."""
    lines = [f"worker line: {', '.join([whole.app, *_of_worker(line, given, whole, search=searched is not None)])}"]
    called = [f"{name} {value}" for name, value in line.options.items() if name in CALLED]
    of_search = {name: how for name, how in (searched or {}).items() if name in line.options}
    if kept := [*called, *line.without(*of_search).arguments]:
        lines.append(f"worker line: kept in each pool: {' '.join(kept)}")
    if line.assigned:
        lines.append(f"worker line: variables of it: {', '.join(line.assigned)}")
    unfilled = [name for name, value in line.assigned.items() if "$" in value]
    lines += [f"worker line: {name} holds a $, which no shell fills in here: it is taken as it stands" for name in unfilled]
    lines += [f"worker line: {name} {line.options[name]} {how}" for name, how in of_search.items()]
    lines += [f"worker line: {each}" for each in line.left_out]
    most = max((int(each) for each in whole.concurrency.split(",") if each.isdecimal()), default=0)
    if not given.pools and _too_many(line, most):
        lines.append(f"worker line: pools of processes are left out, for they would start {most}: --pools prefork runs one")
    elif not given.pools and _beside(line) and most > MANY:
        lines.append(f"worker line: prefork gets {most} processes, each with memory of its own: --pools leaves it out")
    return lines


def of_check(line: WorkerLine) -> list[str]:
    """What became of it in a check, which starts no worker: it takes the application, where that is, the pool and variables."""
    left, others = list[str](), list[str]()
    for each in line.left_out:
        name, is_left, _ = each.partition(" is left out")
        (left if is_left else others).append(name)
    words = line.without("--include").arguments
    count = [f"--concurrency {line.concurrency}"] if line.concurrency else []
    told = ", ".join([*count, *filter(None, [" ".join(words)]), *left])
    return [
        f"worker line: {each}" for each in [*others, *([f"left out, for a check starts no worker: {told}"] if told else [])]
    ]


def _of_worker(line: WorkerLine, given: Given, whole: Given, *, search: bool) -> list[str]:
    """The pool, the number of executors and the traffic, as far as they are known before the application is asked."""
    open_ = unsaid(line, given)
    pool = "the pool of its settings" if "pool" in open_ else line.pool
    others = "" if given.one_pool else " first and the other pools beside it"
    pools = [] if given.pools else [f"{pool}{others}" if pool and not search else "all pools"]
    alone = whole.pools == "solo" or whole.concurrency == "1"
    if "concurrency" in open_ and whole.pools != "solo":
        return [*pools, "as many executors as its settings say, or as this machine has cores"]
    return [*pools, f"{'1 executor' if alone else f'{whole.concurrency} executors'}; requests are sent as {whole.traffic}"]
