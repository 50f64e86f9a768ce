"""Errors, exits, and answers that never come."""

import os
import threading
import time

CHUNK = 50 * 2**20
LONG = 10**7  # characters
HOARD = []


def die(value):
    """End this process by signal number `value`."""
    os.kill(os.getpid(), int(value))
    time.sleep(60)


def leave(value):
    """Leave this process with exit code `value`."""
    os._exit(int(value))


def abort(value):
    """Abort, as a failed assertion in C does."""
    os.abort()


def fail(value):
    """Raise."""
    raise ValueError("injected error %s" % value)


def fail_at_length(value):
    """Raise an error whose text has ten million characters."""
    raise ValueError("x" * LONG)


class Unpicklable(Exception):
    """An error that no other process can get."""

    def __init__(self, one, two):
        super(Unpicklable, self).__init__(one)
        self.lock = threading.Lock()


def fail_unpicklably(value):
    """Raise an error that cannot be pickled."""
    raise Unpicklable("one", "two")


def recurse(value):
    """Call itself until Python raises."""
    recurse(value)


def leave_politely(value):
    """Raise SystemExit, as argparse does."""
    raise SystemExit(int(value))


def interrupt(value):
    """Raise KeyboardInterrupt."""
    raise KeyboardInterrupt


def cancel(value):
    """Raise CancelledError, which is no Exception from Python 3.8 on."""
    import asyncio

    raise asyncio.CancelledError


def out_of_memory(value):
    """Raise MemoryError, as a library does that was asked for too much."""
    raise MemoryError("cannot allocate")


def lose_reply(value):
    """Do the work and send no answer: Celery's own Ignore stores no result."""
    from celery.exceptions import Ignore

    raise Ignore()


def grow(value):
    """Take 50 MiB more, and keep them, until this process may have no more than `value` MiB above what it began with."""
    import resource

    if not HOARD:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + int(value) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    try:
        HOARD.append(b"x" * CHUNK)
    except MemoryError:
        del HOARD[1:]  # enough to raise and to report it
        raise


FAULTS = {
    "signal": die,
    "exit": leave,
    "abort": abort,
    "error": fail,
    "long-error": fail_at_length,
    "unpicklable-error": fail_unpicklably,
    "recursion": recurse,
    "system-exit": leave_politely,
    "keyboard-interrupt": interrupt,
    "cancelled": cancel,
    "memory-error": out_of_memory,
    "lost-reply": lose_reply,
    "memory": grow,
}
