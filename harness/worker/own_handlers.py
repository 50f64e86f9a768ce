"""Handlers of signals that the application sets for itself, told to the driver as it sets them: such a signal may end a wait.

The kernel shows that a signal has a handler, not whose: of these two, Celery and billiard have handlers in every worker
(celery/apps/worker.py, billiard/pool.py). Python's `signal.signal` looks up `_signal.signal` at each call. Python 3.7, standard
library only.
"""

import _signal
import os

TOLD = (_signal.SIGHUP, _signal.SIGUSR1)
OURS = ("billiard", "celery", "faulthandler", "harness")
SUFFIX = ".handlers"  # of the file of a process in the folder of events: a line for each such signal, its number


def watch(directory):
    """From now on, in this process and in those that it forks. What is set stays what it is."""
    plain = _signal.signal

    def signal(number, handler):
        before = plain(number, handler)
        if number in TOLD and callable(handler) and _root(handler) not in OURS:
            with open(os.path.join(directory, "%d%s" % (os.getpid(), SUFFIX)), "a") as file:
                file.write("%d\n" % number)
        return before

    _signal.signal = signal


def _root(handler):
    return str(getattr(handler, "__module__", None) or "").partition(".")[0]
