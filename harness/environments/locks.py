"""Recompiling the locks: from the direct requirements in `<name>.toml` to every version and hash in `<name>.txt`.

For maintainers, through `python -m harness.environments lock`. No address of a package index gets into a lock.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.environments import uvtool
from harness.environments.description import Description

COMPILE_LIMIT_S = 900.0
HEADER = "# Made by `python -m harness.environments lock {name}` from {name}.toml; change that file instead.\n"


def compile_lock(description: Description, *, upgrade: bool = False) -> None:
    """Write the lock anew. Versions it already has are kept where they still fit, unless `upgrade`."""
    with tempfile.TemporaryDirectory() as scratch:
        source, result = Path(scratch, f"{description.name}.in"), Path(scratch, description.lock.name)
        source.write_text("".join(f"{line}\n" for line in description.requires))
        known = description.lock if description.lock.exists() else description.seed
        if known is not None and known.exists():
            shutil.copy(known, result)
        arguments = ["pip", "compile", "--generate-hashes", "--no-header", "--quiet", "--no-emit-index-url",
                     "--no-emit-find-links", "--python-version", description.python[0],
                     *(["--upgrade"] if upgrade else []), "--output-file", result.name, source.name]  # fmt: skip
        uvtool.run(arguments, cwd=Path(scratch), limit_s=COMPILE_LIMIT_S)
        text = result.read_text().replace(f"-r {source.name}", description.source.name)
    draft = description.lock.with_suffix(".new")
    draft.write_text(HEADER.format(name=description.name) + text)
    draft.replace(description.lock)
