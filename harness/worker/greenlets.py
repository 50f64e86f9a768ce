"""Greenlets, told on request: what each of them waits in, which nobody can see from outside.

At SIGURG, which does nothing to a process that has no handler for it, a worker in a green pool writes one JSON file
beside its events: a list of greenlets, each the list of its frames, innermost first. Nothing runs until it is asked.
"""

import json
import os
import signal
import threading

MOST_FRAMES = 40
TASK_FUNCTION = "predict"


def is_green():
    """Whether this process was monkey-patched by gevent or eventlet."""
    return getattr(threading.Lock, "__module__", "_thread") != "_thread"


def answer_signals(directory):
    """From now on, SIGURG makes this process write `greenlets-PID.json` into `directory`."""
    path = os.path.join(directory, "greenlets-%d.json" % os.getpid())
    count = [0]

    def write(number, frame):
        count[0] += 1
        with open(path + ".new", "w") as file:
            json.dump({"count": count[0], "greenlets": everything(frame)}, file)
        os.replace(path + ".new", path)

    signal.signal(signal.SIGURG, write)


def everything(current):
    """The frames of all suspended greenlets, and of the one that the signal interrupted."""
    import gc

    import greenlet

    frames = [ob.gr_frame for ob in gc.get_objects() if isinstance(ob, greenlet.greenlet)]
    return [described(frame) for frame in [current] + frames if frame is not None]


def described(frame):
    found = []
    while frame is not None and len(found) < MOST_FRAMES:
        code, values = frame.f_code, frame.f_locals
        timeout = values.get("timeout")
        found.append({
            "function": code.co_name,
            "file": code.co_filename,
            "line": frame.f_lineno,
            "timeout": timeout if isinstance(timeout, (int, float)) else None,
            "request": values.get("number") if code.co_name == TASK_FUNCTION else None,
        })  # fmt: skip
        frame = frame.f_back
    return found
