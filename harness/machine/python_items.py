"""The plain objects of a Python process, read out of its memory: texts, numbers, and what lists, tuples, dicts, sets contain.

Before a pointer is followed, the type of what it leads to is looked at, by its name and flags. Whatever is not what it should
be raises Unreadable, and so does a dictionary or a set with another number of entries than it says: it is being changed. So no
answer is a guess; but two answers may be of different moments, unless the process stood still.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.machine import python_layouts as at
from harness.machine.python_layouts import Layout
from harness.machine.python_memory import Memory, Unreadable

MOST_ITEMS, MOST_TEXT = 20_000, 4096  # of a container; characters of a text
MOST_NAME = 256  # bytes of a type's name
#: of a block of keys, in bytes (Objects/dict-common.h, Include/internal/pycore_dict.h)
OLD_BEGINS, OLD_COUNT_AT, NEW_BEGINS, NEW_COUNT_AT = 40, 32, 32, 24
OLD_ENTRY, NEW_ENTRIES = 24, (24, 16, 16)  # of an entry, in bytes; since 3.11 by the block's kind: general, texts alone, shared
REMOVED = (1 << 64) - 1  # the hash of an entry of a set that was taken out
MOST_DIGITS = 3  # of an int: what fits into 64 bits


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type: its address, its own name, `tp_flags`, and the size of its objects in bytes."""

    place: int
    name: str
    flags: int
    basic: int

    @property
    def builtin(self) -> str:
        """Its name if it is written in C and stands in the interpreter itself; '' of any other."""
        return "" if self.flags & at.HEAP_TYPE else self.name


class Items:
    """Reads the objects of one process. Raises Unreadable."""

    def __init__(self, memory: Memory, layout: Layout) -> None:
        self.memory, self.layout = memory, layout
        self._kinds: dict[int, Kind] = {}
        self._tables: dict[int, dict[str, int]] = {}

    def kind(self, place: int) -> Kind:
        """Of the object at this address."""
        if place % at.WORD.size:
            raise Unreadable("no object is at an address")
        return self.as_kind(self.memory.word(place + at.TYPE_AT))

    def as_kind(self, place: int) -> Kind:
        """The type at this address."""
        if place not in self._kinds:
            words = self.memory
            flags = words.word(place + at.FLAGS_AT)
            name = self.c_text(words.word(place + at.NAME_AT))
            self._kinds[place] = Kind(place=place, name=name, flags=flags, basic=words.word(place + at.BASIC_AT))
        return self._kinds[place]

    def is_none(self, place: int) -> bool:
        return self.kind(place).builtin == "NoneType"

    def text(self, place: int) -> str:
        """Of a str."""
        if not self.kind(place).flags & at.UNICODE:
            raise Unreadable("it is no text")
        length, state = self.memory.word(place + at.SIZE_AT), self.memory.word(place + at.STATE_AT)
        width, compact, ascii_alone = state >> 2 & 7, state >> 5 & 1, state >> 6 & 1
        if not compact or width not in (1, 2, 4) or length > MOST_TEXT:
            raise Unreadable("it is no text that can be read")
        begins = self.layout.text if ascii_alone else self.layout.wide_text
        found = self.memory.read(place + begins, length * width)
        return found.decode({1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[width], "replace")

    def number(self, place: int) -> float:
        """Of a float, a bool, and an int from 0 up to 64 bits, as near as a float comes."""
        kind = self.kind(place).builtin
        if kind == "float":
            return float(at.FLOAT.unpack(self.memory.read(place + at.SIZE_AT, at.FLOAT.size))[0])
        if kind not in ("int", "bool"):
            raise Unreadable("it is no number")
        size = self.memory.word(place + at.SIZE_AT)
        if self.layout.tagged_int:  # since 3.12: how many digits, and below that the sign
            size, sign = size >> at.SIGN_BITS, size & at.SIGN
            size = 0 if sign == at.IS_ZERO else size if sign == 0 else MOST_DIGITS + 1
        if size > MOST_DIGITS:  # before 3.12, of a negative one too
            raise Unreadable("it is no number that can be read")
        digits = at.DIGIT.iter_unpack(self.memory.read(place + at.BODY_AT, size * at.DIGIT.size)) if size else ()
        return float(sum(digit << at.DIGIT_BITS * number for number, (digit,) in enumerate(digits)))

    def items(self, place: int) -> list[int]:
        """Of a list or a tuple, named ones too."""
        flags, count = self.kind(place).flags, self.memory.word(place + at.SIZE_AT)
        if not flags & (at.LIST | at.TUPLE) or count > MOST_ITEMS:
            raise Unreadable("it is no list that can be read")
        if not count:
            return []
        begin = place + self.layout.tuple_items if flags & at.TUPLE else self.memory.word(place + at.BODY_AT)
        return self.memory.words(begin, count)

    def members(self, place: int) -> list[int]:
        """Of a set."""
        if self.kind(place).builtin not in ("set", "frozenset"):
            raise Unreadable("it is no set")
        used, mask, table = (self.memory.word(place + each) for each in (at.SET_USED_AT, at.SET_MASK_AT, at.SET_TABLE_AT))
        if mask > MOST_ITEMS:
            raise Unreadable("it is too large a set")
        words = self.memory.words(table, 2 * (mask + 1))
        found = [key for key, hashed in zip(words[::2], words[1::2], strict=True) if key and hashed != REMOVED]
        if len(found) != used:
            raise Unreadable("a set was changed meanwhile")
        return found

    def table(self, place: int) -> dict[str, int]:
        """A dictionary's values by those of its keys that are texts."""
        if place not in self._tables:
            found = self.entries(place)
            self._tables[place] = {self.text(key): value for key, value in found if self.kind(key).flags & at.UNICODE}
        return self._tables[place]

    def entries(self, place: int) -> list[tuple[int, int]]:
        """The keys and values of a dictionary."""
        if not self.kind(place).flags & at.DICT:
            raise Unreadable("it is no dictionary")
        used = self.memory.word(place + at.USED_AT)
        block, apart = self.memory.words(place + at.KEYS_AT, 2)
        found = self.block(block)
        if apart:
            values = self.memory.words(apart + self.layout.values_begin, len(found)) if found else []
            found = [(key, value) for (key, _), value in zip(found, values, strict=True)]
        found = [(key, value) for key, value in found if key and value]
        if len(found) != used:
            raise Unreadable("a dictionary was changed meanwhile")
        return found

    def block(self, place: int) -> list[tuple[int, int]]:
        """A block of keys, in order, each with what stands beside it: its value, unless the block is shared."""
        head = self.memory.read(place, OLD_BEGINS)
        if self.layout.new_keys:
            log2_index, kind = head[9], head[10]
            if kind >= len(NEW_ENTRIES) or not head[8] <= log2_index <= 2 * head[8] + 3:
                raise Unreadable("it is no block of keys")
            count, begins, size = at.WORD.unpack_from(head, NEW_COUNT_AT)[0], NEW_BEGINS + (1 << log2_index), NEW_ENTRIES[kind]
        else:
            places, count = at.WORD.unpack_from(head, 8)[0], at.WORD.unpack_from(head, OLD_COUNT_AT)[0]
            if not 0 < places <= 4 * MOST_ITEMS or places & (places - 1):
                raise Unreadable("it is no block of keys")
            begins, size = OLD_BEGINS + places * (1 if places <= 0xFF else 2 if places <= 0xFFFF else 4), OLD_ENTRY
        if count > MOST_ITEMS:
            raise Unreadable("it is too large a dictionary")
        words = self.memory.words(place + begins, count * size // at.WORD.size)
        step = size // at.WORD.size
        return list(zip(words[step - 2 :: step], words[step - 1 :: step], strict=True))

    def c_text(self, place: int) -> str:
        """A name as C keeps one, which ends with a zero."""
        found = bytearray()
        while len(found) < MOST_NAME:
            byte = self.memory.read(place + len(found), 1)
            if byte == b"\0":
                return found.decode("utf-8", "replace")
            found += byte
        raise Unreadable("it is no name")
