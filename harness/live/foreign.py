"""Whether a callable of a running worker is Celery's own, or runs something of the application's: by where its code lies.

A function is Celery's own if its file lies in one of the installed packages, a class if it and its bases are theirs or
Python's. What a callable has with it counts, too: the object of a method, the arguments of a partial, what a function has of
those around it (a decorator's original), the callbacks of a consumer. A method of a lock, of an event, of anything that is not
Celery's counts as the application's; but the loggers of Python, which Celery calls everywhere, do not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from harness.machine.python_items import Kind
from harness.machine.python_memory import Unreadable
from harness.machine.python_objects import Objects
from harness.observe.roles import INSTALLED, STANDARD

PACKAGES = ("celery", "kombu", "billiard", "amqp", "redis", "vine")
LOGGERS = "logging"
FILES = re.compile(f"{INSTALLED}({'|'.join(PACKAGES)})/|{STANDARD}{LOGGERS}/__init__\\.py$")
DEFERRED = ("vine.promises.promise", "kombu.asynchronous.timer.Entry")  # what calls its `fun` with its `args` and `kwargs`
CONTAINERS = ("dict", "list", "set", "collections.deque", "collections.defaultdict")  # nobody waits at one
CONSUMER = "kombu.messaging.Consumer"
DEEPEST = 12


class Foreign:
    """Asks of one worker's objects. Raises Unreadable."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self._known: dict[int, str] = {}

    def of(self, place: int, deep: int = 0) -> str:
        """The name of what of the application's a callable runs; '' if it runs nothing of it."""
        if deep > DEEPEST:
            raise Unreadable("a callable calls another one, and so on")
        if place not in self._known:
            self._known[place] = ""  # of one that leads to itself
            self._known[place] = self._of(place, deep + 1)
        return self._known[place]

    def instance(self, place: int) -> str:
        """The name of an object's class if that is the application's; '' if it is Celery's own."""
        return self._class(self.objects.kind(place))

    def is_one(self, place: int, name: str) -> bool:
        """Whether an object is of this class, given by its full name, or of one made of it."""
        return any(self._full(one) == name for one in self.objects.bases(self.objects.kind(place)))

    def _of(self, place: int, deep: int) -> str:
        objects = self.objects
        if objects.is_none(place):
            return ""
        if (referent := objects.referent(place)) is not None:
            return self.of(referent, deep) if referent else ""
        if (bound := objects.bound(place)) is not None:
            return self.of(bound[0], deep) or self._holder(bound[1], deep)
        if (function := objects.function(place)) is not None:
            own = FILES.search(function.file)
            return self._parts(function.cells, deep) if own else function.qualname or "a function"
        if (partial := objects.partial(place)) is not None:
            return self.of(partial[0], deep) or self._arguments(partial[1], partial[2], deep)
        if (holder := objects.of_c(place)) is not None:
            return self._of_c(place, holder)
        if objects.is_class(place):
            return self._class(objects.as_kind(place))
        return self._object(place, deep)

    def _of_c(self, place: int, holder: int) -> str:
        """A function of a module's, written in C, runs nothing by itself; a method does something to its object."""
        kind = self.objects.kind(holder) if holder else None
        if kind is None or kind.name in ("module", *CONTAINERS) or not self._class(kind):
            return ""
        return f"{kind.name}.{self.objects.name_of_c(place)}"

    def _object(self, place: int, deep: int) -> str:
        """Something else that may be called: what it calls in turn, if it is known for that."""
        if any(self.is_one(place, name) for name in DEFERRED):
            parts = [self.objects.attribute(place, name) for name in ("fun", "args", "kwargs")]
            called = self.of(parts[0], deep) if parts[0] else ""
            return called or self._arguments(parts[1], parts[2], deep) or self.instance(place)
        return self.instance(place)

    def _holder(self, place: int, deep: int) -> str:
        """Of the object whose method is called."""
        if self.objects.is_class(place):
            return self._class(self.objects.as_kind(place))
        if self.is_one(place, CONSUMER):
            callbacks, message = (self.objects.attribute(place, name) for name in ("callbacks", "on_message"))
            called = self.objects.items(callbacks) if callbacks and not self.objects.is_none(callbacks) else []
            found = next((name for one in (*called, message) if one and (name := self.of(one, deep))), "")
            return found or self.instance(place)
        return self.instance(place)

    def _arguments(self, items: int, named: int, deep: int) -> str:
        """Of what a callable is called with: also of an object that can itself be called."""
        given = self.objects.items(items) if items and not self.objects.is_none(items) else []
        given += [value for _, value in self.objects.entries(named)] if named and not self.objects.is_none(named) else []
        return self._parts(given, deep) or next((name for one in given if (name := self._callable(one))), "")

    def _parts(self, places: Iterable[int], deep: int) -> str:
        """Of what a callable has with it, as far as that may be called by itself."""
        return next((name for one in places if one and self._is_called(one) and (name := self.of(one, deep))), "")

    def _is_called(self, place: int) -> bool:
        kinds = self.objects.bases(self.objects.kind(place))
        known = ("function", "method", "builtin_function_or_method", "method-wrapper", "type", "functools.partial")
        return any(one.name in known for one in kinds) or any(self._full(one) in DEFERRED for one in kinds)

    def _callable(self, place: int) -> str:
        """The name of the application's class of an object that can be called; '' of any other object."""
        if self._is_called(place):
            return ""
        kinds = self.objects.bases(self.objects.kind(place))
        calls = any("__call__" in self.objects.namespace(one) for one in kinds if not one.builtin)
        return self.instance(place) if calls else ""

    def _class(self, kind: Kind) -> str:
        """The name of a class if it is Python's, else of a base that is neither Celery's nor Python's; '' if there is none."""
        tops = [(one.name, self.objects.module_of(one).partition(".")[0]) for one in self.objects.bases(kind)]
        if tops[0][1] in sys.stdlib_module_names and tops[0][1] != LOGGERS:
            return kind.name
        return next((name for name, top in tops if top not in PACKAGES and top not in sys.stdlib_module_names), "")

    def _full(self, kind: Kind) -> str:
        return f"{self.objects.module_of(kind)}.{kind.name}"
