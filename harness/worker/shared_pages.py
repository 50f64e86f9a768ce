"""What tasks reach of memory that a fork shares, and does not copy: `mmap`, and the arrays of multiprocessing.

Told from a reach (`reached.Reach`). mmap(2), MAP_SHARED: what one process writes there, all see. Memory with a path, of a file
or of `shared_memory`, is none of these: whoever opens it shares it, by fork or not. Python 3.7, standard library only.
"""

import ctypes
import types

from harness.worker.shared_objects import place


def mapped(tasks):
    """[[label, places of the application's own that name it]] of objects whose bytes lie in memory that is shared, and may be
    written."""
    spans, found = shared_spans(), []
    for label, value, users in tasks.objects.values():
        own = [code for code in users.values() if tasks.own(code.co_filename)]
        if own and spans and in_any(address(value), spans):
            found.append([label, [place(code) for code in own]])
    return found


def shared_spans():
    """[(first, last)] addresses that are mapped for writing, and shared, by nobody but who inherits them."""
    found = []
    with open("/proc/self/maps") as file:
        for line in file:
            span, mode, _, _, _, path = (line.rstrip("\n").split(None, 5) + [""])[:6]
            if mode.startswith("rw") and mode.endswith("s") and (path.endswith(" (deleted)") or not path.startswith("/")):
                first, _, last = span.partition("-")
                found.append((int(first, 16), int(last, 16) - 1))
    return found


def in_any(number, spans):
    return any(first <= number <= last for first, last in spans)


def address(value):
    """Where the bytes of an object lie that can be written; 0 of another one. It is let go of at once: who holds a buffer keeps
    its owner from growing. No code of Python's is run for it."""
    if isinstance(getattr(type(value), "__buffer__", None), types.FunctionType):
        return 0
    try:
        if isinstance(value, (ctypes.Array, ctypes._SimpleCData, ctypes.Structure)):
            return ctypes.addressof(value)
        with memoryview(value) as view:
            return ctypes.addressof(ctypes.c_char.from_buffer(view)) if view.nbytes and not view.readonly else 0
    except Exception:  # it has no bytes, or they do not lie in one piece
        return 0
