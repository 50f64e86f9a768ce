"""Which of Python's locks other threads of this process hold. Looked at from the thread that will fork; no lock is touched.

A plain lock has no owner: a thread holds it if it stands in the body of a `with` of that very object. An RLock says its owner,
and so do the locks of the import system. Python 3.7, standard library only.
"""

import ast
import os
import re
import sys
import threading
from threading import get_ident  # before the application may patch it

OWNER = re.compile(r"owner=(\d+)")
LOCKS = (type(threading.Lock()), type(threading.RLock()))
STDLIB = os.path.dirname(os.path.abspath(os.__file__))
MOST_FRAMES = 60
MOST_TEXT = 1000000  # characters of a module that is read
_WITHS = {}


def is_locked(lock):
    """Of a Lock and of an RLock, in any version."""
    return lock.locked() if type(lock) is LOCKS[0] else repr(lock).startswith("<locked")


def owner(lock):
    """The thread that an RLock says, 0 if it says none."""
    found = OWNER.search(repr(lock)) if type(lock) is LOCKS[1] else None
    return int(found.group(1)) if found else 0


def held_by_others(reached):
    """[(lock, thread's ident, file, line)] of what other threads hold now; `reached`: further locks to ask for their owner."""
    me, found = get_ident(), {}
    for ident, frame in list(sys._current_frames().items()):
        depth = 0
        while ident != me and frame is not None and depth < MOST_FRAMES:
            for lock, line in _entered(frame, ident):
                found[id(lock)] = (lock, ident, frame.f_code.co_filename, line)
            frame, depth = frame.f_back, depth + 1
    for lock in reached:
        whose = owner(lock)
        if whose not in (0, me) and id(lock) not in found:
            found[id(lock)] = (lock, whose, "", 0)
    return list(found.values())


def imports_of_others():
    """{module: ident of the thread that holds its import lock}."""
    import importlib._bootstrap as bootstrap

    found = {}
    for name, reference in list(getattr(bootstrap, "_module_locks", {}).items()):
        lock = reference()
        whose = getattr(lock, "owner", None)
        if whose not in (None, get_ident()):
            found[name] = whose
    return found


def _entered(frame, ident):
    """(lock, line) of the `with` statements in whose body a frame stands, if it is locked."""
    file = frame.f_code.co_filename
    if file.startswith(("<", STDLIB + os.sep)) and "site-packages" not in file:
        return
    for begin, end, line, parts in _withs(file):
        if begin <= frame.f_lineno <= end:
            lock = _named(frame, parts)
            lock = getattr(lock, "_lock", None) if type(lock) is threading.Condition else lock
            if type(lock) in LOCKS and is_locked(lock) and owner(lock) in (0, ident):
                yield lock, line


def _named(frame, parts):
    """The object of a name, or of an attribute of one, as the frame has it; None if that would run code."""
    found = frame.f_locals.get(parts[0], frame.f_globals.get(parts[0]))
    for name in parts[1:]:
        own = getattr(found, "__dict__", {}) if not isinstance(found, type) else vars(found)
        found = own.get(name, vars(type(found)).get(name) if found is not None else None)
    return found


def _withs(file):
    """[(first line of the body, last, line of the `with`, parts of the name)] of a source file."""
    if file not in _WITHS:
        _WITHS[file] = list(_read(file))
    return _WITHS[file]


def _read(file):
    try:
        with open(file, encoding="utf-8", errors="replace") as source:
            tree = ast.parse(source.read(MOST_TEXT))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.With, ast.AsyncWith)):
            last = max(getattr(each, "lineno", 0) for each in ast.walk(node))
            for item in node.items:
                parts = _parts(item.context_expr)
                if parts and node.body[0].lineno > node.lineno:
                    yield node.body[0].lineno, last, node.lineno, parts


def _parts(node):
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id] + names[::-1] if isinstance(node, ast.Name) else []
