"""What of the application's own code a worker's own loop will call, beside its tasks: such a call may end a task's wait.

Timers that a bootstep or a receiver has set, receivers of the signals that the loop sends, commands of the remote control,
readers of the loop and what it calls soon, consumers of other messages, handlers of events of other workers, own ways of
receiving a task, and tasks that wait for their time. Told to the driver in words, whenever a task begins and nothing was told
for a while. Python 3.7, nothing but Celery. `harness.live.loop_calls` reads the same out of a worker's memory.
"""

import json
import os
import time

from harness.worker import contract
from harness.worker.green import LOOP, unwrapped

OWN = ("celery", "kombu", "billiard", "amqp", "redis", "vine", "harness")
EVERY_S = 0.5
#: sent while the loop turns: at each heartbeat, for a message that arrives, for a task that is revoked or has expired
#: (celery/worker/heartbeat.py, strategy.py, consumer/consumer.py, request.py; 4.4 to 5.7)
SIGNALS = ("heartbeat_sent", "task_received", "task_rejected", "task_unknown", "task_revoked")
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

    said = ["a receiver of %s" % name for name in SIGNALS for one in connected(getattr(signals, name)) if not _is_own(one)]
    said += ["the command %s" % name for name, function in Panel.data.items() if not _is_own(function)]
    for words, functions in (
        ("a timer that calls %s", _timers(consumer)),
        ("a reader that calls %s", _readers(consumer)),
        ("a callback that calls %s", _soon(consumer)),
        ("a consumer of messages, %s", _consumers(consumer)),
        ("a handler of events that calls %s", _handlers(consumer)),
    ):
        said += [words % _named(function) for function in functions if not _is_own(function)]
    said += ["%s, when a task is received" % way for way in _ways(consumer)]
    return sorted(set(said))


def _soon(consumer):
    hub = getattr(consumer, "hub", None)
    for kind in ("on_tick", "_ready"):
        for called in list(getattr(hub, kind, None) or ()):
            yield unwrapped(getattr(called, "fun", called))


def _consumers(consumer):
    """Steps of the consumer that take messages of their own (celery/bootsteps.py, ConsumerStep)."""
    return [type(step) for step in getattr(consumer, "steps", ()) if hasattr(step, "get_consumers")]


def _handlers(consumer):
    gossip = getattr(consumer, "gossip", None)
    joined = getattr(gossip, "on", None)  # sets of functions, by name
    called = [one for group in (vars(joined).values() if joined is not None else ()) for one in group]
    for name in ("event_handlers", "election_handlers"):
        called += (getattr(gossip, name, None) or {}).values()
    return [unwrapped(one) for one in called + list(getattr(consumer, "on_task_message", None) or ())]


def _ways(consumer):
    """How a message becomes a task: names of a strategy or a request class of one's own (celery/app/task.py)."""
    for task in list((getattr(getattr(consumer, "app", None), "tasks", None) or {}).values()):
        for kind in ("Strategy", "Request"):
            way = getattr(task, kind, None)
            own = way.partition(".")[0] in OWN if isinstance(way, str) else way is None or _is_own(way)
            if not own:
                yield way if isinstance(way, str) else _named(way)


def receivers(name):
    """The application's own receivers of a signal of Celery's, as 'load (tasks.py:6)'."""
    from celery import signals

    return sorted({_placed(one) for one in connected(getattr(signals, name)) if not _is_own(one)})


def of_loader(app):
    """The application's own `on_worker_process_init` of a loader, which children of prefork alone call; likewise, or none."""
    hook = getattr(type(app.loader), "on_worker_process_init", None)
    return [] if hook is None or _is_own(hook) else [_placed(hook)]


def _placed(function):
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    place = " (%s:%d)" % (os.path.relpath(code.co_filename), code.co_firstlineno) if code is not None else ""
    return _named(function) + place


def connected(signal):
    """What receives a signal of Celery's, and is still there."""
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
