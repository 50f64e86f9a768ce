"""Computing for long, or for ever."""

import hashlib
import threading
import time

NO_END = 2**31 - 1
OWN = threading.local()
CHUNK = 20000  # rounds of PBKDF2, some milliseconds


def spin(value):
    """Compute for `value` seconds in Python, then answer."""
    end = time.monotonic() + value
    while time.monotonic() < end:
        pass


def native_spin(value):
    """Compute in C (PBKDF2, without the GIL) for a time that has no end, as far as a trial goes."""
    while True:
        _hash(NO_END)


def native_spin_for(value):
    """Compute in C, without the GIL, for `value` seconds."""
    end = time.monotonic() + value
    while time.monotonic() < end:
        _hash(CHUNK)


def _hash(rounds):
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)


def endless_loop(value):
    """Compute in Python, in one function, for ever."""
    while True:
        pass


def endless_search(value):
    """Compute in Python for ever, from one function to the next, as a solver does that never converges."""
    steps = [_halve, _grow, _shrink]
    number = 0
    while True:
        number = steps[number % 3](number)


def _halve(number):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    return number + 1


def _grow(number):
    total = 0
    for each in range(500000):
        total += each
    return number + 1


def _shrink(number):
    return number + 1 + len([each for each in range(500000)]) - 500000


def load_per_thread(value):
    """Compute for `value` seconds wherever a thread has no model of its own yet; each greenlet of a green pool is a new one."""
    if not getattr(OWN, "loaded", False):
        spin(value)
        OWN.loaded = True


def collection(value):
    """Compute in C with the GIL held for `value` seconds, in one call, as a long garbage collection does."""
    import collections
    import itertools

    end = time.monotonic() + value
    collections.deque(itertools.takewhile(end.__gt__, iter(time.monotonic, None)), maxlen=0)  # all of it is C


FAULTS = {
    "spin": spin,
    "native-spin": native_spin,
    "endless-loop": endless_loop,
    "endless-search": endless_search,
    "load-per-thread": load_per_thread,
    "collection": collection,
}
DEAR_FAULTS = {"dear-row": spin, "dear-row-in-c": native_spin_for}
