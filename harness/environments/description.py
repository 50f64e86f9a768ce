"""What an environment must be, as data: `harness/backends/locks/<name>.toml` and `<name>.txt`, read and checked.

Nothing is looked for or built here. Read by every other module of this package, and by whoever lists backends.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.environments import outside
from harness.errors import BadInput
from harness.places import LOCKS


class _Checked(BaseModel):
    """Unknown keys are refused: a misspelt one would change nothing, silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BlasLink(_Checked):
    """Which installed package brings the BLAS to compile against, and the module that proves it is used.

    `probe` runs in the environment and prints its measurements as one line of JSON.
    """

    package: str
    probe: str


class PipWheel(_Checked):
    """A wheel that the package index does not have, and that pip is asked for, however it is set up on this machine.

    `package` and `version`: exactly this one. `instead`: in words, what the index has in its place, and why that is not taken.
    """

    package: str
    version: str
    instead: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


class Description(_Checked):
    """One environment. `python`: acceptable minor versions, preferred first.

    `requires`: what the lock is compiled from. `calls`: the backend's ways to predict. `imports`: modules that must
    import once before the environment counts as built. `env`: variables for its workers; {directory}, {cache} and
    {blas} stand for the venv's folder, its compile cache and the folder with the BLAS. `needs`: programs on PATH, and
    "Python.h" for an interpreter with its C headers. `wheel`: comes on top of the lock, which has what it requires.
    """

    name: str
    summary: str
    python: tuple[str, ...] = Field(min_length=1)
    requires: tuple[str, ...] = Field(min_length=1)
    calls: tuple[str, ...] = Field(min_length=1)
    imports: tuple[str, ...] = Field(min_length=1)
    env: dict[str, str] = {}
    needs: tuple[str, ...] = ()
    compile_cache: bool = False
    blas: BlasLink | None = None
    wheel: PipWheel | None = None
    folder: Path = LOCKS
    seed: Path | None = None  # a variant's: the lock whose versions are kept where they fit
    outside: str = ""  # of a backend that is no part of this package: where its class is, FILE.py:Class

    @property
    def source(self) -> Path:
        return self.folder / f"{self.name}.toml"

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.name}.txt"

    @property
    def code(self) -> str:
        """A hash of the backend's file if it is from outside, else '': our own code is told apart by version."""
        file = Path(self.outside.rpartition(":")[0])
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if self.outside else ""


def descriptions() -> dict[str, Description]:
    """All environments, by name; those from outside last. Raises BadInput on a file that is not what it should be."""
    found = {path.stem: read(path) for path in sorted(LOCKS.glob("*.toml"))}
    for one in outside.all_named():
        if one.name in found:
            raise BadInput(f"the backend {one} is called like another one", remedy="give its file another name")
        found[one.name] = read(one.toml).model_copy(update={"outside": str(one)})
    return found


def read(path: Path) -> Description:
    """One checked toml file."""
    try:
        description = Description.model_validate({**tomllib.loads(path.read_text()), "folder": path.parent})
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise BadInput(f"{path.name} does not describe an environment: {reason}", evidence=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path.name} is not valid TOML: {error}", evidence=str(path)) from error
    if description.name != path.stem:
        raise BadInput(f"{path.name} calls itself {description.name!r}", evidence=str(path))
    return description
