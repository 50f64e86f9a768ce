"""The kernel's ids of threads that Python knows by another number: read from the process's memory, without stopping it.

Python before 3.11 keeps a thread's `pthread_t` alone, which is the address of glibc's struct pthread. Its `tid` stands behind
the header of the thread's control block and a list's two pointers (nptl/descr.h): the header is padded to 704 bytes on x86-64
(sysdeps/x86_64/nptl/tls.h), and to 24 pointers if it is elsewhere, as on aarch64, where nobody has tried this yet.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable

from harness.machine import procfs

PLACES = {"x86_64": 704 + 16, "aarch64": 24 * 8 + 16}
TID = struct.Struct("=I")


def native_ids(pid: int, handles: Iterable[int]) -> dict[int, int]:
    """Of each `pthread_t` of a process, the thread's id as it is here (of one in a container the memory has another); {} unless
    all of them are threads that the process has, each another one: with another C library, other words stand there."""
    place = PLACES.get(platform.machine())
    own = {handle: _read(pid, handle + place) for handle in handles} if place else {}
    if not own:
        return {}
    here = procfs.numbers_here(pid)
    found = {handle: here.get(tid, 0) if here else tid for handle, tid in own.items()}
    known = set(found.values())
    return found if len(known) == len(found) and known <= set(procfs.numbers(f"/proc/{pid}/task")) else {}


def _read(pid: int, address: int) -> int:
    words = procfs.memory(pid, address, TID.size)
    return TID.unpack(words)[0] if words else 0
