"""One block on one host, as Dask calls it there: a process of its own under a keeper, its records told as they end.

The process ends with the agent, with the scheduler and with whoever asked for the block: this thread looks once a second
whether it is still wanted. Everything crosses as plain values: an order comes, a dictionary with the archive's bytes goes.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import __version__
from harness.errors import Exit
from harness.machine import identity
from harness.machine.processes import OwnedProcess
from harness.records.store import RECORDS
from harness.run.hosts import calibration
from harness.run.one_trial import CELL_FILE

LOOK_EVERY_S = 1.0
KEPT_OUTPUT = 4000  # characters of what the run has printed
NOT_KEPT = ("scratch", ".lock")
NO_RUN, NOT_WANTED = -1, -2  # in place of an exit code: no run was begun, or it was not to go on

Wanted = Callable[[], bool]
Tell = Callable[[Mapping[str, Any]], None]


def on_host(order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a block where Dask has put it; see `carried_out`."""
    from distributed import get_worker

    worker = get_worker()
    key, name = worker.get_current_task(), str(worker.name)

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return worker.status.name in ("running", "paused") and task is not None and task.state != "cancelled"

    def tell(what: Mapping[str, Any]) -> None:
        worker.log_event(order["topic"], {"block": order["block"], "host": name, **what})

    facts = {"machine": identity.facts(), "idle_share": worker.idle_share}
    return {**carried_out(order, wanted, tell), "host": name, "facts": facts}


def carried_out(order: Mapping[str, Any], wanted: Wanted, tell: Tell) -> dict[str, Any]:
    """Run it; `code` (the run's exit code), `output` (its last words) and `archive` (of its folder, b'' if it left none).

    `order`: version, block, words (of the command `run`), files (name -> bytes, beside the run), topic, calibrate.
    """
    if order["version"] != __version__:
        return _none(NO_RUN, f"version {__version__} is installed here, and {order['version']} asks")
    tell({"begun": True})
    with tempfile.TemporaryDirectory(prefix="harness-block-") as path:
        folder = Path(path)
        for name, data in order["files"].items():
            (folder / Path(name).name).write_bytes(data)
        run, seen = folder / "run", Seen(folder / "run", tell)
        first = _calibrated(folder, "first", wanted) if order["calibrate"] else {}
        code = _command(order["words"], run, wanted, seen.look)
        if code is None:
            return _none(NOT_WANTED, "it was not wanted any longer")
        if order["calibrate"] and run.is_dir():
            told = {"first": first, "last": _calibrated(folder, "last", wanted)}
            (run / calibration.FILE).write_text(json.dumps(told))
        return {"code": code, "output": _said(run), "archive": packed(run)}


def _command(words: Sequence[str], run: Path, wanted: Wanted, look: Callable[[], None]) -> int | None:
    """The exit code of `harness run` with these words and this folder; None if it was not wanted any longer, and ended."""
    argv = [sys.executable, "-m", "harness.cli", "run", *words, "--out", str(run)]
    with OwnedProcess(argv, log=_log(run), env=os.environ, cwd=run.parent, scratch=str(run.parent)) as process:
        while (code := process.wait(LOOK_EVERY_S)) is None:
            look()
            if not wanted():
                return None
        look()
    return code


def _calibrated(folder: Path, when: str, wanted: Wanted) -> dict[str, Any]:
    """The calibration cell, measured now; {} if it did not end well."""
    (folder / calibration.NAME).write_text(calibration.EXPERIMENT)
    run = folder / f"calibration-{when}"
    code = _command([calibration.NAME], run, wanted, lambda: None)
    return calibration.measured(run) if code == Exit.DONE else {}


def _log(run: Path) -> Path:
    return run.with_name(f"{run.name}.log")


def _said(run: Path) -> str:
    return _log(run).read_text(errors="replace")[-KEPT_OUTPUT:] if _log(run).exists() else ""


def _none(code: int, why: str) -> dict[str, Any]:
    return {"code": code, "output": why, "archive": b""}


class Seen:
    """What has been told of a run's folder: the lines of its records, and the cells that are under way."""

    def __init__(self, run: Path, tell: Tell) -> None:
        self._run, self._tell = run, tell
        self._read = 0
        self._cells = list[str]()

    def look(self) -> None:
        """Tell what is new; cells first, for a record ends one."""
        cells = sorted(filter(None, map(_text, self._run.glob(f"scratch/trial-*/{CELL_FILE}"))))
        if cells != self._cells:
            self._cells = cells
            self._tell({"cells": cells})
        path = self._run / RECORDS
        if path.exists() and path.stat().st_size > self._read:
            with open(path, "rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
            self._read += len(whole + end)
            for line in whole.splitlines():
                self._tell({"line": line.decode(errors="replace")})


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # the trial has just ended


def packed(run: Path) -> bytes:
    """A run's folder as a compressed archive; b'' if there is none."""
    if not run.is_dir():
        return b""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=6) as archive:
        for path in sorted(run.rglob("*")):
            way = path.relative_to(run)
            if way.parts[0] not in NOT_KEPT and path.is_file() and not path.is_symlink():
                archive.add(path, arcname=str(way), recursive=False)
    return target.getvalue()
