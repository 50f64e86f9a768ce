"""Giving the disk back the middle of a file that somebody goes on writing: a hole, which is read as zeros (fallocate(2)).

Where the writer is, and what the file's size is, stay as they were. Not every file system can do it.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

KEEP_SIZE, PUNCH_HOLE = 1, 2  # FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE of linux/falloc.h
BLOCK = 512  # bytes per st_blocks, whatever the file system's own are (stat(2))
_libc = ctypes.CDLL(None, use_errno=True)


def keep_ends(path: Path, *, first: int, last: int, room: int) -> bool:
    """Give back what lies between the `first` bytes of a file and its `last` ones, if it takes more than `room` bytes of the
    disk; whether it was given back."""
    try:
        status = os.stat(path)
        end = status.st_size - last
        if status.st_blocks * BLOCK <= max(room, first + last) or end <= first:
            return False
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:  # it is not there
        return False
    try:
        offset, length = ctypes.c_int64(first), ctypes.c_int64(end - first)
        return bool(_libc.fallocate(descriptor, KEEP_SIZE | PUNCH_HOLE, offset, length) == 0)
    finally:
        os.close(descriptor)
