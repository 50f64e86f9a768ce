"""Which places of the answers say who answered, as the name of a process or of a thread: no answer is wrong by these. Pure.

The serial calls are made in one process that is none of a pool's. A place is left out only if what it holds *is* a name or an
id that its executor has, as the worker told them (`harness.worker.own_names`). That it is another value in each executor proves
nothing: each may have a setting of its own by mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.applications.probe.checks import Reference, reference
from harness.applications.probe.differences import ANY, Place, leaves, root
from harness.worker import contract

Told = tuple[int, Any, Hashable]  # row, answer, executor: process and thread, as the kernel has them
Names = Mapping[Hashable, frozenset[Any]]  # of each executor; of greenlets, those of all that share the thread
SERIAL = frozenset({"MainProcess", "MainThread"})  # names in the process that makes the serial calls
LEAST_ID = 100  # a smaller number may be anything
A_NAME = "\0"  # stands for any


def names(folder: Path) -> dict[Hashable, frozenset[Any]]:
    """What a worker told of its executors, among the events of its trial; torn lines are left out."""
    found: dict[Hashable, frozenset[Any]] = {}
    for path in sorted(folder.glob(contract.NAMES_FILE_NAME.format(pid="*"))):
        for line in path.read_text().splitlines():
            try:
                thread, own = json.loads(line)
            except ValueError:
                continue
            key = int(path.stem), thread
            found[key] = found.get(key, frozenset()) | frozenset(own)
    return found


def answered(told: Iterable[Told], check: Reference, known: Names) -> frozenset[Place]:
    """The places in which each answer that is not as expected holds a name of its executor, or, in a text, one where a name
    was expected.

    >>> check = Reference(answers={0: {"by": "MainProcess", "x": 1}, 1: {"by": "MainProcess", "x": 2}}, ignored=frozenset())
    >>> own = {7: frozenset({"child 1"}), 8: frozenset({"child 2"})}
    >>> answered([(0, {"by": "child 1", "x": 1}, 7), (1, {"by": "child 2", "x": 2}, 8)], check, own)
    frozenset({('by',)})
    >>> answered([(0, {"by": "child 2", "x": 1}, 7), (1, {"by": "child 1", "x": 2}, 8)], check, own)
    frozenset()
    """
    held: dict[Place, bool] = {}
    for place, value, expected, executor in _others(told, check):
        held[place] = held.get(place, True) and _is_name(value, expected, known.get(executor, frozenset()))
    return frozenset(place for place, is_name in held.items() if is_name)


def flags(told: Iterable[Told], check: Reference) -> frozenset[Place]:
    """The places in which all rows are expected to have one and the same of true and false, and each answer has the other one.
    Whether a process is a child, or a thread the main one, is such a flag; a setting that is lost may be one, too.

    >>> check = Reference(answers={0: {"daemon": False, "x": 1}, 1: {"daemon": False, "x": 2}}, ignored=frozenset())
    >>> flags([(0, {"daemon": True, "x": 1}, 7), (1, {"daemon": True, "x": 2}, 7)], check)
    frozenset({('daemon',)})
    >>> flags([(0, {"daemon": True, "x": 1}, 7), (1, {"daemon": False, "x": 2}, 7)], check)
    frozenset()
    """
    told, alike = list(told), _alike_in_all(check)
    turned: dict[Place, int] = {}
    for place, value, expected, _ in _others(told, check):
        if alike.get(place) is expected and value is not expected and isinstance(value, bool):
            turned[place] = turned.get(place, 0) + 1
    of_task = {place: _answers_of(place, told, check) for place in turned}
    return frozenset(place for place, count in turned.items() if count == of_task[place])


def agreed(told: Iterable[Told], check: Reference) -> frozenset[Place]:
    """The places in which answers to one row are alike, and not as expected.

    >>> check = Reference(answers={0: {"rank": 1, "x": 1}, 1: {"rank": 1, "x": 2}}, ignored=frozenset())
    >>> agreed([(0, {"rank": 5, "x": 1}, 7), (0, {"rank": 5, "x": 9}, 8), (0, {"rank": 5, "x": 1}, 7)], check)
    frozenset({('rank',)})
    """
    answers = [(row, answer) for row, answer, _ in told]
    return check.others(answers) - reference(answers, check.near.rtol, check.mix).ignored


def _others(told: Iterable[Told], check: Reference) -> Iterable[tuple[Place, Any, Any, Hashable]]:
    """(place, what it holds, what was expected, executor) of all that is compared and not as expected; nothing of the entries
    of a list that share a place."""
    for row, answer, executor in told:
        if row not in check.answers:
            continue
        begin = root(row, check.mix)
        values, expected = dict(leaves(answer, begin)), dict(leaves(check.answers[row], begin))
        for place in expected.keys() & check.left:
            if ANY not in place and (
                (value := values.get(place)) != expected[place] or type(value) is not type(expected[place])
            ):
                yield place, value, expected[place], executor


def _is_name(value: Any, expected: Any, own: frozenset[Any]) -> bool:
    if isinstance(value, str):
        same = isinstance(expected, str) and _masked(value, own) == _masked(expected, own | SERIAL) != expected
        return same or _pattern(own).fullmatch(value) is not None
    return type(value) is int and value >= LEAST_ID and value in own


def _masked(text: str, own: frozenset[Any]) -> str:
    """With A_NAME wherever one stands."""
    return _pattern(own).sub(A_NAME, text)


@cache
def _pattern(own: frozenset[Any]) -> re.Pattern[str]:
    """Any of these names; the longest first, for one may be part of another."""
    texts = sorted({str(one) for one in own if not isinstance(one, int) or one >= LEAST_ID}, key=len, reverse=True)
    number = re.escape(contract.ANY_NUMBER)
    return re.compile("|".join(re.escape(one).replace(number, r"\d+") for one in texts) or "(?!)")


def _answers_of(place: Place, told: Iterable[Told], check: Reference) -> int:
    """How many answers are of the task that a place belongs to."""
    return sum(row in check.answers and place[: len(begin := root(row, check.mix))] == begin for row, _, _ in told)


def _alike_in_all(check: Reference) -> dict[Place, bool]:
    """The flag that all rows of a task have at a place, by place; none of a task with one row."""
    found: dict[Place, list[Any]] = {}
    rows: dict[Place, int] = {}
    for row, answer in check.answers.items():
        begin = root(row, check.mix)
        rows[begin] = rows.get(begin, 0) + 1
        for place, value in leaves(answer, begin):
            if ANY not in place and isinstance(value, bool):
                found.setdefault(place, []).append(value)
    many = {place: rows[place[:1] if check.mix else ()] for place in found}
    return {place: values[0] for place, values in found.items() if len(set(values)) == 1 and len(values) == many[place] > 1}
