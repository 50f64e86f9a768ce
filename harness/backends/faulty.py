"""The `faulty` control: a `null` that misbehaves on request, so that every judgement can be tried on a known fault.

Options (a dict, from the cell's `fault`): `kind` and its `value`. What each kind does stands in FAULTS; a fault acts
from the request number `after` on (counted in this process, 3 if not given), so that a worker is warm and has made
progress when it strikes.
"""

import ctypes
import os
import threading
import time

from harness.backends import null

CALLS = ("predict",)
DEFAULT_AFTER = 3


def deadlock(value):
    """Wait for a lock that this thread holds already: nobody is left who could release it."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def sleep(value):
    """Take `value` seconds without computing, then answer: slow, not hung."""
    time.sleep(value)


def lock_wait(value):
    """Wait for a lock that another thread holds while it sleeps `value` seconds: ends by itself."""
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(value, lock.release).start()
    lock.acquire()


def spin(value):
    """Compute for `value` seconds in Python, then answer."""
    end = time.monotonic() + value
    while time.monotonic() < end:
        pass


def native_sleep(value):
    """Sleep `value` seconds in C with the GIL held: no other Python thread of this process can run."""
    ctypes.PyDLL(None).sleep(int(value))


def subprocess_wait(value):
    """Wait for a child process that computes for `value` seconds, as a compiler would."""
    import subprocess
    import sys

    code = "import time; end = time.monotonic() + %r\nwhile time.monotonic() < end: pass" % value
    subprocess.check_call([sys.executable, "-c", code])


def die(value):
    """End this process by signal number `value`."""
    os.kill(os.getpid(), int(value))
    time.sleep(60)


def leave(value):
    """Leave this process with exit code `value`."""
    os._exit(int(value))


def fail(value):
    """Raise."""
    raise ValueError("injected error %s" % value)


FAULTS = {
    "deadlock": deadlock,
    "sleep": sleep,
    "lock-wait": lock_wait,
    "spin": spin,
    "native-sleep": native_sleep,
    "subprocess-wait": subprocess_wait,
    "signal": die,
    "exit": leave,
    "error": fail,
}
# Faults that act when the model is loaded, or on the answer.
LOAD_FAULTS = {"load-sleep": sleep, "load-error": fail, "load-exit": leave}
WRONG = "wrong"


class Backend(null.Backend):
    name = "faulty"

    def __init__(self):
        self.options = {}

    def set_options(self, options):
        self.options = options

    def load(self, bundle_dir):
        act = LOAD_FAULTS.get(self.options.get("kind"))
        if act is not None:
            act(self.options.get("value", 0))
        return null.Backend.load(self, bundle_dir)

    def caller(self, model, call):
        answer = null.Backend.caller(self, model, call)
        kind, value = self.options.get("kind"), self.options.get("value", 0)
        act, after = FAULTS.get(kind), self.options.get("after", DEFAULT_AFTER)
        seen = [0]

        def predict(rows):
            seen[0] += 1
            if seen[0] <= after:
                return answer(rows)
            if act is not None:
                act(value)
            return answer(rows) + (1.0 if kind == WRONG else 0.0)

        return predict
