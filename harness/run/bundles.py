"""Workloads made ready for workers: written into a folder once, and told apart by what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from harness import places, workloads
from harness.records.answers import Floats

USER_WORKLOAD = "user-model"  # the name of whatever model the user brings
STAMP = "made-of"  # a file in a bundle: what made it, and what it then was


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


def home() -> Path:
    """Where runs share the bundles of our own workloads."""
    return places.home() / "bundles"


def write_bundles(names: Iterable[str], folder: Path) -> dict[str, Bundle]:
    """Write the named workloads into `folder`, but for those that stand there, whole and made by the same code: to work out the
    right answers of the largest takes 10 s of CPU. Two runs that start at once share the folder: one of them writes."""
    found = {}
    for name in dict.fromkeys(names):
        path = folder / name
        if not stands(path):
            with places.only_writer(path):
                if not stands(path):  # the other one has just written it
                    _write(name, path)
        found[name] = bundle(path)
    return found


def _write(name: str, path: Path) -> None:
    (path / STAMP).unlink(missing_ok=True)
    workloads.write_bundle(name, path)
    (path / STAMP).write_text(f"{code()} {digest(path)}")


def stands(path: Path) -> bool:
    """Whether the same code has made this bundle, and nothing of it has changed since."""
    with contextlib.suppress(OSError):
        return (path / STAMP).read_text() == f"{code()} {digest(path)}"
    return False


def digest(path: Path) -> str:
    """A hash of all files of a bundle, but for the stamp."""
    files = sorted(file for file in path.iterdir() if file.name != STAMP)
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


@cache
def code() -> str:
    """A hash of all that decides what is in a bundle: our code and data, and what computes with them."""
    found = hashlib.sha256(f"{np.__version__} {platform.python_version()} {platform.machine()}".encode())
    package = places.PACKAGE / "workloads"
    for file in sorted([*package.glob("*.py"), *package.glob("data/*"), places.PACKAGE / "backends" / "bundle.py"]):
        found.update(file.read_bytes())
    return found.hexdigest()


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
