"""Which of Python's own locks a thread waits for, and who holds it: read from the process's memory; nothing is stopped for it.

Up to 3.13, a `threading.Lock` or `RLock` of CPython is an object that points to a semaphore of its own
(Modules/_threadmodule.c, `lockobject` and `rlockobject`; Python/thread_pthread.h, USE_SEMAPHORES). A thread that waits for it
waits in a futex there. So the object is found by that pointer. Since 3.14 the object has a byte instead, a PyMutex; a thread
that waits for one is parked: its futex is on its own stack, right behind the address of that byte (Python/parking_lot.c,
`wait_entry`). Both are recognised by the name of the object's type. An RLock keeps its owner beside them: the thread's
pthread_t, which `threading.get_ident` returns. Seen so in 3.7 to 3.15. If the memory may not be read, nothing is found, and
nothing is said.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from mmap import PAGESIZE

from harness.machine import procfs

POINTER = struct.Struct("=Q")
#: from the object's beginning: reference count (in 3.14 its lower half), type, semaphore or PyMutex; of an RLock then its owner
OBJECT = struct.Struct("=LLQQQ")
BEFORE = 16  # bytes of an object before its pointer to the semaphore, or its PyMutex
NAME_AT = 24  # of PyTypeObject: reference count, type, size, name (tp_name)
KINDS = {b"_thread.lock\0": "threading.Lock", b"_thread.RLock\0": "threading.RLock"}
CHUNK, MOST = 4 << 20, 4 << 30  # bytes read at once, and in all: about a second for each of the last
SWAPPED = 1 << 62  # an entry of pagemap is as large or larger if its page is in memory or in the swap
MOST_REFERENCES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class PythonLock:
    """`kind`: threading.Lock or threading.RLock. `owner`: Python's id of the thread that holds it (its pthread_t); 0 if it
    keeps none, as a Lock does. `place`, `semaphore`: addresses of the object and of what it points to, 0 since 3.14."""

    kind: str
    owner: int = 0
    place: int = 0
    semaphore: int = 0


def waited_for(pid: int, tid: int) -> PythonLock | None:
    """The lock that a thread waits for; None if it waits for anything else, and if it cannot be told."""
    call = procfs.call(pid, tid)
    if call is None or call.kind != "futex" or not call.private or POINTER.size != struct.calcsize("P"):
        return None
    futex = call.arguments[0]
    return parked(pid, futex) or next(_objects(pid, futex), None)


def parked(pid: int, futex: int) -> PythonLock | None:
    """The lock of 3.14 or later for which a thread is parked in this futex."""
    before = procfs.memory(pid, futex - POINTER.size, POINTER.size)
    place = POINTER.unpack(before)[0] - BEFORE if before else 0
    return _lock(pid, place, 0) if place > 0 and place % POINTER.size == 0 else None


def copy_in(pid: int, lock: PythonLock) -> PythonLock | None:
    """The same lock at the same place in this process: the parent of a forked one has what was made before."""
    found = _lock(pid, lock.place, lock.semaphore)
    return found if found is not None and found.kind == lock.kind else None


def is_free(pid: int, lock: PythonLock) -> bool:
    """Whether nobody holds it in this process: the value of its semaphore is not 0 (glibc keeps it in the first 4 bytes, see
    nptl/sem_wait.c), or the lowest bit of its PyMutex is 0."""
    found = procfs.memory(pid, lock.semaphore or lock.place + BEFORE, 4)
    value = int.from_bytes(found, "little")
    return bool(found) and (value != 0 if lock.semaphore else not value & 1)


def _objects(pid: int, semaphore: int) -> Iterator[PythonLock]:
    """What points to this semaphore, and is one of Python's locks."""
    wanted, left = POINTER.pack(semaphore), MOST
    for begin, end in _writable(pid):
        for place in range(begin, end, CHUNK):
            for at, found in _touched(pid, place, min(place + CHUNK, end)):
                for offset in _places(found, wanted):
                    if lock := _lock(pid, at + offset - BEFORE, semaphore):
                        yield lock
                left -= len(found)
            if left <= 0:
                return


def _touched(pid: int, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(address, memory) of each run of pages that the process has used, from /proc/PID/pagemap (Documentation/admin-guide/mm/
    pagemap.rst): reading a page that is only reserved would give it one."""
    pages = procfs.pagemap(pid, begin, end) or [SWAPPED] * ((end - begin) // PAGESIZE)
    for used, run in groupby(range(len(pages)), lambda number: pages[number] >= SWAPPED):
        numbers = list(run)
        place, size = begin + numbers[0] * PAGESIZE, len(numbers) * PAGESIZE
        if used and (found := procfs.memory(pid, place, size)):
            yield place, found


def _places(memory: bytes, wanted: bytes) -> Iterator[int]:
    at = memory.find(wanted)
    while at >= 0:
        if at % POINTER.size == 0:
            yield at
        at = memory.find(wanted, at + 1)


def _lock(pid: int, place: int, semaphore: int) -> PythonLock | None:
    """The object at this place, if it is one. `semaphore`: to which it points; 0: it has a PyMutex."""
    words = procfs.memory(pid, place, OBJECT.size)
    if not words:
        return None
    references, _, kind, at, owner = OBJECT.unpack(words)
    if (semaphore and at != semaphore) or not 0 < references <= MOST_REFERENCES:
        return None
    name_at = procfs.memory(pid, kind + NAME_AT, POINTER.size)
    name = procfs.memory(pid, POINTER.unpack(name_at)[0], max(map(len, KINDS))) if name_at else b""
    known = next((word for start, word in KINDS.items() if name.startswith(start)), "")
    if not known:
        return None
    return PythonLock(kind=known, owner=owner if known == "threading.RLock" else 0, place=place, semaphore=semaphore)


def _writable(pid: int) -> list[tuple[int, int]]:
    """Where objects may lie: writable memory that is no file's and no stack. The small areas come first: Python's own are some
    megabytes, and a library may reserve gigabytes."""
    found = []
    for line in (procfs.read(f"/proc/{pid}/maps") or "").splitlines():
        fields = line.split(maxsplit=5)
        name = fields[5] if len(fields) > 5 else ""
        if fields[1].startswith("rw") and (not name or name == "[heap]" or name.startswith("[anon")):
            begin, _, end = fields[0].partition("-")
            found.append((int(begin, 16), int(end, 16)))
    return sorted(found, key=lambda area: area[1] - area[0])
