"""Answers that are not the right ones, in every pool or in some: (this answer, the right one before) -> what is answered."""

import threading
import time

SHARED = {}
OWN = threading.local()
LOADED = threading.Event()
LOAD_S, LIMIT_S = 2.0, 2.5


def spoil(answer, before):
    """An answer that is off by one."""
    return answer + 1.0


def cross(answer, before):
    """The answer that belongs to the request before this one."""
    return answer if before is None else before


def no_number(answer, before):
    """An answer of the right shape with nothing but NaN in it."""
    return answer * float("nan")


def enlarge(answer, before):
    """An answer of a million numbers."""
    import numpy

    return numpy.zeros((len(answer), 10**6))


def share(answer, before):
    """The answer by way of a variable of the process, which is not safe where requests run beside each other."""
    SHARED["answer"] = answer
    time.sleep(0.01)
    return SHARED["answer"]


def configured(answer, before):
    """The right answer in the thread (or greenlet) that loaded the model, for it alone has the setting; another elsewhere."""
    return answer if getattr(OWN, "configured", False) else answer + 1.0


def late(answer, before):
    """A default answer, if the thread that loads the model has not come to an end within the limit."""
    return answer if LOADED.wait(LIMIT_S) else answer + 1.0


def configure(value):
    """Make the setting, for this thread."""
    OWN.configured = True


def load_in_background(value):
    """Load the model in a thread, which a forked child does not have."""

    def load():
        time.sleep(LOAD_S)
        LOADED.set()

    threading.Thread(target=load, daemon=True).start()


FAULTS = {
    "wrong": spoil,
    "crossed": cross,
    "nan": no_number,
    "huge": enlarge,
    "shared-state": share,
    "thread-local": configured,
    "late-loader": late,
}
