"""What a process tells of itself on request, at two signals which do nothing to a process without a handler for them.

At SIGURG, a worker in a green pool writes `greenlets-PID.json`: a list of greenlets, each the list of its frames, innermost
first; nobody can see those from outside. At SIGWINCH, every process writes the Python stacks of its threads to
`stacks-PID.txt` beside its events (faulthandler: that works in a process whose threads all hang, and is the fallback where
py-spy may not look). faulthandler reads the frames of threads that run on meanwhile, which can crash the process, and did:
it is for a process that has its verdict already. Nothing runs until it is asked.
"""

import faulthandler
import json
import os
import signal
import sys
import threading

from harness.worker import contract

MOST_FRAMES = 80
TRACER = "trace_task"  # Celery's function around every task: its `uuid` is the request's id (celery/app/trace.py)
_kept = {}  # the open file: faulthandler knows only its number


def is_green():
    """Whether this process was monkey-patched by gevent or eventlet."""
    return getattr(threading.Lock, "__module__", "_thread") != "_thread"


def answer_signals(directory):
    """From now on, the signals make this process tell; to be called again in a forked child, for files of its own."""
    if is_green():
        _tell_greenlets(directory)
    _kept["file"] = open(os.path.join(directory, "stacks-%d.txt" % os.getpid()), "w")
    faulthandler.register(signal.SIGWINCH, file=_kept["file"], all_threads=True)


def _tell_greenlets(directory):
    path = os.path.join(directory, "greenlets-%d.json" % os.getpid())
    count = [0]

    def write(number, frame):
        count[0] += 1
        with open(path + ".new", "w") as file:
            json.dump({"count": count[0], "greenlets": everything(frame)}, file)
        os.replace(path + ".new", path)

    signal.signal(signal.SIGURG, write)


def everything(current):
    """The frames of all suspended greenlets, and of the one that the signal interrupted; of one that is yet to begin, where."""
    greenlets, timeouts = objects()
    timed = targets(timeouts)
    found = [described(current)]
    for one in greenlets:
        if one.gr_frame is not None:
            found.append(described(one.gr_frame, id(one) in timed))
        elif getattr(one, "_start_event", None) and not one.dead:
            found.append(unborn(one))
    return [frames for frames in found if frames]


def objects():
    """(greenlets, Timeouts) of this process, in one pass over all its objects: the less it takes, the better."""
    import gc

    import greenlet

    greenlets, timeouts, places = [], [], {}
    for one in gc.get_objects():
        kind = type(one)
        place = places.get(kind, places)
        if place is places:
            green = timeouts if kind.__name__ == "Timeout" else None
            place = places[kind] = greenlets if issubclass(kind, greenlet.greenlet) else green
        if place is not None:
            place.append(one)
    return greenlets, timeouts


def targets(timeouts):
    """The ids of the greenlets whose wait a pending Timeout of gevent or eventlet will end: a timer, no other greenlet."""
    found = set()
    for one in timeouts:
        timer = getattr(one, "timer", None) if getattr(one, "pending", False) else None
        called = list(getattr(timer, "args", None) or ())
        called += [getattr(part, "__self__", None) for part in getattr(timer, "tpl", None) or ()]
        found.update(id(part) for part in called if part is not None)
    return found


def unborn(one):
    """One frame for a greenlet that was spawned for later: the file of what it will run."""
    code = getattr(getattr(one, "_run", None), "__code__", None)
    module = sys.modules.get(type(getattr(one, "_run", None)).__module__)
    file = code.co_filename if code else getattr(module, "__file__", None) or ""
    return (
        [{"function": code.co_name if code else "", "file": file, "line": 0, "timeout": None, "request": None}] if file else []
    )


def request_of(values):
    """The number of the request that the tracer runs; None for a task whose id is none of ours."""
    try:
        return contract.request_number(str(values.get("uuid")))
    except ValueError:
        return None


def described(frame, timer=False):
    """Innermost first; `timer`: whether a timer of the loop will strike this greenlet."""
    found = []
    while frame is not None and len(found) < MOST_FRAMES:
        code, values = frame.f_code, frame.f_locals
        timeout = values.get("timeout")
        found.append({
            "function": code.co_name,
            "file": code.co_filename,
            "line": frame.f_lineno,
            "timeout": timeout if isinstance(timeout, (int, float)) else None,
            "request": request_of(values) if code.co_name == TRACER else None,
            "timer": timer and not found,
        })  # fmt: skip
        frame = frame.f_back
    return found
