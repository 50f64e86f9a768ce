"""The user's own model as a workload: a bundle from a .keras or .h5 file.

Only Keras can read such a file, so the work is done by `harness.backends.model_reader` in the tensorflow2
environment; this module runs it and turns its complaints into ours. Called by the workflow.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.backends import bundle
from harness.errors import BadInput, MissingTool
from harness.machine import processes
from harness.workloads import indistinct_pairs

READER = "harness.backends.model_reader"
LIMIT_S = 900.0
LOG_LINES = 5


def write_user_bundle(
    python: Path, env: Mapping[str, str], model_file: Path, rows: Path | None, directory: Path, n: int = 64
) -> tuple[str, ...]:
    """Write the bundle of `model_file` into `directory`; returns doubts, a sentence each.

    `python` is the tensorflow2 environment's interpreter, `env` its whole environment, with a PYTHONPATH that leads to
    `harness`. Rows are the user's (.npy, one a row), else `n` seeded ones. Raises BadInput, MissingTool.
    """
    for file in (model_file, rows):
        if file is not None and not file.is_file():
            raise BadInput(f"there is no file {file}", remedy="Give the path of a saved model, or of rows in .npy.")
    if not python.is_file():
        raise MissingTool(f"there is no interpreter {python}", remedy="Set up the tensorflow2 environment.")
    command = [str(python), "-m", READER, str(model_file.resolve()), str(directory.resolve()), "--count", str(n)]
    if rows is not None:
        command += ["--rows", str(rows.resolve())]
    done = _run(command, env)
    if done.returncode != 0:
        raise _complaint(done)
    return tuple(_doubts(directory))


def _run(command: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return processes.run(command, env=env, limit_s=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        remedy = "Give fewer rows with --rows, or a smaller model."
        raise BadInput(f"reading the model took longer than {LIMIT_S:.0f} s", remedy=remedy) from error


def _complaint(done: subprocess.CompletedProcess[str]) -> BadInput:
    """What the reader says in its last line; if it died without a word of ours, the end of its log."""
    lines = done.stderr.strip().splitlines()
    try:
        said = json.loads(lines[-1])
        return BadInput(said["message"], remedy=said["remedy"])
    except (IndexError, KeyError, TypeError, ValueError):
        message = f"the model could not be read: the reader ended with exit code {done.returncode}"
        return BadInput(message, evidence="\n".join(lines[-LOG_LINES:]))


def _doubts(directory: Path) -> list[str]:
    model = json.loads((directory / bundle.MODEL).read_text())
    reference = np.load(directory / bundle.REFERENCE)
    doubts = []
    if model["layers"] is None:
        layer, reason = model["unsupported"], model["reason"]
        doubts.append(f"only backends that read Keras 3 files can serve this model; {layer}: {reason}")
    pairs = indistinct_pairs(reference, model["dtype"])
    if pairs:
        total = len(reference) * (len(reference) - 1) // 2
        doubts.append(
            f"{pairs} of {total} pairs of rows have answers too alike to tell apart: an answer given to the wrong "
            "request could pass for right. Give other rows with --rows, or leave out a final softmax"
        )
    return doubts
