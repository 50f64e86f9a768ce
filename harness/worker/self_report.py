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
    """The frames of all suspended greenlets, and of the one that the signal interrupted."""
    import gc

    import greenlet

    frames = [ob.gr_frame for ob in gc.get_objects() if isinstance(ob, greenlet.greenlet)]
    return [described(frame) for frame in [current] + frames if frame is not None]


def request_of(values):
    """The number of the request that the tracer runs; None for a task whose id is none of ours."""
    try:
        return contract.request_number(str(values.get("uuid")))
    except ValueError:
        return None


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
            "request": request_of(values) if code.co_name == TRACER else None,
        })  # fmt: skip
        frame = frame.f_back
    return found
