"""Put an archive together: script, application, model, rows, lock file, variables, record and evidence of one cell."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness import environments, workloads
from harness.applications.reproducer import application
from harness.backends import cookbook
from harness.environments import Environment
from harness.errors import BadInput, HarnessError
from harness.experiment.matrix import OWN_APP, Cell, engine_threads
from harness.experiment.pools import POOLS
from harness.experiment.traffic import parse
from harness.records import evidence
from harness.records.outcomes import NOT_JUDGED
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import bundles
from harness.run.bundles import Bundle
from harness.summary.summary import gravest
from harness.texts import portable

SCRIPTS = ("reproduce.py", "message_files.py")
SAVE_LIMIT_S = 180.0
LEAST_PATIENCE_S, PATIENCE = 20.0, 5.0  # a hang is called one after so long, or so many times a first predict
ROWS = 64


def chosen(folder: Path, cell_id: str) -> list[TrialRecord]:
    """The cell's trials. Raises BadInput where there is none, or none that an archive could stand for."""
    records = [record for record in RunFolder(folder).current().values() if record.cell_id == cell_id]
    if not records:
        raise BadInput(f"{folder} has no cell {cell_id!r}", remedy=f"'harness show {folder}' prints its cells")
    cell = records[0].as_cell
    if cell.is_control or cell.is_baseline or cell.backend == OWN_APP:
        what = "somebody's own application" if cell.backend == OWN_APP else "no worker of a real backend"
        raise BadInput(f"{cell_id} is {what}", remedy="an archive is made of a real cell of one of the backends")
    if importlib.util.find_spec(f"{cookbook.__name__}.{cell.backend}") is None:
        raise BadInput(f"{cell.backend} is no backend of this package", remedy="an archive is made of a cell of one of those")
    if gravest(records).outcome in NOT_JUDGED:
        raise BadInput(f"{cell_id} was not run: {gravest(records).reason}", remedy="name a cell that was")
    return records


def make(folder: Path, cell_id: str, out: Path) -> Path:
    """Write the archive (.tar.gz); its path. Raises BadInput or HarnessError."""
    records = chosen(folder, cell_id)
    worst, cell = gravest(records), records[0].as_cell
    environment = environments.prepare(cell.venv)
    bundle = _bundle(folder, cell)
    place = out.with_name(out.name.removesuffix(".tar.gz"))
    if place.exists():
        raise BadInput(f"{place} is in the way", remedy="move it, or name another --out")
    place.mkdir(parents=True)
    try:
        _fill(place, folder, cell, worst, records, environment, bundle)
        with tarfile.open(out, "w:gz") as archive:
            archive.add(place, arcname=place.name)
    finally:
        shutil.rmtree(place)
    return out


def _bundle(folder: Path, cell: Cell) -> Bundle:
    if cell.workload == bundles.USER_WORKLOAD:
        return bundles.bundle(folder / "model")
    if cell.workload not in workloads.NAMES:
        raise BadInput(f"the workload {cell.workload} is not known", remedy="it may come from another version of the harness")
    return bundles.write_bundles([cell.workload], bundles.home())[cell.workload]


def _fill(
    place: Path,
    folder: Path,
    cell: Cell,
    worst: TrialRecord,
    records: Sequence[TrialRecord],
    environment: Environment,
    bundle: Bundle,
) -> None:
    save_model(cell, environment, bundle, place / cookbook.of(cell.backend).model_file)
    for name in SCRIPTS:
        shutil.copy(Path(__file__).with_name(name), place / name)
    (place / "particulars.py").write_text(application.PARTICULARS)
    (place / "tasks.py").write_text(application.tasks(cell))
    np.save(place / "inputs.npy", np.load(bundle.folder / "inputs.npy", allow_pickle=False)[:ROWS])
    (place / "cell.json").write_text(json.dumps(_told(cell, worst, bundle), indent=2) + "\n")
    (place / "requirements.txt").write_text(environments.described(cell.venv).lock.read_text())
    (place / "environment.json").write_text(portable(json.dumps(dict(environment.variables), indent=2)) + "\n")
    (place / "record.json").write_text("\n".join(record.model_dump_json(indent=2) for record in records) + "\n")
    (place / "README.md").write_text(_readme(cell, worst, environment))
    for record in records:
        named = evidence.folder_of(record.ended.evidence)
        for path, data in evidence.files(folder, named).items() if named else ():
            target = place / "evidence" / Path(named).name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def save_model(cell: Cell, environment: Environment, bundle: Bundle, out: Path) -> None:
    """Write a bundle's model as the backend's own library saves it. Raises HarnessError."""
    argv = ["-m", "harness.backends.save", cell.backend, bundle.folder, environment.cache_dir, out.resolve()]
    ran = subprocess.run(
        [str(environment.python), *map(str, argv)], env=environments.worker_variables(environment), capture_output=True,
        text=True, timeout=SAVE_LIMIT_S, check=False,
    )  # fmt: skip
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["no word"])[-1]
        raise HarnessError(f"{cell.backend} could not save the model: {last}")


def _told(cell: Cell, worst: TrialRecord, bundle: Bundle) -> dict[str, Any]:
    """What reproduce.py reads."""
    reference = bundle.reference[:ROWS]
    rows = [
        reference[[(row + i) % len(reference) for i in range(cell.batch)]].ravel().tolist() for row in range(len(reference))
    ]
    rtol, atol = workloads.tolerance(bundle.dtype)
    book, (intra, inter) = cookbook.of(cell.backend), engine_threads(cell.engine_threads)
    return {
        "cell": cell.id,
        "pool_arguments": POOLS[cell.pool].command(cell.concurrency),
        "variables": {**book.quiet, **book.variables(intra, inter)},
        "in_flight": parse(cell.traffic).in_flight or 2 * cell.concurrency,
        "rows": len(rows),
        "reference": rows,
        "rtol": rtol,
        "atol": atol,
        "patience_s": max(LEAST_PATIENCE_S, PATIENCE * (worst.pace.first_predict_s or 0.0)),
        "outcome": worst.outcome.value,
        "reason": worst.reason,
    }


def _readme(cell: Cell, worst: TrialRecord, environment: Environment) -> str:
    versions = "\n".join(f"* {name} {version}" for name, version in sorted(worst.asked.versions.items()))
    wheel = environments.described(cell.venv).wheel
    more = f"\nvenv/bin/pip install --no-deps {wheel.requirement}  # tell pip where it is" if wheel else ""
    cause = (
        f"\nLikely cause: **{worst.ended.cause}**\n\n" + "\n".join(f"* {line}" for line in worst.ended.support) + "\n"
        if worst.ended.cause
        else ""
    )
    stalls = (
        "\nA queue that stalls does so with a real broker: give `--broker redis://…`.\n" if worst.outcome == "stalled" else ""
    )
    return f"""# `{cell.id}`: {worst.outcome}

{worst.reason}
{cause}
With Python {environment.interpreter_version} and

{versions}

## Run it

```sh
python{".".join(environment.interpreter_version.split(".")[:2])} -m venv venv
venv/bin/pip install --requirement requirements.txt{more}
venv/bin/python reproduce.py
```

It starts the worker of `tasks.py`, sends it requests, and prints how they ended; exit 0 if that is `{worst.outcome}` again. No
server is needed: messages go through files. `--broker redis://…` uses a server, as the measurement did.
{stalls}
## What is here

* `tasks.py`, `particulars.py`: the Celery application; `reproduce.py`: starts it and asks it, through `message_files.py`
* the model as its library saved it, `inputs.npy`, and in `cell.json` the answers that are right
* `requirements.txt`: the exact environment, with hashes; `environment.json`: its variables (folders are named, not given)
* `record.json`: all that was measured; `evidence`: stacks, threads, logs
"""
