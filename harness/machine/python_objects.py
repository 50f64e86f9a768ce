"""What the objects of a Python process have, and what its functions are: read out of its memory, see `python_items`.

An attribute is looked for as Python does it: among the members that the class reserves places for, in the object's own
dictionary, in the class and its bases. An object's own attributes stand in a dictionary, or beside it (`Layout.values`).
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.machine import python_layouts as at
from harness.machine.python_items import Items, Kind
from harness.machine.python_layouts import Layout, Values
from harness.machine.python_memory import Memory, Unreadable

WEAK = ("weakref", "weakref.ReferenceType", "weakref.ref")


@dataclass(frozen=True, kw_only=True)
class Function:
    """A Python function: `file` is that of its code; `cells` are what it has of the functions around it."""

    place: int
    module: str
    qualname: str
    file: str
    cells: tuple[int, ...]


class Objects(Items):
    """Reads the objects of one process. Raises Unreadable."""

    def __init__(self, memory: Memory, layout: Layout) -> None:
        super().__init__(memory, layout)
        self._bases: dict[int, list[Kind]] = {}

    def attributes(self, place: int) -> dict[str, int]:
        """An object's own, by name, without its reserved members."""
        kind = self.kind(place)
        flags, values = kind.flags, self.layout.values
        if values is Values.BEHIND and flags & at.INLINE_VALUES:
            block = place + kind.basic
            if self.memory.read(block, 4)[3]:  # valid: else they have moved into a dictionary
                return self._beside(kind, block + self.layout.values_begin)
        if values is not Values.NONE and flags & at.MANAGED_DICT:
            pointer = self.memory.word(place + at.MANAGED_AT)
            if values is Values.APART and (apart := self.memory.word(place + at.APART_AT)):
                return self._beside(kind, apart)
            if values is Values.TAGGED and pointer & 1:
                return self._beside(kind, pointer + 1)
            return self.table(pointer) if pointer else {}
        offset = self.memory.word(kind.place + at.DICT_OFFSET_AT)
        if not offset:
            return {}
        if offset >> 63:
            raise Unreadable("where its dictionary is depends on its size")
        pointer = self.memory.word(place + offset)
        return self.table(pointer) if pointer else {}

    def attribute(self, place: int, name: str) -> int:
        """The address of an object's attribute; 0 if it has none of this name, or nothing in it."""
        in_class = self._in_class(self.kind(place), name)
        if in_class and self.kind(in_class).builtin == "member_descriptor":
            where = self.memory.word(self.memory.word(in_class + at.MEMBER_AT) + at.MEMBER_OFFSET_AT)
            return self.memory.word(place + where)
        return self.attributes(place).get(name, 0) or in_class

    def bases(self, kind: Kind) -> list[Kind]:
        """A class, its bases and theirs, in the order in which Python looks them through."""
        if kind.place not in self._bases:
            self._bases[kind.place] = [self.as_kind(one) for one in self.items(self.memory.word(kind.place + at.MRO_AT))]
        return self._bases[kind.place]

    def is_class(self, place: int) -> bool:
        return bool(self.kind(place).flags & at.CLASS)

    def namespace(self, kind: Kind) -> dict[str, int]:
        """What a class itself defines; {} of one of the interpreter's own, which keeps that elsewhere since 3.12."""
        pointer = self.memory.word(kind.place + at.TYPE_DICT_AT)
        if not pointer and not kind.flags & at.HEAP_TYPE:
            return {}
        return self.table(pointer)

    def module_of(self, kind: Kind) -> str:
        """The name of the module that defines a class; 'builtins' for the interpreter's own."""
        if not kind.flags & at.HEAP_TYPE:
            return kind.name.rpartition(".")[0] or "builtins"
        found = self.namespace(kind).get("__module__", 0)
        return self.text(found) if found else kind.name.rpartition(".")[0]

    def function(self, place: int) -> Function | None:
        """None if it is no Python function."""
        if self.kind(place).builtin != "function":
            return None
        code, closure = self.memory.word(place + self.layout.code), self.memory.word(place + self.layout.closure)
        if self.kind(code).builtin != "code":
            raise Unreadable("a function has no code")
        module = self.memory.word(place + self.layout.module)
        return Function(
            place=place, module=self.text(module) if module and self.kind(module).flags & at.UNICODE else "",
            qualname=self.text(self.memory.word(place + self.layout.qualname)),
            file=self.text(self.memory.word(code + self.layout.code_file)),
            cells=tuple(self._contents(one) for one in self.items(closure)) if closure else (),
        )  # fmt: skip

    def globals(self, function: int) -> dict[str, int]:
        """The names of the module that a Python function was defined in."""
        if self.kind(function).builtin != "function":
            raise Unreadable("it is no function")
        return self.table(self.memory.word(function + self.layout.globals))

    def module(self, place: int) -> dict[str, int]:
        """The names of a module."""
        if self.kind(place).builtin != "module":
            raise Unreadable("it is no module")
        return self.table(self.memory.word(place + at.MODULE_DICT_AT))

    def bound(self, place: int) -> tuple[int, int] | None:
        """(function, object) of a bound method; None if it is none."""
        if self.kind(place).builtin != "method":
            return None
        return self.memory.word(place + at.METHOD_FUNCTION_AT), self.memory.word(place + at.METHOD_SELF_AT)

    def of_c(self, place: int) -> int | None:
        """The object that a function written in C belongs to, 0 for none; None if it is no such function."""
        if self.kind(place).builtin not in ("builtin_function_or_method", "method-wrapper"):
            return None
        return self.memory.word(place + at.BUILTIN_SELF_AT)

    def name_of_c(self, place: int) -> str:
        """The name of such a function."""
        definition = self.memory.word(place + at.BUILTIN_AT)
        return self.c_text(self.memory.word(definition))

    def partial(self, place: int) -> tuple[int, int, int] | None:
        """(what is called, arguments, keywords) of a functools.partial; None if it is none."""
        if not any(one.name == "functools.partial" for one in self.bases(self.kind(place))):
            return None
        called, arguments, keywords = (self.memory.word(place + each) for each in at.PARTIAL_AT)
        return called, arguments, keywords

    def referent(self, place: int) -> int | None:
        """What a weak reference leads to, 0 once that is no more; of one to a method, the method's function. None if it is no
        weak reference."""
        kinds = self.bases(self.kind(place))
        if not any(one.builtin in WEAK for one in kinds):
            return None
        found = self.memory.word(place + at.REFERENT_AT)
        if self.is_none(found):
            return 0
        if kinds[0].name == "WeakMethod":
            return self.referent(self.attribute(place, "_func_ref"))
        return found

    def _beside(self, kind: Kind, values: int) -> dict[str, int]:
        """Attributes whose names all objects of a class share, and whose values begin here."""
        keys = [key for key, _ in self.block(self.memory.word(kind.place + self.layout.cached_keys))]
        found = zip(keys, self.memory.words(values, len(keys)) if keys else [], strict=True)
        return {self.text(key): value for key, value in found if value}

    def _in_class(self, kind: Kind, name: str) -> int:
        return next((found for one in self.bases(kind) if (found := self.namespace(one).get(name, 0))), 0)

    def _contents(self, cell: int) -> int:
        """Of a cell; 0 of an empty one."""
        if self.kind(cell).builtin != "cell":
            raise Unreadable("a closure has something else than cells")
        return self.memory.word(cell + at.CELL_AT)
