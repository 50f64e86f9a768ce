"""What a process tells of itself on request, at two signals which do nothing to a process without a handler for them.

At SIGURG, a worker in a green pool writes `greenlets-PID.json`: a list of greenlets, each the list of its frames, innermost
first (`harness.worker.green`). At SIGWINCH, every process writes the Python stacks of its threads to
`stacks-PID.txt` beside its events (faulthandler: that works in a process whose threads all hang, and is the fallback where
py-spy may not look). faulthandler reads the frames of threads that run on meanwhile, which can crash the process, and did:
it is for a process that has its verdict already. Nothing runs until it is asked.
"""

import faulthandler
import json
import os
import signal
import threading

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
    from harness.worker import green

    path = os.path.join(directory, "greenlets-%d.json" % os.getpid())
    count = [0]

    def write(number, frame):
        count[0] += 1
        with open(path + ".new", "w") as file:
            json.dump({"count": count[0], "greenlets": green.everything(frame)}, file)
        os.replace(path + ".new", path)

    signal.signal(signal.SIGURG, write)
