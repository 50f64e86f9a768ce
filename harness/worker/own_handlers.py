"""Handlers of signals that the application sets for itself, told to the driver as it sets them: such a signal may end a wait.

The kernel shows that a signal has a handler, not whose: of these, Celery, billiard, Python (faulthandler for what ends a
process) or a green library have handlers in workers of some pool (celery/apps/worker.py, billiard/common.py and pool.py).
Python's `signal.signal` looks up `_signal.signal` at each call. Python 3.7, standard library only.
"""

import _signal
import os

TOLD = (
    _signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM, _signal.SIGUSR1, _signal.SIGCHLD, _signal.SIGWINCH,
    _signal.SIGURG, _signal.SIGSEGV, _signal.SIGFPE, _signal.SIGABRT, _signal.SIGBUS, _signal.SIGILL,
)  # fmt: skip
OURS = ("billiard", "celery", "eventlet", "faulthandler", "gevent", "harness")
RUNNERS = "asyncio.runners"  # its handler of SIGINT ends a run as Python's own does; a loop's are the application's
SUFFIX = ".handlers"  # of the file of a process in the folder of events: a line for each such signal, its number


def watch(directory):
    """From now on, in this process and in those that it forks. What is set stays what it is."""
    plain = _signal.signal

    def signal(number, handler):
        before = plain(number, handler)
        if number in TOLD and is_own(number, handler):
            with open(os.path.join(directory, "%d%s" % (os.getpid(), SUFFIX)), "a") as file:
                file.write("%d\n" % number)
        return before

    _signal.signal = signal


def is_own(number, handler):
    """Whether it is the application's: no number (SIG_DFL, SIG_IGN), no module's of OURS, and not Python's own of Ctrl-C."""
    if not callable(handler) or (number == _signal.SIGINT and handler is _signal.default_int_handler):
        return False
    while hasattr(handler, "func"):  # a functools.partial, as asyncio's is
        handler = handler.func
    return not is_known(number, str(getattr(handler, "__module__", None) or ""))


def is_known(number, module):
    """Whether this module's handler of a signal is Celery's, a green library's, Python's or ours."""
    return module.partition(".")[0] in OURS or (number == _signal.SIGINT and module == RUNNERS)
