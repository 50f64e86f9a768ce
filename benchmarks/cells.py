"""What all suites share: an experiment is run once a commit, and every benchmark reads a figure of one cell from it.

asv draws what is smaller as better, so every figure is a cost: seconds, bytes, rates of failure. A cell that did not end
well has no pace (NaN, a gap in the graph); that it did not is a value of its own, the *outcome code*, which never blocks
another cell. Reasons and evidence stay in the run's folder, whose place is printed.
"""

import json
import math
import os
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: 0 is best. Graphs that were published are read by these numbers: none changes, and a later outcome gets a later one.
OUTCOME_CODES = {
    "ok": 0, "skipped": 1, "invalid": 2, "slow": 3, "refused": 4, "stalled": 5, "errors": 6, "respawning": 7, "wrong": 8,
    "crashed": 9, "hung": 10, "waiting": 12, "unchecked": 13,  # published numbers stay: a later word has a later one
}  # fmt: skip
MISSING = 11  # the run left no row for the cell
RUN_LIMIT_S = 3 * 3600


def experiment(name):
    """The suite's experiment (TOML) as a dict, in the versions that asv asks for."""
    spec = tomllib.loads((HERE / f"{name}.toml").read_text())
    if variant := os.environ.get("HARNESS_VARIANT", ""):
        for block in spec["cells"]:
            block["environment"] = [f"{where}+{variant}" for where in block.get("environment") or block["backend"]]
    return spec


def labels(name):
    """The suite's cells as asv's parameter: their ids, whatever the versions."""
    found = []
    for block in tomllib.loads((HERE / f"{name}.toml").read_text())["cells"]:
        found += [
            label(backend, pool, concurrency, placement)
            for backend in block["backend"]
            for pool in block["pool"]
            for concurrency in block.get("concurrency", [1])
            for placement in block.get("placement", ["first-task"])
        ]
    return found


def label(backend, pool, concurrency, placement):
    return f"{backend} {pool} c{concurrency} {placement}"


def measured(name):
    """Run the suite's experiment; {label: its row of cells.csv}. A run that fails leaves what it measured, or nothing."""
    folder = Path(tempfile.mkdtemp(prefix="harness-asv-"))
    path = folder / f"{name}.toml"
    path.write_text(_toml(experiment(name)))
    argv = [sys.executable, "-m", "harness.cli", "run", str(path), "--out", str(folder / "run")]
    print(f"{name}: records and evidence in {folder / 'run'}", flush=True)
    code, log = _owned(argv, folder)
    if code:
        print(f"{name}: harness run ended with {code}:\n{log.read_text()[-2000:]}", flush=True)
    return rows(folder / "run" / "cells.csv")


def _owned(argv, folder):
    """(exit code, log) of a program that ends when asv ends, whatever way that is: with this process, or with its parent."""
    from harness.machine.processes import OwnedProcess

    asv, until = os.getppid(), time.monotonic() + RUN_LIMIT_S
    with OwnedProcess(argv, log=folder / "log", env=os.environ, cwd=folder) as process:
        while process.wait(0.5) is None and time.monotonic() < until:
            if os.getppid() != asv:
                sys.exit("asv is gone")
    return process.exit_code, process.log


def rows(table):
    import pandas

    if not Path(table).exists():
        return {}
    read = pandas.read_csv(table, keep_default_na=False, na_values=[""]).to_dict("records")  # "null" is a backend here
    return {label(row["backend"], row["pool"], row["concurrency"], row["placement"]): row for row in read}


def _toml(spec):
    lines = [f"{key} = {json.dumps(spec[key])}" for key in ("name", "summary")]
    lines += ["[settings]", *(f"{key} = {json.dumps(value)}" for key, value in spec["settings"].items())]
    for block in spec["cells"]:
        lines += ["[[cells]]", *(f"{key} = {json.dumps(value)}" for key, value in block.items())]
    return "\n".join(lines) + "\n"


PACES = ("throughput_per_s", "latency_p50_s", "latency_p95_s", "cpu_s_per_request")


def figure(row, column, factor=1.0, inverse=False):
    """A cost from a row; NaN where the cell has none, or where it is of trials none of which ended ok."""
    value = row.get(column)
    if column in PACES and "ok:" not in str(row.get("outcomes", "")):
        return math.nan
    if value is None or not isinstance(value, (int, float)) or math.isnan(value) or (inverse and value == 0):
        return math.nan
    return factor / value if inverse else factor * value
