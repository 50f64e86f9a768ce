"""A part of an experiment, for one of several machines or jobs: whole blocks, the same ones whoever deals them out.

A block is all cells of the same model and batch in the same environment, with the controls and ceilings that they are read
beside: what is compared with each other is measured on one machine. No control belongs to two blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import BadInput
from harness.experiment.matrix import Cell

FORM = re.compile(r"(\d{1,6})/(\d{1,6})")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The `number`-th of `of` parts, from 1 on."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def name(self) -> str:
        """As a part of a folder's name."""
        return f"{self.number}-of-{self.of}"


def read(text: str) -> Shard | None:
    """'3/8' -> the third of eight; None for ''. Raises BadInput."""
    if not text:
        return None
    found = FORM.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise BadInput(f"--shard {text!r}: no part of a whole", remedy="such as 1/4, 2/4, 3/4 and 4/4")
    return Shard(number=int(found[1]), of=int(found[2]))


def blocks(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells in blocks; cells and blocks keep their order."""
    found: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.venv, cell.workload, cell.batch), []).append(cell)
    return list(found.values())


def part(cells: Sequence[Cell], shard: Shard) -> list[Cell]:
    """The cells of one shard, in their order; none if there are fewer blocks than shards.

    The largest block goes first, each to the shard that has least. Controls and ceilings do not count: how many there are
    depends on the cores of the machine, and all machines must deal out alike.
    """
    dealt: list[list[list[Cell]]] = [[] for _ in range(shard.of)]
    for block in sorted(blocks(cells), key=_weight, reverse=True):
        min(dealt, key=lambda blocks: sum(map(_weight, blocks))).append(block)
    own = {cell for block in dealt[shard.number - 1] for cell in block}
    return [cell for cell in cells if cell in own]


def _weight(block: Sequence[Cell]) -> int:
    return sum(not (cell.is_control or cell.is_baseline) for cell in block) or 1
