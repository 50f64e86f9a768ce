"""Cells: one combination of all dimensions, its id, how patterns select it, and why some combinations cannot exist.

Everything here is plain data and pure functions; nothing is started. The id names a cell in the command line, in
folders, logs and tables.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from harness.experiment import brokers
from harness.experiment.pools import IN_PROCESS, POOLS

CONTROLS = ("null", "faulty")  # run in the environment of the backend beside which they stand
PLACEMENTS = ("import", "import-predict", "task-init", "process-init", "first-task", "each-thread", "each-task")
CALLS = (
    "predict", "predict_on_batch", "direct", "graph", "graph-session", "run", "run-no-spin", "run-parallel", "plain",
    "one-thread", "data-loader", "joblib", "joblib-threads", "process-pool",
)  # fmt: skip
OWN_APP, AS_WRITTEN = "app", "as-written"  # backend and placement of somebody's own application
PARENT_DEEDS = ("nothing", "import", "build", "load", "predict")
AUTO, ONE_THREAD = "auto", "1x1"
#: fields that came later than records on disk, and their defaults, in which case nothing is said of them
CAME_LATER: Mapping[str, str] = {"variables": "", "broker": brokers.VALKEY, "result_backend": ""}
NOT_IN_ID = re.compile(r"[^A-Za-z0-9_.=]+")  # of a cell's variables: a dash would begin another part of its id
FAULT = re.compile(
    r"(?P<kind>[a-z-]+)(:(?P<value>\d+(\.\d+)?))?(@(?P<after>\d+))?(x(?P<times>\d+))?"
    r"(%(?P<percent>\d+(\.\d+)?))?(\+(?P<every>\d+))?"
)


@dataclass(frozen=True, kw_only=True, order=True)
class Cell:
    """One combination. The fields from `parent` on stand in the id only where they differ from these defaults."""

    backend: str
    environment: str = ""  # whose venv it runs in; '' means the backend's own
    pool: str
    concurrency: int = 1
    placement: str = "first-task"
    call: str = "predict"
    parent: str = "nothing"  # what the main process did at import with a model of its own, see `harness.worker.app`
    workload: str = "digits-cnn"
    batch: int = 1
    engine_threads: str = AUTO  # 'auto' (the library's own choice) or 'INTRAxINTER', such as '1x1'
    prefetch: int = 4  # Celery's own default multiplier
    traffic: str = "closed-4"
    compile_cache: str = "warm"  # or 'cold': an empty one for each trial
    start_window_s: float = 0.0  # worker_proc_alive_timeout; 0: raised out of the way
    max_tasks: int = 0  # worker_max_tasks_per_child: a child is replaced after so many; 0: never
    fault: str = ""  # what the faulty backend does, see FAULT
    broker: str = brokers.VALKEY  # see `brokers.BROKERS`
    result_backend: str = ""  # 'redis' or 'rpc', see there; '': what the broker has by default
    variables: str = ""  # of somebody's own application, that this cell has beside its owner's: 'A=1 B=two', see `variables_of`

    @property
    def venv(self) -> str:
        return self.environment or self.backend

    @property
    def fields(self) -> tuple[str, ...]:
        """The id's parts, in order; the parts themselves may hold dashes."""
        backend = self.backend if not self.environment else f"{self.backend}@{self.environment}"
        parts = [backend, self.pool, f"c{self.concurrency}", self.placement, self.call]
        optional = (
            (self.parent, "nothing", "parent-{}"),
            (self.workload, "digits-cnn", "{}"),
            (self.batch, 1, "b{}"),
            (self.engine_threads, AUTO, "t{}"),
            (self.prefetch, 4, "p{}"),
            (self.traffic, "closed-4", "{}"),
            (self.compile_cache, "warm", "{}"),
            (self.start_window_s, 0.0, "w{:g}"),
            (self.max_tasks, 0, "m{}"),
            (self.fault.replace(":", "="), "", "{}"),
            (self.broker, brokers.VALKEY, "{}"),
            (self.result_backend, "", "results-{}"),
            (NOT_IN_ID.sub("_", self.variables), "", "{}"),
        )
        return (*parts, *(form.format(value) for value, default, form in optional if value != default))

    @property
    def id(self) -> str:
        return "-".join(self.fields)

    @property
    def is_baseline(self) -> bool:
        return self.pool == IN_PROCESS

    @property
    def executors(self) -> str:
        """What runs requests, see `pools.Pool`; a baseline is a process that calls itself, or several."""
        if self.is_baseline:
            return "main" if self.concurrency == 1 else "processes"
        return POOLS[self.pool].executors

    @property
    def is_control(self) -> bool:
        return self.backend in CONTROLS

    @property
    def is_asked_first(self) -> bool:
        """Whether it is what people do before they know better, and ask about: a parent that has loaded the model is forked."""
        loaded = self.placement in ("import", "import-predict") or self.parent in ("load", "predict")
        return self.pool == "prefork" and loaded and not self.is_control

    def null_control(self) -> Cell:
        """The same pool, environment and traffic, with nothing computed."""
        return replace(
            self, backend="null", environment=self.venv, placement="first-task", call="predict", parent="nothing",
            engine_threads=AUTO, compile_cache="warm", start_window_s=0.0, fault="",
        )  # fmt: skip

    def baseline(self) -> Cell:
        """The same model and call in one process, without Celery."""
        own = self.placement == AS_WRITTEN
        return replace(
            self, pool=IN_PROCESS, concurrency=1, parent="nothing", traffic="single",
            placement=AS_WRITTEN if own else "import", engine_threads=AUTO if own else self.engine_threads,
            prefetch=4, start_window_s=0.0, compile_cache="warm", max_tasks=0, variables="",
            broker=brokers.VALKEY, result_backend="",
        )  # fmt: skip

    def sibling(self) -> Cell:
        """The same, with one thread for each native library."""
        return replace(self, engine_threads=ONE_THREAD)

    @property
    def plain(self) -> Cell | None:
        """Whose sibling this cell of somebody's own application is; None for any other cell."""
        own = self.backend == OWN_APP and self.engine_threads == ONE_THREAD
        return replace(self, engine_threads=AUTO) if own else None

    def ceilings(self, cores: int) -> tuple[Cell, ...]:
        """The in-process cells whose fastest is the most that so many cores do of this model and call, see `efficiency`."""
        one = self.baseline()
        several = (replace(one, concurrency=processes, engine_threads=ONE_THREAD) for processes in (cores, 2 * cores))
        return tuple(dict.fromkeys((one, replace(one, engine_threads=AUTO), *several)))

    def as_dict(self) -> dict[str, Any]:
        """What stands in records, and makes a plan another one: fields that came later only if they say something."""
        known = dict(vars(self))  # all values are plain; asdict copies each, which is felt in tables of 10 000 cells
        return {name: value for name, value in known.items() if value != CAME_LATER.get(name)}


def expand(blocks: Iterable[Mapping[str, Sequence[Any]]]) -> list[Cell]:
    """All combinations of each block's values, in order, each cell once."""
    found: dict[Cell, None] = {}
    for block in blocks:
        for values in itertools.product(*block.values()):
            cell = Cell(**dict(zip(block.keys(), values, strict=True)))
            by_default = cell.result_backend == brokers.RESULTS.get(cell.broker)
            found[replace(cell, result_backend="") if by_default else cell] = None
    return list(found)


def with_controls(cells: Iterable[Cell], *, cores: int) -> list[Cell]:
    """The cells, in groups of the same work, each after the baselines and null controls that it is read beside.

    What people ask first comes first, after its own baseline alone: how it ends is the answer, and its figures, if it has any,
    can wait for their controls. A machine drifts: what all baselines did at the beginning of a long run says little of the
    cells at its end. `cores`: that may be used, rounded up.
    """
    found: dict[Cell, None] = {}
    for group in by_work(cells):
        real = [cell for cell in group if not cell.is_control and not cell.is_baseline]
        ceilings = [beside for cell in real for beside in cell.ceilings(cores)]
        found |= dict.fromkeys([*asked_first(real), *ceilings, *(cell.null_control() for cell in real), *group])
    return list(found)


def asked_first(cells: Iterable[Cell]) -> list[Cell]:
    """Of these, what people ask first, each after its baseline, which tells how long a request takes and whether it waits."""
    return [each for cell in cells if cell.is_asked_first for each in (cell.baseline(), cell)]


def by_work(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells in groups of the same model, call and batch in the same environment; cells and groups keep their order."""
    groups: dict[Cell, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(work(cell), []).append(cell)
    return list(groups.values())


def work(cell: Cell) -> Cell:
    """What cells of the same model, call and batch in the same environment have in common."""
    return replace(cell.baseline(), engine_threads=AUTO)


def matches(cell: Cell, pattern: str) -> bool:
    """Whether a pattern selects a cell.

    A pattern is compared part by part, not character by character: `*` standing alone is one or more whole parts, so
    that `tensorflow2-prefork-*-import-*` selects neither the pool `prefork-spawn` nor the placement `import-predict`.
    Inside a part, `*`, `?` and `[…]` are those of fnmatch. A pattern that ends early selects all that begins so.

    >>> matches(Cell(backend="theano", pool="prefork-spawn"), "theano-prefork-*")
    False
    >>> matches(Cell(backend="theano", pool="prefork-spawn"), "*-prefork-spawn-c1")
    True
    """
    return _matches(cell.fields, tuple(pattern.split("-")))


def _matches(fields: tuple[str, ...], tokens: tuple[str, ...]) -> bool:
    if not tokens:
        return True
    if not fields:
        return False
    if tokens[0] == "*":
        return any(_matches(fields[n:], tokens[1:]) for n in range(1, len(fields) + 1))
    size = fields[0].count("-") + 1
    if fields[0] == "-".join(tokens[:size]) and _matches(fields[1:], tokens[size:]):
        return True
    return fnmatchcase(fields[0], tokens[0]) and _matches(fields[1:], tokens[1:])


def select(cells: Iterable[Cell], patterns: Sequence[str]) -> list[Cell]:
    """The cells that at least one pattern selects; all of them where there is no pattern."""
    return [cell for cell in cells if not patterns or any(matches(cell, pattern) for pattern in patterns)]


def pattern_like(cells: Sequence[Cell], patterns: Sequence[str]) -> str:
    """A pattern that selects one of the cells, for somebody whose own ones select none: by the pool of one whose id they would
    match as plain text, else by that of the first.

    >>> pattern_like([Cell(backend="theano", pool="prefork"), Cell(backend="theano", pool="threads")], ["*threads*"])
    '*-threads-*'
    """
    like = [cell for cell in cells if any(fnmatchcase(cell.id, f"*{pattern.strip('*')}*") for pattern in patterns)]
    return f"*-{(like or cells)[0].pool}-*"


def impossible(cell: Cell, *, calls: Sequence[str], celery: tuple[int, int], compile_cache: bool) -> str | None:
    """Why this combination cannot exist, or None. `calls`, `celery` and `compile_cache` describe its backend."""
    if cell.call not in calls:
        return f"{cell.backend} has no call {cell.call!r}; it has {', '.join(calls)}"
    if cell.compile_cache == "cold" and not compile_cache:
        return f"{cell.backend} compiles nothing, so it has no cold compile cache"
    if cell.is_baseline:
        return None
    if cell.parent != "nothing" and cell.is_control:
        return f"{cell.backend} computes nothing, so its parent has nothing to compute either"
    if cell.max_tasks and POOLS[cell.pool].executors != "processes":
        return f"{cell.pool} has no child processes to replace"
    if reason := brokers.refuses(cell.broker, cell.result_backend, celery):
        return reason
    return POOLS[cell.pool].refuses(concurrency=cell.concurrency, placement=cell.placement, celery=celery)


def engine_threads(text: str) -> tuple[int | None, int | None]:
    """'2x1' -> (2, 1); 'auto' -> (None, None)."""
    if text == AUTO:
        return None, None
    intra, _, inter = text.partition("x")
    return int(intra), int(inter)


def variables_of(text: str) -> dict[str, str]:
    """Those of a cell, by name; quoted as for a shell.

    >>> variables_of("OMP_NUM_THREADS=1 LD_PRELOAD='/usr/lib/a b.so'")
    {'OMP_NUM_THREADS': '1', 'LD_PRELOAD': '/usr/lib/a b.so'}
    """
    return dict(word.split("=", 1) for word in shlex.split(text))


def fault_options(text: str) -> dict[str, Any]:
    """What a fault says: kind[:value][@after][xTIMES][%PERCENT][+EVERY], see `harness.backends.faulty`.

    >>> fault_options("sleep:2.5@10x1")
    {'kind': 'sleep', 'value': 2.5, 'after': 10, 'times': 1}
    """
    found = FAULT.fullmatch(text)
    if not text or found is None:
        return {}
    kinds: dict[str, Callable[[str], Any]] = {
        "kind": str, "value": float, "after": int, "times": int, "percent": float, "every": int
    }  # fmt: skip
    return {name: kinds[name](value) for name, value in found.groupdict().items() if value is not None}
