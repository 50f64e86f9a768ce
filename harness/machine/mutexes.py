"""Whether some words of memory are a mutex of glibc's that somebody waits for, and which thread holds it then. Pure."""

from __future__ import annotations

import struct

#: a pthread_mutex_t on 64 bits: lock, count, owner, users, kind, spins, and where it stands in a list if it is a robust one
MUTEX = struct.Struct("=IIIIIIQQ")
MOST_USERS, MOST_KIND, RECURSIVE = 10_000, 0x3FF, 1  # other memory has other words there; of a pointer, half is over 20,000


def owner(words: bytes, most: int) -> int:
    """The owner that these words name, if they can be such a mutex; 0 if not. `most`: the highest number of a thread.

    >>> owner(MUTEX.pack(2, 0, 4711, 1, 0, 0, 0, 0), 32768), owner(MUTEX.pack(2, 1, 4711, 1, 1, 0, 0, 0), 32768)
    (4711, 4711)
    >>> owner(MUTEX.pack(2, 1, 4711, 1, 0, 0, 0, 0), 32768), owner(MUTEX.pack(2, 0, 40000, 1, 0, 0, 0, 0), 32768)
    (0, 0)
    """
    lock, count, holder, users, kind, *_, before, after = MUTEX.unpack(words)
    counts = bool(count) == (kind & 3 == RECURSIVE)
    fits = lock == 2 and counts and 0 < users <= MOST_USERS and kind <= MOST_KIND and not (before or after)
    return int(holder) if fits and 1 < holder <= most else 0
