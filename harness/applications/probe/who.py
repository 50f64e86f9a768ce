"""Which places of the answers say who answered, as the name of a process or of a thread: no answer is wrong by these. Pure.

The serial calls are made in one process that is none of a pool's, so such a place is the same in all of them, and another one
in each executor of a trial.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from harness.applications.probe.checks import Reference
from harness.applications.probe.differences import ANY, Place, leaves, root

Told = tuple[int, Any, Hashable]  # row, answer, executor; of a greenlet the request, for each runs in one of its own


def answered(told: Iterable[Told], check: Reference) -> frozenset[Place]:
    """The places at which all rows are expected to have one text or whole number, each executor has another one than that in
    all its answers, and no two executors the same.

    >>> check = Reference(answers={0: {"by": "main", "x": 1}, 1: {"by": "main", "x": 2}}, ignored=frozenset())
    >>> answered([(0, {"by": "child 1", "x": 1}, 7), (1, {"by": "child 2", "x": 2}, 8)], check)
    frozenset({('by',)})
    >>> answered([(0, {"by": "unset", "x": 1}, 7), (1, {"by": "unset", "x": 2}, 8)], check)
    frozenset()
    """
    expected = _alike_in_all(check)
    names: dict[Place, dict[Hashable, Any]] = {place: {} for place in expected}
    for row, answer, executor in told:
        if not names or row not in check.answers:
            continue
        begin = root(row, check.mix)
        values = dict(leaves(answer, begin))
        for place in [one for one in names if one[: len(begin)] == begin]:
            value = values.get(place)
            if not _is_name(value) or names[place].setdefault(executor, value) != value:
                del names[place]
    return frozenset(
        place
        for place, known in names.items()
        if len(known) > 1 and len(set(known.values())) == len(known) and expected[place] not in known.values()
    )


def _alike_in_all(check: Reference) -> dict[Place, Any]:
    """The name that all rows of a task have at a place, by place; none of a task with one row."""
    found: dict[Place, list[Any]] = {}
    rows: dict[Place, int] = {}
    for row, answer in check.answers.items():
        begin = root(row, check.mix)
        rows[begin] = rows.get(begin, 0) + 1
        for place, value in leaves(answer, begin):
            if ANY not in place and place in check.left:
                found.setdefault(place, []).append(value)
    many = {place: rows[place[:1] if check.mix else ()] for place in found}
    return {
        place: values[0]
        for place, values in found.items()
        if _is_name(values[0]) and len(values) == many[place] > 1 and values.count(values[0]) == len(values)
    }


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
