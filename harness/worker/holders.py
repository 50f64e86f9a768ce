"""Objects and classes whose attributes a thread sets, and tasks ask for: the one whose method it runs, and any other.

Told from two reaches (`reached.Reach`) by identity. Python 3.7, standard library only.
"""

import os
import socket
import sys
import threading
import types

from harness.worker import codes, own_process, polled, reached, shared_objects

CONNECTION = os.path.join("multiprocessing", "connection.py")


def held(tasks, thread, reach, known=None):
    """[what `shared_objects.shared` gives] of all of them. `reach`: the thread's."""
    owner = owner_of(thread)
    return owned(tasks, thread, reach, known) + of_others(tasks, reach, known, owner)


def of_others(tasks, thread, known=None, owner=None):
    """Likewise, of those that are not the thread's own, such as a class, or a namespace that it is given."""
    found = []
    for number, (label, value, users) in tasks.objects.items():
        theirs = thread.objects.get(number, ("", None, {}))[2]
        if value is owner or not users or shared_objects.kind(value):
            continue
        sets = frozenset().union(*(codes.sets(code) for code in theirs.values() if thread.own(code.co_filename)))
        asked = sets.intersection(name for code in users.values() for name in codes.words(code)[0])
        slots = {name: word for name, word in polled.of_attributes(value)["slots"].items() if name in asked} if asked else {}
        if slots:
            found.append(shared_objects.told(tasks, label, value, "holder", {"slots": slots}, users, theirs, known))
    return found


def owner_of(thread):
    """The object whose method a thread runs, or a thread of a class of its own; None of another one."""
    function = getattr(thread, "_target", None) or getattr(thread, "function", None)
    owner = getattr(function, "__self__", None)
    return thread if owner is None and type(thread).__module__ != "threading" else owner


def owned(tasks, thread, reach, known=None):
    """Likewise, of its owner, if tasks read there what may change. `reach`: the thread's.

    A number or a text that the thread never sets is the same in a child, and a socket is the kernel's: a server that stays in
    the main process serves the children from there. So does a thread that takes what comes through a pipe (`takes_from_pipe`).
    """
    owner = owner_of(thread)
    label, _, users = tasks.objects.get(id(owner), ("", None, {})) if owner is not None else ("", None, {})
    if (
        not users
        or shared_objects.kind(owner) not in ("", "Thread")
        or not changing(owner, users, reach)
        or takes_from_pipe(thread.ident)
    ):
        return []
    theirs = {number: code for number, code in reach.functions.items() if reach.own(code.co_filename)}
    return [shared_objects.told(tasks, label, owner, "owner", polled.of_attributes(owner), users, theirs, known)]


def takes_from_pipe(ident):
    """Whether a thread stands in the receiving of a pipe of multiprocessing's whose sending end this process has, too, so that
    its children have it: what they put into a queue between processes is taken where the thread is."""
    frame = sys._current_frames().get(ident)
    while frame is not None:
        end = frame.f_locals.get("self") if frame.f_code.co_filename.endswith(CONNECTION) else None
        number = getattr(end, "_handle", None)
        if isinstance(number, int):
            return own_process.has_other_end(number)
        frame = frame.f_back
    return False


def changing(owner, users, reach):
    """Whether these codes name an attribute of an object that the reach sets, or that is more than a plain value."""
    begins = getattr(getattr(owner, "run", None), "__code__", None) if isinstance(owner, threading.Thread) else None
    named = frozenset().union(*(codes.words(code)[0] for code in users.values() if code is not begins))
    sets = frozenset().union(*(codes.sets(code) for code in reach.functions.values()))
    own = reached.attributes(owner)
    if isinstance(owner, threading.Thread):  # without what every thread has
        own = {name: value for name, value in own.items() if name not in codes.sets(threading.Thread.__init__.__code__)}
    return any(name in sets or not settled(value) for name, value in own.items() if name in named)


def settled(value):
    """Whether it is the same in each process, whoever has it."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(settled, value))
    return isinstance(value, reached.PLAIN + (socket.socket, type, types.ModuleType, types.FunctionType))
