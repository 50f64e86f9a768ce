"""What a workload is, and how it becomes a bundle, the folder that a worker reads (see `harness.backends.bundle`).

One module for each workload of ours says what it consists of; the user's own model is `user_model`'s business.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.backends import bundle
from harness.workloads import onnx_file, reference
from harness.workloads.digits import Labels, Rows
from harness.workloads.initial_weights import Weights
from harness.workloads.layers import Layer, Shape


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model and its input. `weights`, `rows` and `labels` make their arrays when called: some are large."""

    name: str
    summary: str
    spec: tuple[Layer, ...]
    input_shape: Shape
    weights: Callable[[], Weights]  # in get_weights() order
    rows: Callable[[], Rows]  # (n, *input_shape)
    labels: Callable[[], Labels] | None = None  # (n,), where the model is trained
    files: Mapping[str, Path] = field(default_factory=dict)  # name in the bundle -> what the engine that trained it wrote


def write(workload: Workload, directory: Path) -> None:
    """Write the bundle into `directory`; the same workload gives the same bytes, every time."""
    directory.mkdir(parents=True, exist_ok=True)
    weights, rows = workload.weights(), workload.rows()
    answers = reference.forward(workload.spec, weights, rows)
    named: dict[str, Any] = {bundle.weight_name(i): weight for i, weight in enumerate(weights)}
    _write_bytes(directory / bundle.MODEL, _model_json(workload))
    _write(directory / bundle.WEIGHTS, lambda file: np.savez(file, **named))
    onnx = onnx_file.encode(workload.spec, weights, workload.input_shape, answers.shape[1])
    _write_bytes(directory / bundle.ONNX, onnx)
    _write(directory / bundle.INPUTS, lambda file: np.save(file, rows))
    _write(directory / bundle.REFERENCE, lambda file: np.save(file, answers))
    if workload.labels is not None:
        labels = workload.labels()
        _write(directory / bundle.LABELS, lambda file: np.save(file, labels))
    for name, path in workload.files.items():
        _write_bytes(directory / name, path.read_bytes())


def _model_json(workload: Workload) -> bytes:
    model = {
        "name": workload.name,
        "input_shape": list(workload.input_shape),
        "dtype": "float32",
        "layers": list(workload.spec),
    }
    return json.dumps(model, indent=1).encode() + b"\n"


def _write_bytes(path: Path, data: bytes) -> None:
    _write(path, lambda file: file.write(data))


def _write(path: Path, save: Callable[[IO[bytes]], object]) -> None:
    """All or nothing: a worker of another run may be reading the file that is there."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        save(file)
    os.replace(file.name, path)
