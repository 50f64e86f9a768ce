"""What hosts are asked for: the blocks of an experiment, each as the words of a command and the files that it needs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import __version__
from harness.errors import BadInput
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import Cell
from harness.run import shards
from harness.run.shards import Shard


@dataclass(frozen=True, kw_only=True)
class Block:
    """`name` stays the same from one command to the next as long as the same is asked for; `cells`: without controls; `what`:
    the name that all copies share."""

    name: str
    shard: Shard
    cells: tuple[str, ...]
    what: str = ""


@dataclass(frozen=True, kw_only=True)
class HostOrder:
    """`words`: of the command `run` on a host, but for the block; `files`: name -> content, put beside it there. `where`: how
    hosts are reached, as `--on` says it. `retry`: outcomes whose blocks are run again."""

    experiment: Experiment
    cells: Sequence[Cell]
    folder: Path
    words: Sequence[str]
    where: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    fresh: bool = False
    retry: frozenset[str] = frozenset()
    copies: int = 1  # of each block, on different hosts

    def blocks(self) -> list[Block]:
        """All of them, the largest first. As many shards as blocks make each shard one block."""
        count = len(shards.blocks(self.cells))
        once = [self._block(Shard(number=number, of=count)) for number in range(1, count + 1)]
        more = [replace(block, name=f"{block.name}-copy{copy}") for copy in range(2, self.copies + 1) for block in once]
        return [*once, *more]

    def _block(self, shard: Shard) -> Block:
        cells = shards.part(self.cells, shard)
        real = tuple(cell.id for cell in cells if not (cell.is_control or cell.is_baseline)) or tuple(cell.id for cell in cells)
        files = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}
        asked = [__version__, self.experiment.model_dump(), list(self.words), files, list(real)]
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:10]
        first = cells[0]
        title = re.sub(r"[^\w.-]+", "_", f"{first.venv}-{first.workload}-b{first.batch}")
        return Block(name=f"{title}-{digest}", shard=shard, cells=real, what=f"{title}-{digest}")

    def message(self, block: Block, topic: str) -> dict[str, Any]:
        """What goes to the host, see `block.carried_out`."""
        return {
            "version": __version__, "block": block.name, "words": [*self.words, "--shard", str(block.shard)],
            "files": dict(self.files), "topic": topic, "calibrate": self.experiment.settings.controls,
        }  # fmt: skip


def words_of(
    name: str,
    *,
    options: Mapping[str, object],
    select: Sequence[str] | None,
    model: Path | None,
    rows: Path | None,
    own: Sequence[str] | None,
) -> tuple[list[str], dict[str, bytes]]:
    """(the words of the command on a host, the files that go with it). `options`: by option; None and False are left out.

    Raises BadInput for what does not travel.
    """
    if own:
        raise BadInput("--backend does not go with --on: its file is not carried to hosts",
                       remedy="install it on each host as a package with an entry point, and leave --backend out")  # fmt: skip
    files = {path.name: _content(path) for path in (Path(name) if name.endswith(".toml") else None, model, rows) if path}
    words = [Path(name).name if name.endswith(".toml") else name]
    words += [word for pattern in select or [] for word in ("--select", pattern)]
    words += [word for option, path in (("--model", model), ("--input", rows)) if path for word in (option, path.name)]
    for option, value in options.items():
        if value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [word for each in value for word in (option, str(each))]
        elif value not in (None, False, ""):
            words += [option, str(value)]
    return words, files


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", remedy="name a file that is there") from error
