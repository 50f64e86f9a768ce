"""Truth test of `harness recommend`: what it prints, pasted into a shell, serves as fast as it says.

A run of a real backend in some pools, and the advice from it; the printed settings and code as a module, beside the model as
Keras itself saves it; and the printed line in a shell, whose worker finds the broker through Celery's own variables.
Celery's own client makes the messages, ours sends them, as many in flight as in the run. The middle of some such workers has
to lie where the advice says that one fresh worker does, and every answer has to be right. About five minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from celery import Celery
from celery.exceptions import TimeoutError as NoAnswer

from harness import environments, workloads
from harness.applications.probe.messages import template
from harness.applications.reproducer import archive
from harness.backends import cookbook
from harness.broker import valkey
from harness.certainty import intervals
from harness.client import opaque
from harness.decide.advise import candidates, in_words, pages, ranking
from harness.decide.advise.candidates import Candidate
from harness.environments import Environment
from harness.errors import HarnessError
from harness.experiment.experiment import Block, Experiment, Settings
from harness.experiment.traffic import parse
from harness.machine.processes import OwnedProcess
from harness.proof.instrument import rig
from harness.proof.instrument.finding import Finding
from harness.proof.instrument.rig import Rig
from harness.records.store import RunFolder
from harness.run import bundles, plan, workflow
from harness.run.bundles import Bundle
from harness.run.experiment_source import RunOrder
from harness.run.workflow import Silent
from harness.worker import contract

BACKEND = "tensorflow2"
POOLS = ("prefork", "threads", "solo")
SETTINGS = Settings(measure_s=3.0, requests=60, limit_s=90.0, noise_limit=100.0, repeat=5, controls=False)
WORKERS = 3
ROWS = 16
FIRST_LIMIT_S = 180.0  # until a worker has started, loaded the model and answered
APP, TASK, QUEUE = "proj", "proj.tasks.predict", "celery"  # the last is Celery's own default
HEAD = "import threading\n\nimport numpy\nfrom celery import Celery, signals\n\napp = Celery('proj')\n"


@dataclass(frozen=True, kw_only=True)
class Project:
    """A user's folder: what was printed in it, and the model. `line`: for a shell, with its variables."""

    folder: Path
    environment: Environment
    line: str
    bundle: Bundle


def served(folder: Path, backend: str = BACKEND) -> list[Finding]:
    """Measure, paste what is advised first, measure that."""
    best = _advised(folder / "run", backend)
    project = _written(best, folder / "project")
    rates, right = list[float](), True
    for number in range(WORKERS):
        with rig.opened(folder / f"pasted-{number}") as bench:
            messages = _messages(project, bench, best.cell.batch)
            with _worker(project, bench):
                rate, good = _measured(project, bench, best, messages)
        rates, right = [*rates, rate * best.cell.batch], right and good
    figure, (low, high) = intervals.middle(rates), best.fresh_worker
    inside = low is not None and high is not None and figure is not None and low <= figure <= high
    return [
        Finding(
            name="rows per second of a worker that was pasted from the recommendation", figure=figure,
            bound=f"{low:.4g} to {high:.4g}" if low is not None and high is not None else "none: the run has too few trials",
            passed=inside and right,
            note=f"{best.id}; {WORKERS} workers: {', '.join(f'{rate:.4g}' for rate in rates)}; "
            f"the run: {in_words.figures(best)}; {'all answers right' if right else 'answers WRONG or missing'}",
        )
    ]  # fmt: skip


def _advised(folder: Path, backend: str) -> Candidate:
    block = Block.model_validate({"backend": [backend], "pool": list(POOLS), "concurrency": [2], "placement": ["first-task"]})
    spec = Experiment(name="pasted", summary="what a recommendation rests on", settings=SETTINGS, cells=[block])
    workflow.run(RunOrder(experiment=spec, cells=plan.chosen_cells(spec, []), folder=folder, fresh=True), Silent())
    (advice,) = ranking.advise(candidates.read_all([folder], ()), ())
    if not advice.best:
        raise HarnessError(pages.headline(advice), evidence=str(RunFolder(folder).path))
    return advice.best[0]


def _written(best: Candidate, folder: Path) -> Project:
    """Put what is printed where a user would."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / APP).mkdir(parents=True)
    printed = dict(pages.blocks(best))
    (folder / APP / "__init__.py").touch()
    (folder / APP / "tasks.py").write_text("\n".join([HEAD, printed["Celery settings"], "", printed["Code"]]))
    environment = environments.prepare(best.cell.venv)
    bundle = bundles.write_bundles([best.cell.workload], folder / "bundles")[best.cell.workload]
    archive.save_model(best.cell, environment, bundle, folder / cookbook.of(best.cell.backend).model_file)
    return Project(folder=folder, environment=environment, line=printed["Command line"], bundle=bundle)


@contextmanager
def _worker(project: Project, bench: Rig) -> Iterator[None]:
    """The line in a shell, until the worker has answered once; then it is the body's."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    path = os.pathsep.join([str(project.environment.python.parent), os.environ.get("PATH", os.defpath)])
    variables = {**kept, "PATH": path, "CELERY_BROKER_URL": bench.url, "CELERY_RESULT_BACKEND": bench.url}
    log = bench.folder / "worker.log"
    with OwnedProcess(["/bin/sh", "-c", project.line], log=log, env=variables, cwd=project.folder):
        with _producer(bench) as app:
            result = app.send_task(TASK, args=[_rows(project, 0, 1)], queue=QUEUE, serializer="json")
            try:
                result.get(timeout=FIRST_LIMIT_S)
            except NoAnswer as error:
                raise HarnessError("the worker that was pasted has not answered", evidence=str(log)) from error
        yield


@contextmanager
def _producer(bench: Rig) -> Iterator[Celery]:
    with Celery("producer", broker=bench.url, backend=bench.url, set_as_current=False) as app:
        yield app


def _measured(project: Project, bench: Rig, best: Candidate, messages: Path) -> tuple[float, bool]:
    """(requests a second, whether every answer is right)."""
    cell = best.cell
    ran = bench.client(
        cell.traffic, measure_s=SETTINGS.measure_s, requests=SETTINGS.requests, in_flight=parse(cell.traffic).in_flight,
        queue=QUEUE, messages=messages, rows=ROWS,
    )  # fmt: skip
    lines = (bench.folder / f"client-{bench.runs}" / opaque.RESULTS).read_text().splitlines()
    answers = [json.loads(line) for line in lines]
    right = len(answers) == len(ran.columns["row"]) and all(
        _is_right(project.bundle, int(ran.columns["row"][one["number"]]), cell.batch, one["result"]) for one in answers
    )
    return ran.rate_per_s(), right


def _messages(project: Project, bench: Rig, batch: int) -> Path:
    """A file with what Celery's own client sends for each row; taken while there is no worker yet."""
    with _producer(bench) as app:
        for row in range(ROWS):
            app.send_task(TASK, args=[_rows(project, row, batch)], task_id=contract.PLACEHOLDER, queue=QUEUE, serializer="json")
        with valkey.client(bench.url) as connection:
            sent = valkey.taken(connection)[QUEUE]
        found = [template(message, made_s=time.time()).text for message in sent]
    path = bench.folder / "messages.json"
    path.write_text(json.dumps(found))
    return path


def _rows(project: Project, first: int, batch: int) -> list[object]:
    inputs = np.load(project.bundle.folder / "inputs.npy", allow_pickle=False)
    rows: list[object] = inputs[[(first + i) % len(inputs) for i in range(batch)]].tolist()
    return rows


def _is_right(bundle: Bundle, row: int, batch: int, answer: object) -> bool:
    reference = bundle.reference[[(row + i) % len(bundle.reference) for i in range(batch)]]
    rtol, atol = workloads.tolerance(bundle.dtype)
    given = np.asarray(answer, dtype=float)
    return given.shape == reference.shape and np.allclose(given, reference, rtol=rtol, atol=atol)
