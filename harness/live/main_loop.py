"""What a main process's stack tells of its own loop: that it is a green pool's, or stands in a call that leaves no frame."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.observe.looks import ProcessLook
from harness.observe.roles import CELERYS, INSTALLED, Role

#: of an innermost frame, 'run (…/gevent/hub.py)'
HUB_OF = re.compile(INSTALLED + r"(?P<name>gevent|eventlet)/(hub|hubs/\w+|_waiter|_gevent_c\w*)\.py\)$")
CALLS = re.compile(INSTALLED + r"kombu/asynchronous/\w+\.py\)$")
IN_CHILDREN = frozenset({Role.IDLE, Role.STARTING, Role.ENDING, Role.RUNNING})


def children(main: int, processes: Sequence[ProcessLook]) -> tuple[ProcessLook, ...]:
    """The pool's own, in prefork."""
    return tuple(one for one in processes if one.pid != main and one.role in IN_CHILDREN)


def green(main: int, processes: Sequence[ProcessLook]) -> str:
    """The green pool whose loop stands on the main thread, of which a script's command line says nothing; '' if none does. With
    a pool of children, a library that has patched Python has its loop there, too."""
    if children(main, processes):
        return ""
    function, _ = next((one.functions.get(main, ("", 0)) for one in processes if one.pid == main), ("", 0))
    found = HUB_OF.search(function)
    return found["name"] if found else ""


def hides(main: int, processes: Sequence[ProcessLook]) -> bool:
    """Whether a thread of a worker without children runs the loop of a green library: a task's own greenlet then stands on no
    thread's stack."""
    functions = next((one.functions for one in processes if one.pid == main), {})
    return not children(main, processes) and any(HUB_OF.search(function) for function, _ in functions.values())


def is_in_a_call(looks: Sequence[tuple[ProcessLook, ...]], main: ProcessLook) -> bool:
    """Whether the worker's own loop has called what has not come back, and leaves no frame, as what is written in C. kombu's
    hub and its timers wait for nothing themselves; whatever else of Celery's is innermost waits for no lock."""
    function, _ = main.functions.get(main.pid, ("", 0))
    if main.role is not Role.MAIN or not (CELERYS.search(function) or HUB_OF.search(function)):
        return False
    seen = [thread for look in looks for one in look if one.pid == main.pid for thread in one.threads if thread.tid == main.pid]
    still = len(seen) == len(looks) and seen[0].switches == seen[-1].switches
    if CALLS.search(function):
        return still and all(one.waits_in != "running" for one in seen)
    return still and all(one.waits_in == "futex" and not one.timed for one in seen)
