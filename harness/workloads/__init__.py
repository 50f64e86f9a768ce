"""The workloads: models as data (architecture and weights), their inputs, and the right answers.

One module for each, named like the workload; `write_bundle` writes what a worker needs of it into a folder. A user's
own model comes in through `user_model`. Driver side, NumPy only: no Keras is needed to know what is right.
"""

import importlib
from pathlib import Path

from harness.errors import BadInput
from harness.workloads.tolerances import indistinct_pairs, tolerance
from harness.workloads.workload import Workload, write

NAMES = (
    "tiny-dense", "digits-cnn", "digits-mlp", "lstm", "convnet-large", "digits-trees", "digits-trees-xgboost"
)  # fmt: skip

__all__ = ["NAMES", "Workload", "get", "indistinct_pairs", "tolerance", "write_bundle"]


def get(name: str) -> Workload:
    """The workload called `name`. Raises BadInput."""
    if name not in NAMES:
        raise BadInput(f"no workload is called {name!r}", remedy=f"Choose one of {', '.join(NAMES)}.")
    workload = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").WORKLOAD
    assert isinstance(workload, Workload)
    return workload


def write_bundle(name: str, directory: Path) -> None:
    """Write the bundle of the workload called `name`; the same name gives the same bytes, every time."""
    write(get(name), directory)
