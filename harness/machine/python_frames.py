"""The stack of a greenlet that waits, read out of a Python process's memory: no thread's stack shows it.

A greenlet is an object of C (greenlet/greenlet.h); what it keeps of its Python stack while another one runs is in its C++ part
(TGreenlet.hpp, `PythonState::_top_frame`), at a place that differs between releases: 12 to 14 words from its beginning in
greenlet 2.0.2 to 3.5.6. It is the only frame object that is pointed to there, and so is found by its type. The part of another
greenlet may lie 20 words further, so that no more are looked through: one that runs, or has not begun, has no frame there. From
the frame on, Python's own list of frames is followed (Include/internal/pycore_frame.h, Include/cpython/frameobject.h).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.machine.python_layouts import WORD
from harness.machine.python_memory import Unreadable
from harness.machine.python_objects import Objects

GREENLET = "greenlet.greenlet"
PART_AT, PART_WORDS = 32, 20  # of a greenlet: where its C++ part is, and how much of that is looked through
INNER_AT = 24  # of a frame object since 3.11: where the frame itself is
NAME_AFTER_FILE = 8  # of a code object: its own name, so many after that of its file
MOST_FRAMES = 200


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A function that runs. `code`: its code object; `locals`: where the addresses of its local variables stand."""

    name: str
    file: str
    code: int
    locals: int


def is_greenlet(objects: Objects, place: int) -> bool:
    return any(one.name == GREENLET for one in objects.bases(objects.kind(place)))


def of_greenlet(objects: Objects, place: int) -> list[Frame]:
    """Its stack, innermost first. Raises Unreadable: it is no greenlet, runs now, or has ended."""
    if not is_greenlet(objects, place):
        raise Unreadable("it is no greenlet")
    part = objects.memory.word(place + PART_AT)
    top = next((one for one in _pointers(objects, part) if _is_frame(objects, one)), 0)
    found = list(of_frame(objects, top)) if top else []
    if not found:
        raise Unreadable("the greenlet has no stack that can be read")
    return found


def local(objects: Objects, frame: Frame, name: str) -> int:
    """The address of a local variable; 0 if it has none of this name, or nothing in it. Raises Unreadable."""
    layout = objects.layout
    names = objects.items(objects.memory.word(frame.code + layout.code_file - layout.local_names))
    at = next((number for number, one in enumerate(names) if objects.text(one) == name), -1)
    return objects.memory.word(frame.locals + at * WORD.size) & ~layout.tags if at >= 0 else 0


def _pointers(objects: Objects, part: int) -> Iterator[int]:
    for number in range(PART_WORDS):
        try:
            yield objects.memory.word(part + number * WORD.size)
        except Unreadable:
            return


def _is_frame(objects: Objects, place: int) -> bool:
    try:
        return objects.kind(place).builtin == "frame"
    except Unreadable:
        return False


def of_frame(objects: Objects, top: int) -> Iterator[Frame]:
    """By the address of a frame object: its function, and what has called it. Raises Unreadable."""
    memory, layout = objects.memory, objects.layout
    code_at, before_at, locals_at = layout.frame
    left, place = MOST_FRAMES, memory.word(top + INNER_AT) if layout.inner_frame else top
    while place and left:
        code, left = memory.word(place + code_at) & ~layout.tags, left - 1
        if objects.kind(code).builtin != "code":
            return
        file = memory.word(code + layout.code_file)
        name = memory.word(code + layout.code_file + NAME_AFTER_FILE)
        yield Frame(name=objects.text(name), file=objects.text(file), code=code, locals=place + locals_at)
        place = memory.word(place + before_at)
