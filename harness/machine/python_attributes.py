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
    return _numbers(pid, names, lambda objects: objects.attributes(place))


def of_class(pid: int, place: int, names: Collection[str]) -> dict[str, float]:
    """Those attributes of an object's own class that are numbers, by name; none of its bases."""
    return _numbers(pid, names, lambda objects: objects.namespace(objects.kind(place))) or {}


def _numbers(pid: int, names: Collection[str], look: Callable[[Objects], Mapping[str, int]]) -> dict[str, float] | None:
    layout = python_layouts.of_process(pid)
    if layout is None:
        return None
    try:
        with Memory(pid) as memory:
            objects = Objects(memory, layout)
            found = {name: _number(objects, place) for name, place in look(objects).items() if name in names}
    except Unreadable:
        return None
    return {name: number for name, number in found.items() if number is not None}


def _number(objects: Objects, place: int) -> float | None:
    try:
        return objects.number(place)
    except Unreadable:
        return None
