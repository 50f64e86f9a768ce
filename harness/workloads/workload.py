"""What a workload is, and how it becomes a bundle, the folder that a worker reads (see `harness.backends.bundle`).

One module for each workload of ours says what it consists of; the user's own model is `user_model`'s business.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.backends import bundle
from harness.workloads import reference
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


def write(workload: Workload, directory: Path) -> None:
    """Write the bundle into `directory`; the same workload gives the same bytes, every time."""
    directory.mkdir(parents=True, exist_ok=True)
    weights, rows = workload.weights(), workload.rows()
    model = {
        "name": workload.name,
        "input_shape": list(workload.input_shape),
        "dtype": "float32",
        "layers": list(workload.spec),
    }
    (directory / bundle.MODEL).write_text(json.dumps(model, indent=1) + "\n")
    np.savez(directory / bundle.WEIGHTS, **{bundle.weight_name(i): w for i, w in enumerate(weights)})
    np.save(directory / bundle.INPUTS, rows)
    np.save(directory / bundle.REFERENCE, reference.forward(workload.spec, weights, rows))
    if workload.labels is not None:
        np.save(directory / bundle.LABELS, workload.labels())
