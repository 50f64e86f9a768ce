"""Backends that are no part of this package: a file with a class, and beside it a toml file that says what it needs.

They are named `FILE.py:Class`: by `--backend`, by the variable HARNESS_BACKENDS (several, as words of a shell), or by an entry
point of an installed package, in the group `keras_celery_harness.backends`. Their code is read here and never imported: only
their own interpreter does that, see `harness.backends.get`. Called by `description`.
"""

from __future__ import annotations

import ast
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from harness.errors import BadInput

VARIABLE = "HARNESS_BACKENDS"
GROUP = "keras_celery_harness.backends"
HOW = "name it as FILE.py:Class, such as engines/mine.py:Backend"


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A class in a file. The backend is called as the file is."""

    file: Path
    cls: str

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def toml(self) -> Path:
        return self.file.with_suffix(".toml")

    def __str__(self) -> str:
        return f"{self.file}:{self.cls}"


def use(references: list[str]) -> None:
    """Make these known to this process and to those that it starts, beside those that are. Raises BadInput."""
    named = [str(read(reference)) for reference in references]
    known = shlex.split(os.environ.get(VARIABLE, ""))
    os.environ[VARIABLE] = shlex.join(dict.fromkeys([*known, *named]))


def all_named() -> list[Outside]:
    """Every one that is named, each once. Raises BadInput."""
    named = [read(reference) for reference in shlex.split(os.environ.get(VARIABLE, ""))]
    return list(dict.fromkeys([*named, *_entry_points()]))


def read(reference: str) -> Outside:
    """One reference, held against the files. Raises BadInput."""
    path, colon, cls = reference.rpartition(":")
    if not colon or not path.endswith(".py") or not cls.isidentifier():
        raise BadInput(f"{reference!r} names no backend", remedy=HOW)
    found = Outside(file=Path(path).expanduser().resolve(), cls=cls)
    for file in (found.file, found.toml):
        if not file.is_file():
            raise BadInput(
                f"the backend {reference} has no file {file}", remedy="docs/how-to/engine-from-outside.md says what it needs"
            )
    try:
        tree = ast.parse(found.file.read_text())
    except (SyntaxError, ValueError) as error:
        raise BadInput(f"{found.file} is no Python: {error}", remedy="mend it, and try again") from error
    if cls not in [node.name for node in tree.body if isinstance(node, ast.ClassDef)]:
        raise BadInput(f"{found.file} has no class {cls}", remedy=HOW)
    return found


def _entry_points() -> Iterator[Outside]:
    """Those of installed packages, found without an import of theirs."""
    for point in metadata.entry_points(group=GROUP):
        file = _file_of(point)
        if file is None:
            raise BadInput(
                f"the entry point {point.name} = {point.value} of {GROUP} leads to no file",
                remedy="repair or uninstall its package",
            )
        yield read(f"{file}:{point.attr}")


def _file_of(point: metadata.EntryPoint) -> Path | None:
    parts = point.module.split(".")
    candidates = []
    if point.dist is not None:
        candidates.append(Path(str(point.dist.locate_file("/".join(parts) + ".py"))))
    spec = util.find_spec(parts[0])  # of a package on the path: that of its first name is found without running it
    if spec is not None and spec.origin:
        top = Path(spec.origin)
        candidates.append(top if len(parts) == 1 else top.parent.joinpath(*parts[1:]).with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)
