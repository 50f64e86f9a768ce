"""What of the application's own code a worker's own loop will call, beside its tasks: such a call may end a task's wait.

Timers that a bootstep or a receiver has set, receivers of `heartbeat_sent`, commands of the remote control, readers of the
loop, and tasks that wait for their time. Told to the driver in words, whenever a task begins and nothing was told for a while.
Python 3.7, nothing but Celery.
"""

import json
import os
import time

from harness.worker import contract
from harness.worker.green import LOOP, unwrapped

OWN = ("celery", "kombu", "billiard", "amqp", "redis", "vine", "harness")
EVERY_S = 0.5
_kept = {
    "consumer": None,
    "pid": 0,
    "told": None,
    "at_s": 0.0,
    "later": {},
}  # `later`: tasks that wait for their time, id -> name


def watch(consumer):
    """From now on, of this worker; to be called in its main process."""
    _kept.update(consumer=consumer, pid=os.getpid())


def put_off(task_id, name):
    """A task that waits for its time has been received."""
    _kept["later"][task_id] = name


def begun(task_id):
    """It waits no longer."""
    _kept["later"].pop(task_id, None)


def tell(directory, now=False):
    """Write what there is, if it has changed."""
    at_s = time.monotonic()
    if _kept["pid"] != os.getpid() or (not now and at_s - _kept["at_s"] < EVERY_S):  # a child has a copy, and no loop
        return
    _kept["at_s"] = at_s
    try:
        told = found(_kept["consumer"])
    except Exception as error:  # another release may keep these things elsewhere: then nobody knows
        told = ["what could not be read (%s)" % type(error).__name__]
    told = told + ["the task %s, when its time comes" % name for name in list(_kept["later"].values())]
    if told != _kept["told"]:
        _kept["told"] = told
        path = os.path.join(directory, contract.HOOKS)
        with open(path + ".new", "w") as file:
            json.dump(told, file)
        os.replace(path + ".new", path)


def found(consumer):
    """In words."""
    from celery import signals
    from celery.worker.control import Panel

    said = ["a receiver of heartbeat_sent" for one in _receivers(signals.heartbeat_sent) if not _is_own(one)]
    said += ["the command %s" % name for name, function in Panel.data.items() if not _is_own(function)]
    said += ["a timer that calls %s" % _named(function) for function in _timers(consumer) if not _is_own(function)]
    said += ["a reader that calls %s" % _named(function) for function in _readers(consumer) if not _is_own(function)]
    return sorted(set(said))


def _receivers(signal):
    for key, receiver in list(signal.receivers or ()):
        receiver = receiver() if hasattr(receiver, "__callback__") else receiver  # a weak reference
        if receiver is not None:
            yield receiver


def _timers(consumer):
    timers = [getattr(one, "timer", None) for one in (consumer, getattr(consumer, "hub", None))]
    for timer in {id(one): one for one in timers if one is not None}.values():
        for entry in list(getattr(timer, "queue", None) or ()):
            if not isinstance(entry, tuple):  # a green pool's timers are greenlets, which are told of as such
                continue
            called = unwrapped(entry[2])
            if called != LOOP:  # a task, see `put_off`
                yield called


def _readers(consumer):
    hub = getattr(consumer, "hub", None)
    for kind in ("readers", "writers"):
        for called in list((getattr(hub, kind, None) or {}).values()):
            yield unwrapped(called[0] if isinstance(called, tuple) else called)


def _is_own(function):
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0] in OWN


def _named(function):
    return getattr(function, "__qualname__", None) or type(function).__name__
