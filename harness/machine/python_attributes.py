"""Numbers among the attributes of a Python object, or of its class: read from the process's memory; nothing is stopped for it.

Versions and builds that `python_layouts` does not know, and memory that may not be read, show nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from harness.machine import python_layouts
from harness.machine.python_memory import Memory, Unreadable
from harness.machine.python_objects import Objects


def of_object(pid: int, place: int, names: Collection[str]) -> dict[str, float] | None:
    """Those attributes of an object that are numbers, by name; None if they cannot be read."""
    return _read(pid, lambda objects: _numbers(objects, names, objects.attributes(place)))


def of_class(pid: int, place: int, names: Collection[str]) -> dict[str, float] | None:
    """Those attributes of an object's class that are numbers, by name, each of the first class that has it: its own, its base,
    and so on; None if they cannot be read, or one is neither a number nor None."""
    return _read(pid, lambda objects: _of_bases(objects, place, names))


def _of_bases(objects: Objects, place: int, names: Collection[str]) -> dict[str, float]:
    spaces = [objects.namespace(kind) for kind in objects.bases(objects.kind(place))]
    places = {name: next((space[name] for space in spaces if name in space), 0) for name in names}
    return {name: objects.number(at) for name, at in places.items() if at and not objects.is_none(at)}


def _numbers(objects: Objects, names: Collection[str], places: Mapping[str, int]) -> dict[str, float]:
    found = {name: _number(objects, place) for name, place in places.items() if name in names}
    return {name: number for name, number in found.items() if number is not None}


def _read(pid: int, look: Callable[[Objects], dict[str, float]]) -> dict[str, float] | None:
    layout = python_layouts.of_process(pid)
    if layout is None:
        return None
    try:
        with Memory(pid) as memory:
            return look(Objects(memory, layout))
    except Unreadable:
        return None


def _number(objects: Objects, place: int) -> float | None:
    try:
        return objects.number(place)
    except Unreadable:
        return None
