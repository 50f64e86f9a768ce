"""Objects of every kind that is read out of memory, made by a Python of any version: it prints where they are, and waits.

Python 3.7 syntax, standard library only. `tests/record_python_memory.py` runs it, and `test_python_objects.py` imports it.
"""

from __future__ import annotations

import collections
import functools
import json
import sys
import threading
import time
import weakref
from typing import Any


class Plain:
    default = "in the class"

    def __init__(self) -> None:
        self.one, self.half, self.text = 1, 2.5, "a\u00e9\u20ac"

    def method(self) -> None:
        pass


class Many(Plain):
    def __init__(self) -> None:
        for number in range(40):
            setattr(self, f"n{number}", number)


class Reserved:
    __slots__ = ("__weakref__", "first", "second")

    def __init__(self) -> None:
        self.first = 11


class Mixed(Reserved):
    def __init__(self) -> None:
        self.first, self.other = 5, 6


class Loose(Plain):
    def __init__(self) -> None:
        Plain.__init__(self)
        self.__dict__["extra"] = 3


class Named(list):  # type: ignore[type-arg]
    pass


def outer(inside: Any) -> Any:
    def inner() -> Any:
        return inside()

    return inner


def things() -> dict[str, Any]:
    """By name."""
    plain, changed, numbers = Plain(), Plain(), {f"k{number}": number for number in range(300)}
    changed.late = 7
    del changed.one, numbers["k7"]
    point = collections.namedtuple("Point", "x y")
    taken = {"a", "b", "c", "d"}
    taken.discard("d")
    return {
        "plain": plain, "changed": changed, "many": Many(), "reserved": Reserved(), "mixed": Mixed(), "loose": Loose(),
        "point": point(3, 4), "list": [1, 2, 3], "empty": [], "numbers": numbers, "by_number": {1: "a", 2: "b"},
        "ordered": collections.OrderedDict(a=1), "taken": taken, "outer": outer, "inner": outer(plain.method),
        "method": plain.method, "partial": functools.partial(outer, len, f=3), "ref": weakref.ref(plain),
        "ref_to_method": weakref.WeakMethod(plain.method), "dead": weakref.ref(Plain()), "len": len,
        "acquire": threading.Lock().acquire, "class": Plain, "module": json, "none": None, "true": True, "zero": 0,
        "million": 1000000, "address": 1 << 46, "negative": -5, "huge": 1 << 100, "ascii": "hello", "wide": "a\u00e9\u20ac",
        "latin": "caf\u00e9", "no_text": "", "named": Named(),
    }  # fmt: skip


def asks(seconds: float, lock: Any) -> None:
    """Waits for ever."""
    doubled = seconds * 2
    lock.acquire()
    print(doubled)


def waiting() -> Any:
    """The frame of a thread that waits in `asks`, which `calls` has called."""
    lock, there = threading.Lock(), threading.Event()
    lock.acquire()

    def calls() -> None:
        there.set()
        asks(2.5, lock)

    thread = threading.Thread(target=calls, daemon=True)
    thread.start()
    there.wait()
    while True:
        found = sys._current_frames()[thread.ident or 0]
        if found.f_code is asks.__code__ and "doubled" in found.f_locals:
            return found
        time.sleep(0.01)


if __name__ == "__main__":
    kept = dict(things(), waiting=waiting())
    print(json.dumps({name: id(one) for name, one in kept.items()}), flush=True)
    sys.stdin.read()
