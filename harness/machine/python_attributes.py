"""Numbers among the attributes of a Python object, or of its class: read from the process's memory; nothing is stopped for it.

An object leads to its dictionary by a pointer that stands beside it: behind its header before 3.11, up to 32 bytes in front of
it since. A class keeps its dictionary among its own slots (`tp_dict` of Include/cpython/object.h). A dictionary keeps its
entries in one block, in which the value's pointer follows the key's (Objects/dictobject.c, `PyDictKeyEntry`). So a key is
found by its text, which stands in the string itself (`PyASCIIObject`). A dictionary that shares its keys with others keeps its
values apart: before 3.11 in the same order, and since then nothing is found of it. Seen so in 3.7 to 3.13. In other builds
(without the GIL, for debugging), and if the memory may not be read, nothing is found.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from harness.machine import procfs

WORD, FLOAT, DIGIT = struct.Struct("=Q"), struct.Struct("=d"), struct.Struct("=I")
TYPE_AT, NAME_AT, DICT_AT = 8, 24, 264  # bytes: ob_type of an object; tp_name and tp_dict of a type, in a release build
KEYS_AT, VALUES_AT = 32, 40  # bytes: ma_keys and ma_values of a dictionary
BEFORE, AFTER = 32, 32  # bytes of an object in which the pointer to its dictionary may stand
TEXTS_AT = (40, 48)  # bytes: where the text of a string begins, since 3.12 and before
NUMBER_AT = 16  # bytes: a float's number; how many digits an int has, behind which they stand
ONE_DIGIT = (1, 8)  # before 3.12 and since, of a positive one (Include/cpython/longintrepr.h)
MOST_ENTRIES = 500  # of a dictionary that is looked through
#: of a block of entries, before 3.11 and since, in bytes: before its table of indices; where the number of its entries stands
OLD_BEGINS, OLD_COUNT_AT, NEW_BEGINS, NEW_COUNT_AT = 40, 32, 32, 24
OLD_ENTRY, NEW_ENTRIES = 24, {0: 24, 1: 16}  # bytes of an entry; since 3.11 by the block's kind: general, or of strings alone


def of_object(pid: int, place: int, names: Collection[str]) -> dict[str, float]:
    """Those attributes of an object that are numbers, by name."""
    around = procfs.memory(pid, place - BEFORE, BEFORE + AFTER)
    for at in range(0, len(around) - WORD.size + 1, WORD.size):
        found = WORD.unpack_from(around, at)[0]
        if _type_name(pid, found).startswith(b"dict\0"):
            return _numbers(pid, found, names)
    return {}


def of_class(pid: int, place: int, names: Collection[str]) -> dict[str, float]:
    """Those attributes of an object's own class that are numbers, by name; none of its bases."""
    kind = _word(pid, place + TYPE_AT)
    found = _word(pid, kind + DICT_AT) if kind else 0
    return _numbers(pid, found, names) if found and _type_name(pid, found).startswith(b"dict\0") else {}


def _numbers(pid: int, dictionary: int, names: Collection[str]) -> dict[str, float]:
    keys, found = _word(pid, dictionary + KEYS_AT), dict[str, float]()
    for key, value in _entries(pid, keys, _word(pid, dictionary + VALUES_AT)) if _is_address(keys) else ():
        if (name := _text(pid, key, names)) and (number := _number(pid, value)) is not None:
            found[name] = number
    return found


def _entries(pid: int, block: int, apart: int) -> list[tuple[int, int]]:
    """The addresses of the keys and values of a block of entries; [] if it is none that is known. `apart`: where the values of
    a dictionary are that shares its keys, 0 if they stand beside these."""
    head = procfs.memory(pid, block, OLD_BEGINS)
    if not head:
        return []
    log2_size, log2_index, kind = head[8], head[9], head[10]
    new = 3 <= log2_size <= log2_index <= 2 * log2_size  # since 3.11; before, the size itself stands there, a power of two
    if new:
        count, begins, size = WORD.unpack_from(head, NEW_COUNT_AT)[0], NEW_BEGINS + (1 << log2_index), NEW_ENTRIES.get(kind, 0)
    else:
        places = WORD.unpack_from(head, 8)[0]
        width = 1 if places <= 1 << 7 else 2  # of an index, in bytes
        count, begins, size = WORD.unpack_from(head, OLD_COUNT_AT)[0], OLD_BEGINS + places * width, OLD_ENTRY
    if not size or not 0 < count <= MOST_ENTRIES or (new and apart):
        return []
    found = procfs.memory(pid, block + begins, count * size)
    keys = [at + size - 2 * WORD.size for at in range(0, len(found), size)]  # behind the hash, if there is one
    values = procfs.memory(pid, apart, count * WORD.size) if apart else b""
    told = [WORD.unpack_from(values, at)[0] for at in range(0, len(values), WORD.size)] if apart else [
        WORD.unpack_from(found, at + WORD.size)[0] for at in keys
    ]  # fmt: skip
    return [(WORD.unpack_from(found, at)[0], value) for at, value in zip(keys, told, strict=False)]


def _text(pid: int, place: int, names: Collection[str]) -> str:
    """Which of these names a string is; '' if it is another one, or no string."""
    size = TEXTS_AT[-1] + max(map(len, names)) + 1
    found = procfs.memory(pid, place, size) if _is_address(place) else b""
    told = next((name for name in names for at in TEXTS_AT if found[at:].startswith(name.encode() + b"\0")), "")
    return told if told and _type_name(pid, place).startswith(b"str\0") else ""


def _number(pid: int, place: int) -> float | None:
    """Of a float, and of an int of one digit (30 bits); None of anything else."""
    kind, words = _type_name(pid, place), procfs.memory(pid, place + NUMBER_AT, 2 * WORD.size)
    if kind.startswith(b"float\0") and words:
        return float(FLOAT.unpack_from(words)[0])
    if kind.startswith(b"int\0") and words and WORD.unpack_from(words)[0] in ONE_DIGIT:
        return float(DIGIT.unpack_from(words, WORD.size)[0])
    return None


def _type_name(pid: int, place: int) -> bytes:
    """The name of an object's type; b'' if there is no object."""
    kind = _word(pid, place + TYPE_AT) if _is_address(place) else 0
    name = _word(pid, kind + NAME_AT) if _is_address(kind) else 0
    return procfs.memory(pid, name, WORD.size) if _is_address(name) else b""


def _word(pid: int, place: int) -> int:
    words = procfs.memory(pid, place, WORD.size)
    return int(WORD.unpack(words)[0]) if words else 0


def _is_address(place: int) -> bool:
    """Whether an object may lie there: on the lower half, and on a word's border, as every address of one is."""
    return 1 << 16 <= place < 1 << 47
