"""Where CPython keeps what in its objects: 3.7 to 3.15 on 64 bits, in a release build with the GIL.

Each number is the `offsetof` of the field in the headers of 3.7.16, 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1, 3.13.0, 3.14.8
and 3.15.0, as a C compiler says it: Include/object.h, funcobject.h, code.h, dictobject.h, unicodeobject.h, setobject.h,
descrobject.h, weakrefobject.h, cellobject.h and frameobject.h, and those of `Include/cpython` and `Include/internal`. A
debugging build and one without the GIL have another header before each object, so that nothing in them is recognised.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from harness.machine import procfs

WORD, FLOAT, DIGIT = struct.Struct("=Q"), struct.Struct("=d"), struct.Struct("=I")
# the same in all of these versions, in bytes from the object's beginning
TYPE_AT, SIZE_AT, BODY_AT = 8, 16, 24  # of any object: its type; of one of variable size: how many items, and where they begin
NAME_AT, BASIC_AT, FLAGS_AT, TYPE_DICT_AT, DICT_OFFSET_AT, MRO_AT = 24, 32, 168, 264, 288, 344  # of a type
USED_AT, KEYS_AT, VALUES_AT = 16, 32, 40  # of a dict
SET_USED_AT, SET_MASK_AT, SET_TABLE_AT = 24, 32, 40
STATE_AT = 32  # of a str: length at SIZE_AT
METHOD_FUNCTION_AT, METHOD_SELF_AT, BUILTIN_AT, BUILTIN_SELF_AT = 16, 24, 16, 24  # PyMethodObject, PyCFunctionObject
PARTIAL_AT = (16, 24, 32)  # func, args, keywords
MODULE_DICT_AT, REFERENT_AT, CELL_AT = 16, 16, 16
MEMBER_AT, MEMBER_OFFSET_AT = 40, 16  # of a member's descriptor: its PyMemberDef; in that, where the member is in an object
# flags of types, Include/object.h
INLINE_VALUES, MANAGED_DICT, HEAP_TYPE = 1 << 2, 1 << 4, 1 << 9
LIST, TUPLE, UNICODE, DICT, CLASS = 1 << 25, 1 << 26, 1 << 28, 1 << 29, 1 << 31
DIGIT_BITS, SIGN_BITS, SIGN, IS_ZERO = 30, 3, 3, 1  # of an int, Include/cpython/longintrepr.h
MANAGED_AT, APART_AT = -24, -32  # of an object with a managed dictionary: where that is; in 3.11, its values


class Values(Enum):
    """Where the values are of an object that has no dictionary of its own yet."""

    NONE = "such an object has none"
    APART = "a pointer leads to them"  # 3.11
    TAGGED = "the pointer to its dictionary leads to them, less one"  # 3.12
    BEHIND = "behind the object itself"  # 3.13


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Of one version, in bytes. Of a function: `globals`, `code`, `closure`, `qualname`, `module`."""

    globals: int = 16
    code: int = 48
    closure: int = 72
    qualname: int = 40
    module: int = 104
    code_file: int = 112
    text: int = 48  # where the text of a str begins that is ASCII alone
    wide_text: int = 72  # and of any other
    cached_keys: int = 0  # of a class, since 3.11
    values: Values = Values.NONE
    values_begin: int = 0  # in the block to which a dictionary's, or an object's, pointer leads
    new_keys: bool = False  # a block of entries begins as since 3.11
    tagged_int: bool = False  # an int's sign stands beside its size, as since 3.12
    frame: tuple[int, int, int] = (32, 24, 360)  # its code, the one that called it, its locals
    inner_frame: bool = False  # since 3.11 that is behind the frame object
    tuple_items: int = BODY_AT  # of a tuple; since 3.14 behind its hash
    tags: int = 0  # of what a frame keeps, the lowest bits that are no part of an address: since 3.14
    local_names: int = 32  # of a code object: their tuple, so many before the name of its file


_OLD = Layout(globals=24, code=16, closure=48, qualname=104, module=88, code_file=104)
_NEW = Layout(
    cached_keys=880, values=Values.TAGGED, new_keys=True, tagged_int=True, text=40, wide_text=56, frame=(0, 8, 72),
    inner_frame=True, local_names=16,
)  # fmt: skip
_13 = replace(_NEW, values=Values.BEHIND, values_begin=8)
_14 = replace(_13, tuple_items=32, frame=(0, 8, 80), tags=3)
LAYOUTS = {
    7: replace(_OLD, code_file=96),
    8: _OLD,
    9: _OLD,
    10: Layout(code_file=104, frame=(32, 24, 352)),
    11: Layout(cached_keys=872, values=Values.APART, new_keys=True, frame=(32, 48, 72), inner_frame=True, local_names=16),
    12: _NEW,
    13: _13,
    14: _14,
    15: replace(_14, cached_keys=888),
}
NAMED = re.compile(r"python3\.(?P<minor>\d+)(?P<build>[a-z]*)")
ANY = re.compile(r"/(lib)?(python|pypy)[\d.]*[a-z]*(\.so[\d.]*)?( \(deleted\))?$", re.MULTILINE)
PLAIN = ("", "m")  # 3.7's own names have an `m`; a `d` or a `t` is another build


def of_process(pid: int) -> Layout | None:
    """Of the Python that a process runs, as its program's name tells, else its libraries'; None if it is none of these
    versions, and if that cannot be told."""
    lines = (procfs.read(f"/proc/{pid}/maps") or "").splitlines()
    return named(procfs.link(f"/proc/{pid}/exe"), [line.split(maxsplit=5)[5] for line in lines if "/" in line])


def is_python(pid: int) -> bool:
    """Whether a process runs Python, of any version and kind, as the names of its program and of its libraries tell."""
    program, maps = procfs.link(f"/proc/{pid}/exe"), procfs.read(f"/proc/{pid}/maps") or ""
    return bool(ANY.search(program) or ANY.search(maps))


def data(pid: int) -> tuple[tuple[int, int], ...]:
    """From where to where the writable data lie of the program, and of Python's library: what begins as zeros lies behind the
    rest, and has no name. The interpreter's own state is there, with the GIL; () if they cannot be told."""
    program, before, found = procfs.link(f"/proc/{pid}/exe"), "", list[tuple[int, int]]()
    for line in (procfs.read(f"/proc/{pid}/maps") or "").splitlines():
        fields = line.split(maxsplit=5)
        addresses, rights = fields[:2]
        before = file = fields[5] if len(fields) > 5 else before
        if rights.startswith("rw") and (file == program or "/libpython" in file):
            begin, end = (int(text, 16) for text in addresses.split("-"))
            found.append((begin, end))
    return tuple(found)


def named(program: str, files: Iterable[str]) -> Layout | None:
    """
    >>> named("/usr/bin/python3.11", ["/v/lib/python3.9/x.so"]) is LAYOUTS[11]
    True
    >>> named("/usr/bin/uwsgi", ["/usr/lib/libpython3.8.so.1.0", "/srv/python3.9"]) is LAYOUTS[8]
    True
    >>> named("/usr/bin/python3.13t", []), named("/bin/sh", ["/a/python3.11/x.so", "/a/python3.12/x.so"])
    (None, None)
    """
    known = list(files)
    groups = ([program.rpartition("/")[2]], [file for file in known if "/libpython" in file], known)
    told = ({one.groups() for file in group for one in NAMED.finditer(file)} for group in groups)
    found = next((one for one in told if one), set())
    minors = {int(minor) for minor, _ in found}
    plain = all(build in PLAIN for _, build in found)
    return LAYOUTS.get(min(minors)) if len(minors) == 1 and plain else None
