"""What is to be read of the objects of `tests/python_things.py`, in any version."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from harness.machine import python_frames, python_layouts
from harness.machine.python_memory import Unreadable
from harness.machine.python_objects import Objects

WORDS = ("ascii", "wide", "latin", "no_text")
NUMBERS = ("true", "zero", "million", "address")
ODD = "a\u00e9\u20ac"
#: what `looked` is to return; addresses are told by the names of the things that are there
EXPECTED: dict[str, Any] = {
    "plain": {"one": 1.0, "half": 2.5, "text": ODD},
    "changed": {"half": 2.5, "text": ODD, "late": 7.0},
    "many": {f"n{number}": float(number) for number in range(40)},
    "loose": {"one": 1.0, "half": 2.5, "text": ODD, "extra": 3.0},
    "mixed": {"other": 6.0},
    "members": (11.0, 0, 5.0),
    "default": "in the class",
    "items": ([3.0, 4.0], [1.0, 2.0, 3.0], []),
    "numbers": (299, 299.0),
    "by_number": {1.0: "a", 2.0: "b"},
    "ordered": {"a": 1.0},
    "taken": {"a", "b", "c"},
    "outer": ("outer", "python_things.py", ()),
    "inner": ("outer.<locals>.inner", "python_things.py", ("method",)),
    "method": ("Plain.method", "plain"),
    "partial": ("outer", ["len"], {"f": 3.0}),
    "ref": "plain",
    "ref_to_method": "Plain.method",
    "dead": 0,
    "of_c": ("acquire", "module", "len"),
    "class": (True, ["Plain", "object"], "builtins"),
    "module": "json",
    "none": (True, False),
    "words": ["hello", ODD, "caf\u00e9", ""],
    "of_numbers": [1.0, 0.0, 1e6, float(1 << 46)],
    "refused": ["negative", "huge", "ascii", "list", "plain"],
}


def looked(objects: Objects, places: Mapping[str, int]) -> dict[str, Any]:
    """What is read."""
    names = {place: name for name, place in places.items()}

    def told(place: int) -> Any:
        return objects.text(place) if objects.kind(place).flags & python_layouts.UNICODE else objects.number(place)

    def attributes(name: str) -> dict[str, Any]:
        return {key: told(value) for key, value in objects.attributes(places[name]).items()}

    found: dict[str, Any] = {name: attributes(name) for name in ("plain", "changed", "many", "loose", "mixed")}
    first, second = (objects.attribute(places["reserved"], name) for name in ("first", "second"))
    found["members"] = (told(first), second, told(objects.attribute(places["mixed"], "first")))
    found["default"] = told(objects.attribute(places["plain"], "default"))
    found["items"] = tuple([told(one) for one in objects.items(places[name])] for name in ("point", "list", "empty"))
    numbers = objects.table(places["numbers"])
    found["numbers"] = (len(numbers), told(numbers["k299"]))
    for name in ("by_number", "ordered"):
        found[name] = {told(key): told(value) for key, value in objects.entries(places[name])}
    found["taken"] = {told(one) for one in objects.members(places["taken"])}
    return found | _callables(objects, places, names) | _plain(objects, places, told)


def _callables(objects: Objects, places: Mapping[str, int], names: Mapping[int, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("outer", "inner"):
        function = objects.function(places[name])
        assert function is not None
        cells = tuple(objects.kind(one).name for one in function.cells)
        found[name] = (function.qualname, function.file.rpartition("/")[2], cells)
    bound, partial, referent = objects.bound(places["method"]), objects.partial(places["partial"]), objects.referent
    assert bound is not None
    assert partial is not None
    method, weak = objects.function(bound[0]), objects.function(referent(places["ref_to_method"]) or 0)
    assert method is not None
    assert weak is not None
    found["method"] = (method.qualname, names[bound[1]])
    keywords = {key: objects.number(value) for key, value in objects.table(partial[2]).items()}
    found["partial"] = (names[partial[0]], [names[one] for one in objects.items(partial[1])], keywords)
    found["ref"], found["dead"] = names[referent(places["ref"]) or 0], referent(places["dead"])
    found["ref_to_method"] = weak.qualname
    lock, module = objects.of_c(places["acquire"]), objects.of_c(places["len"])
    assert lock
    assert module
    found["of_c"] = (objects.name_of_c(places["acquire"]), objects.kind(module).name, objects.name_of_c(places["len"]))
    return found


def _plain(objects: Objects, places: Mapping[str, int], told: Any) -> dict[str, Any]:
    kind = objects.as_kind(places["class"])
    bases = objects.bases(kind)

    def refuses(name: str) -> bool:
        try:
            objects.number(places[name])
        except Unreadable:
            return True
        return False

    return {
        "class": (objects.is_class(places["class"]), [one.name for one in bases], objects.module_of(bases[-1])),
        "module": told(objects.module(places["module"])["__name__"]),
        "none": (objects.is_none(places["none"]), objects.is_none(places["zero"])),
        "words": [told(places[name]) for name in WORDS],
        "of_numbers": [told(places[name]) for name in NUMBERS],
        "refused": [name for name in EXPECTED["refused"] if refuses(name)],
    }


def stack(objects: Objects, frame: int) -> tuple[list[str], float, int]:
    """(the two innermost functions, of the first its local `doubled`, and one that it has not), by the address of a frame."""
    found = list(itertools.islice(python_frames.of_frame(objects, frame), 2))  # others have paths of this machine
    doubled, none = (python_frames.local(objects, found[0], name) for name in ("doubled", "tripled"))
    return [f"{one.name} ({one.file.rpartition('/')[2]})" for one in found], objects.number(doubled), none
