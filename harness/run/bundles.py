"""Workloads made ready for workers: written into a folder once, and told apart by what is in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import workloads
from harness.records.answers import Floats

USER_WORKLOAD = "user-model"  # the name of whatever model the user brings


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A workload made ready for workers: its folder, its reference answers, and a hash of what is in it."""

    folder: Path
    reference: Floats
    dtype: str
    fingerprint: str

    @property
    def rows(self) -> int:
        return len(self.reference)


def write_bundles(names: Iterable[str], folder: Path) -> dict[str, Bundle]:
    """Write the named workloads into `folder`."""
    found = {}
    for name in dict.fromkeys(names):
        path = folder / name
        workloads.write_bundle(name, path)
        found[name] = bundle(path)
    return found


def bundle(path: Path) -> Bundle:
    """A written bundle."""
    digest = hashlib.sha256()
    for name in ("model.json", "weights.npz", "inputs.npy", "reference.npy"):
        if (path / name).exists():
            digest.update(_content(path / name))
    reference = np.load(path / "reference.npy", allow_pickle=False)
    model = json.loads((path / "model.json").read_text())
    return Bundle(
        folder=path,
        reference=reference.reshape(len(reference), -1),
        dtype=model["dtype"],
        fingerprint=digest.hexdigest()[:16],
    )


def _content(path: Path) -> bytes:
    """Bytes that depend on the content alone: a .npz is a zip file, which holds the time of its making."""
    if path.suffix != ".npz":
        return path.read_bytes()
    with np.load(path, allow_pickle=False) as data:
        return b"".join(name.encode() + data[name].tobytes() for name in sorted(data.files))
