"""What the user names on the command line, read and checked."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from harness.applications.probe.differences import RTOL
from harness.applications.probe.worker_line import WorkerLine
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.experiment.mix import Mix
from harness.experiment.pools import POOLS
from harness.records.outcomes import Outcome
from harness.trial.application import BROKER_VARIABLES, script_of

URL = re.compile(r"\w[\w+.-]*://(?:[^/\s@]*@)?(?P<host>[\w.-]+(?::\d+)?)")
OF_TOOLS = re.compile(r"proxy$|^(pip|uv|npm|conda|cargo|git|ssh|go)", re.IGNORECASE)  # variables that no task asks
HERE = re.compile(r"(localhost|127\.[\d.]+|0\.0\.0\.0)(:|$)")
OURS = ("VIRTUAL_ENV", "PYTHONHOME")  # of the environment that the harness itself was started from
DEFAULT_REQUESTS = 50  # per pool, if a call is quick and no number was asked for
#: pools in the order in which each tells most beside those before it: the default, the usual one if a fork fails, …
MOST_FIRST = ("prefork", "threads", "prefork-spawn", "solo", "gevent", "eventlet")
EXAMPLE = 'such as [[1, 2], {"image": "cat.png"}]: one entry per request, a list of arguments or an object of named ones'
DOES_NOT_FIT = (
    'an entry of --args holds the arguments of one request: [1, 2] calls task(1, 2), {"image": 3} calls task(image=3), and a '
    "task that takes one object or one list is called by [{...}] or [[...]]; without --args it is called without arguments"
)


@dataclass(frozen=True, kw_only=True)
class ProbeOrder:
    """`folder`: where the application is started; `variables`: all that it is started with, of which `own` are those of
    `env_file`; `rows`: arguments of requests. `grid`: the cells, if they are others than each of `pools` with each of
    `concurrency`; `varied`: fields of a cell that the worker is told of, instead of what the application says, see `VARIED`.
    `requests`, `limit_s`, `budget_s`: None if not asked for; then `settings` hold unless the pace of a call says otherwise
    (`pace`). `task`: its name, or that of a mix in words, see `mix`."""

    app: str
    task: str
    rows: list[Any]
    python: Path
    folder: Path
    variables: Mapping[str, str]
    own: Mapping[str, str]
    env_file: Path | None
    settings: Settings
    out: Path
    pools: tuple[str, ...]
    concurrency: tuple[int, ...]
    traffic: str
    queue: str = ""
    check: str = ""
    tolerance: float = RTOL
    fresh: bool = False
    retry: frozenset[Outcome] = frozenset()
    grid: tuple[Cell, ...] = ()
    later: tuple[Cell, ...] = ()  # that the same budget is for, and that a search will measure after these
    further: tuple[Cell, ...] = ()  # likewise, more than once
    varied: tuple[str, ...] = ()
    requests: int | None = None
    limit_s: float | None = None
    budget_s: float | None = None
    args: Path | None = None  # the file that the rows are from; of a mix, its own
    mix: Mix | None = None  # of several tasks, whose rows these are
    max_calls: int | None = None  # of the task, in all
    go_on: bool = False  # run the pools though every serial call raised
    curve: bool = False  # measure the fastest pool with other numbers of executors, too
    first_look: Mapping[str, Any] = field(default_factory=dict)  # what `check` said, see `check.screen.as_json`
    line: WorkerLine | None = None  # the worker's own, as it was pasted
    pasted: tuple[str, ...] = ()  # what became of that line, a sentence each
    unsaid: frozenset[str] = frozenset()  # "pool", "concurrency", "traffic": what neither an option nor the line says
    one_pool: bool = False  # the verb runs no other one beside it
    patience_s: float | None = None  # that it gets to be imported and to send its task, if that is less than is usual
    origin: Path | None = None  # the user's own folder, if `folder` is a copy of it
    linked: tuple[str, ...] = ()  # what lies there only as a link, by path: a task that finds no model ends otherwise

    @property
    def home(self) -> Path:
        """The user's own folder."""
        return self.origin or self.folder

    @property
    def script(self) -> bool:
        """Whether workers are started by the script `celery`, as the pasted line does, and as can be done here."""
        return self.line is not None and self.line.script and script_of(self.python).is_file()

    @property
    def workload(self) -> str:
        """The name of the task, or of the mix, as a part of a cell's id."""
        return re.sub(r"[^A-Za-z0-9_.]", "_", self.mix.name if self.mix else self.task)

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.mix.tasks if self.mix else (self.task,)

    @property
    def of_rows(self) -> tuple[int, ...]:
        """The place of each row's task in `tasks`; empty if there is one."""
        return self.mix.of_rows if self.mix else ()

    def place_of(self, row: int) -> int:
        return self.of_rows[row] if self.mix else 0

    def row_name(self, row: int) -> str:
        """For words, counted from 1."""
        return self.mix.named(row) if self.mix else f"row {row + 1}"


def cells(order: ProbeOrder) -> list[Cell]:
    """The serial calls first, then each pool with each concurrency; within a budget, each concurrency with all pools."""
    real = list(order.grid) or [
        Cell(
            backend=OWN_APP, pool=pool, concurrency=concurrency, placement=AS_WRITTEN, call="task", workload=order.workload,
            traffic=order.traffic,
        )
        for pool in order.pools
        for concurrency in (order.concurrency if POOLS[pool].executors != "main" else (1,))
    ]  # fmt: skip
    if order.budget_s is not None:
        real.sort(key=lambda cell: 0 if cell.executors == "main" else order.concurrency.index(cell.concurrency))
    return [*dict.fromkeys(cell.baseline() for cell in real), *real]


def rows(path: Path | None) -> list[Any]:
    """The arguments in a JSON file; one request without any, if none is named. Raises BadInput."""
    if path is None:
        return [[]]
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        if str(path).lstrip().startswith(("[", "{")):
            raise BadInput(
                "--args takes the name of a file, and this is JSON", remedy="write it into a file: --args rows.json"
            ) from error
        raise BadInput(f"--args {path}: {error.strerror}", remedy=EXAMPLE) from error
    except ValueError as error:
        raise BadInput(f"--args {path} is not JSON: {error}", remedy=EXAMPLE) from error
    return checked_rows(found, f"--args {path}")


def checked_rows(found: Any, where: str) -> list[Any]:
    """The arguments, one entry per request. Raises BadInput, which names `where` they stand."""
    if not isinstance(found, list) or not found:
        raise BadInput(f"{where}: not a list with one entry or more", remedy=EXAMPLE)
    for number, row in enumerate(found, start=1):
        if not isinstance(row, list | dict):
            raise BadInput(f"{where}: row {number} is neither a list nor an object", remedy=EXAMPLE)
    return found


def own_variables(env_file: Path | None) -> dict[str, str]:
    """Those of the file. Raises BadInput."""
    if env_file is None:
        return {}
    if not env_file.is_file():
        what = "it is no file that can be read again" if env_file.exists() else "there is no such file"
        raise BadInput(f"--env-file {env_file}: {what}", remedy="a file with lines such as NAME=value")
    try:
        return {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    except UnicodeDecodeError as error:
        raise BadInput(f"--env-file {env_file} is not UTF-8: {error}", remedy="save it in UTF-8") from error
    except OSError as error:
        raise BadInput(f"--env-file {env_file}: {error.strerror}", remedy="a file that this user can read") from error


def variables(own: Mapping[str, str], python: Path) -> dict[str, str]:
    """This shell's variables, the application's own over them, and the interpreter's own programs first on PATH."""
    found = {name: value for name, value in os.environ.items() if name not in OURS and not name.startswith("HARNESS_")}
    found |= own
    return {**found, "PATH": os.pathsep.join([str(python.parent), found.get("PATH", os.defpath)])}


def hosts(variables: Mapping[str, str]) -> dict[str, str]:
    """Hosts elsewhere that variables name in a URL, each with the variable.

    >>> hosts({"DB": "postgres://me:pw@db.prod:5432/shop", "CELERY_BROKER_URL": "redis://mq/0", "CACHE": "redis://localhost/1"})
    {'db.prod:5432': 'DB'}
    """
    found: dict[str, str] = {}
    for name, value in sorted(variables.items()):
        host = URL.match(value)
        if host and name not in BROKER_VARIABLES and not OF_TOOLS.search(name) and not HERE.match(host["host"]):
            found.setdefault(host["host"], name)
    return found


def interpreter(named: str) -> Path:
    """The application's interpreter, as a path that is not resolved: a venv's python is a link. Raises BadInput."""
    found = shutil.which(named)
    if found is None:
        raise BadInput(f"--python {named}: no such program", remedy="name the application's own, such as venv/bin/python")
    return Path(found).absolute()


def expression(text: str) -> str:
    """The text of --check, if Python can read it. Raises BadInput."""
    try:
        compile(text, "--check", "eval")
    except (SyntaxError, ValueError) as error:
        raise BadInput(f"--check {text!r}: {error}", remedy="an expression such as 'len(result) == 10'") from error
    return text
