"""Several tasks of one application in one worker, each with its share of the requests. Pure.

What a user writes is read in `applications.probe.mix_file`; in which order the requests come, `client.deck` says.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Mix:
    """`tasks`: their names; `shares`: of the requests, one per task, 1 in all; `of_rows`: which task each row is of, by its
    place in `tasks`. `name`: that of the mix, a part of a cell's id.

    Rows stand in turn: the first one of each task, the second ones, and so on, so that a part of them holds all tasks.
    """

    name: str
    tasks: tuple[str, ...]
    shares: tuple[float, ...]
    of_rows: tuple[int, ...]

    @property
    def label(self) -> str:
        """For words: 'shop.price (90 %) + shop.train (10 %)'."""
        return " + ".join(f"{task} ({100 * share:.3g} %)" for task, share in zip(self.tasks, self.shares, strict=True))

    @property
    def rarest(self) -> float:
        return min(self.shares)

    def task_of(self, row: int) -> str:
        return self.tasks[self.of_rows[row]]

    def named(self, row: int) -> str:
        """'row 2 of shop.price', counted from 1 within its task."""
        task = self.of_rows[row]
        return f"row {self.of_rows[: row + 1].count(task)} of {self.tasks[task]}"

    def those(self, rows: Collection[int], sent: Collection[int]) -> list[str]:
        """What these rows are called: a task, if they are all that were sent of it."""
        found = []
        for place, task in enumerate(self.tasks):
            own = sorted(row for row in sent if self.of_rows[row] == place)
            inside = [row for row in own if row in rows]
            found += [task] if inside and inside == own else [self.named(row) for row in inside]
        return found


def in_turn(rows_of: Sequence[Sequence[Any]]) -> tuple[list[Any], tuple[int, ...]]:
    """(all rows, the task of each), from the rows of each task.

    >>> in_turn([["a", "b", "c"], ["x"]])
    (['a', 'x', 'b', 'c'], (0, 1, 0, 0))
    """
    most = max(map(len, rows_of))
    found = [(rows[place], task) for place in range(most) for task, rows in enumerate(rows_of) if place < len(rows)]
    return [row for row, _ in found], tuple(task for _, task in found)
