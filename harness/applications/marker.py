"""The words of the pytest marker `harness_app`, read into an order of one pool."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.applications.probe import command, pasted, worker_line
from harness.applications.probe import order as orders
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.worker_line import WorkerLine
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.run import options

NEEDED = ("app", "task", "args")
UNTOLD = ("", "python", "python3")  # any interpreter
OF_MIX = ("app", "mix")  # instead of these
#: the other words, and what they are if nothing is said
OTHERS: dict[str, Any] = {
    "pool": "", "concurrency": 0, "cwd": ".", "python": sys.executable, "env_file": "", "queue": "", "check": "",
    "tolerance": 1e-3, "traffic": "", "worker": "",
}  # fmt: skip
#: what they may be, if not a text
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "args": ((list, str, Path), "a list or a file"), "mix": ((str, Path), "a file"),
    "concurrency": ((int,), "a number of executors"), "tolerance": ((int, float), "a share"),
    **dict.fromkeys(("cwd", "python", "env_file"), ((str, Path), "a path")),
}  # fmt: skip


def read(words: Mapping[str, Any], folder: Path, root: Path) -> tuple[ProbeOrder, Cell]:
    """The order, and the cell that it is for, unless the settings say another one, see `probe.by_settings`. `folder`: where it
    runs; paths are relative to `root`. Raises BadInput."""
    settings = {name: value for name, value in words.items() if name in Settings.model_fields}
    known = checked({name: value for name, value in words.items() if name not in settings})
    line = worker_line.parse(known["worker"]) if known["worker"] else None
    order = command.read(
        app=known.get("app", ""), worker=known["worker"], task=known.get("task", ""),
        args=_rows(known["args"], root, folder) if "args" in known else None,
        mix=root / known["mix"] if "mix" in known else None, python=_python(words, line),
        env_file=root / known["env_file"] if known["env_file"] else None, cwd=_folder(words, line, root),
        pools=known["pool"] or (pasted.pool(known["worker"]) if line else "prefork"), one_pool=True,
        concurrency=str(known["concurrency"] or ""),
        queue=known["queue"], check=known["check"], tolerance=known["tolerance"], traffic=known["traffic"], fresh=False,
        retry="", out=folder, go_on=True, settings=options.settings(**{"controls": False, **settings}),
    )  # fmt: skip
    return order, the_cell(order)


def the_cell(order: ProbeOrder) -> Cell:
    """The one that it is for. Raises BadInput if it is for several."""
    real = [cell for cell in orders.cells(order) if not cell.is_baseline]
    if len(real) != 1:
        raise BadInput(
            f"the marker harness_app describes {len(real)} cells, not one", remedy="name one pool and one concurrency"
        )
    return real[0]


def _python(words: Mapping[str, Any], line: WorkerLine | None) -> str:
    """The marker's; else that of the line, if it names one; else pytest's own."""
    of_line = line is not None and line.python not in UNTOLD
    return str(words["python"]) if "python" in words else pasted.PYTHON if of_line else sys.executable


def _folder(words: Mapping[str, Any], line: WorkerLine | None, root: Path) -> Path:
    return root / (words["cwd"] if "cwd" in words else Path(line.folder).expanduser() if line else ".")


def checked(words: Mapping[str, Any]) -> dict[str, Any]:
    """The words, with what is usual for the others. Raises BadInput."""
    needed = [name for name in (OF_MIX if "mix" in words else NEEDED) if not (name == "app" and "worker" in words)]
    unknown, lacking = words.keys() - {*NEEDED, *OF_MIX, *OTHERS}, [name for name in needed if name not in words]
    if unknown or lacking:
        told = f"knows no {', '.join(sorted(unknown))}" if unknown else f"needs {', '.join(lacking)}"
        known = ", ".join((*NEEDED, *OTHERS))
        raise BadInput(f"the marker harness_app {told}", remedy=f"its words are {known}, mix for task and args, or settings")
    for name, value in words.items():
        kinds, what = KINDS.get(name, ((str,), "a text"))
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise BadInput(
                f"{name}={value!r} is not {what}", remedy='such as app="proj.tasks:app", args=[[1, 2]], concurrency=2'
            )
    return {**OTHERS, **words}


def _rows(args: Any, root: Path, folder: Path) -> Path:
    """The file of arguments: a marker may hold them itself. Raises BadInput."""
    if isinstance(args, str | Path):
        return root / args
    try:
        text = json.dumps(args)
    except (TypeError, ValueError) as error:
        raise BadInput(f"args cannot be written as JSON: {error}", remedy="texts, numbers, lists and objects can") from error
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.json"
    path.write_text(text)
    return path
