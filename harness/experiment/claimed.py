"""Claims in an experiment's file: what a public thread says, where, and the cells that try it, each with what it is to do.

    [[claims]]
    id = "X1"
    sources = ["https://github.com/dmlc/xgboost/issues/4246"]
    said = "our own summary"
    differs = "what differs from the thread"
    [[claims.cells]]              # as in any experiment, with
    expect = "hangs"              # a word of `studies.claims.threads`
    backend = ["xgboost"]

A claim may ask for what this harness does not have: a backend, a placement, a call, a workload. Such values are left out and
told (`lacking`), so that a claim is never silently missing. `skipped` says why a claim has no cells at all. Plain data in and
out; the blocks themselves are checked like all others, in `experiment`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from harness.experiment import matrix
from harness.experiment.matrix import Cell
from harness.experiment.pools import IN_PROCESS, POOLS

EXPECT = "expect"


class Entry(BaseModel):
    """A claim as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Z]+\d+$")
    sources: list[str] = Field(min_length=1)
    said: str = Field(min_length=1)
    differs: str = ""
    skipped: str = ""
    cells: list[dict[str, Any]] = []


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """`blocks`: those that can be tried, with the word of what is expected; `lacking`: why others cannot, a reason each."""

    id: str
    sources: tuple[str, ...]
    said: str
    differs: str = ""
    blocks: tuple[tuple[Mapping[str, Any], str], ...] = ()
    lacking: tuple[str, ...] = field(default=())

    @property
    def expected(self) -> dict[Cell, str]:
        """Each cell, with what it is to do if the claim is right."""
        return {cell: word for block, word in self.blocks for cell in matrix.expand([block])}


def read(data: Sequence[Mapping[str, Any]], *, backends: Sequence[str], workloads: Sequence[str]) -> tuple[Claimed, ...]:
    """The claims of a file. Raises pydantic's ValidationError."""
    known = {
        "backend": backends, "workload": workloads, "pool": (*POOLS, IN_PROCESS), "placement": matrix.PLACEMENTS,
        "call": matrix.CALLS, "parent": matrix.PARENT_DEEDS,
    }  # fmt: skip
    return tuple(_claimed(Entry.model_validate(one), known) for one in data)


def _claimed(entry: Entry, known: Mapping[str, Sequence[str]]) -> Claimed:
    blocks, lacking = [], [entry.skipped] if entry.skipped else []
    for one in entry.cells:
        kept = {name: [value for value in values if value in known.get(name, values)] for name, values in one.items()
                if name != EXPECT and isinstance(values, list)}  # fmt: skip
        lacking += [
            f"this harness has no {name} {value!r}"
            for name, values in kept.items()
            for value in one[name]
            if value not in values
        ]
        whole = {**{name: value for name, value in one.items() if name != EXPECT}, **kept}
        if all(kept.values()):
            blocks.append((whole, str(one.get(EXPECT, ""))))
    return Claimed(
        id=entry.id, sources=tuple(entry.sources), said=entry.said, differs=entry.differs, blocks=tuple(blocks),
        lacking=tuple(dict.fromkeys(lacking)),
    )  # fmt: skip
