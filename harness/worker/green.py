"""What the greenlets of a worker in a green pool wait in, by gevent or eventlet: nobody can see that from outside.

One pass over the process's objects finds its greenlets, the locks, events and queues that have greenlets in their lists of who
waits (gevent's are C code, and leave no frame), and what its event loop will call by itself. See `harness.observe.greenlets`
for what it is read as. Python 3.7, standard library only; greenlet is there where this is called.
"""

import gc
import sys

from harness.worker import contract

MOST_FRAMES = 80
TRACER = "trace_task"  # Celery's function around every task: its `uuid` is the request's id (celery/app/trace.py)
#: kinds of what a loop calls by itself: gevent's watchers (gevent/libev/corecext.pyx, gevent/_ffi/watcher.py), eventlet's
#: timers and listeners (eventlet/hubs)
WATCHERS = (
    "timer", "io", "signal", "async_", "child", "stat", "check", "prepare", "idle", "fork", "Timer", "LocalTimer", "FdListener",
)  # fmt: skip
#: gevent's own callbacks that run nothing of the application's: what they end is a wait in a thread or a child, which is seen
#: from outside, or in a select, which is told of as such
INSIDE = (
    "gevent.threadpool", "gevent._threading", "gevent.resolver", "gevent.subprocess", "gevent.select", "gevent.selectors",
    "gevent.os", "eventlet.hubs", "eventlet.green.select",
)  # fmt: skip
LOCKS = ("rawlink", "put")  # of gevent's locks, events and results; of its queues
WRAPPERS, REQUEST = 5, "celery.worker.request"  # how deep one looks; where Celery's class of a task that waits is
LOOP = "<event loop>"  # the file of what has none


def everything(current):
    """The frames of all suspended greenlets, and of the one that is interrupted now; of what is yet to begin, where."""
    found = _Objects()
    callbacks, struck = called(found.watchers, found.greenlet)
    timed, linked = targets(found.timeouts) | struck, links(found.locks)
    told = [described(current)]
    for one in found.greenlets:
        if one.gr_frame is not None:
            told.append(described(one.gr_frame, id(one) in timed, id(one) in linked))
        elif one and not one.dead and hasattr(one, "_run") and one is not found.running:  # of gevent.spawn_later: true, too
            told.append(unborn(one._run))
    told += [unborn(callback) for callback in callbacks]
    return [frames for frames in told if frames]


class _Objects:
    """The objects of this process that matter here, in one pass over all: the less it takes, the better."""

    def __init__(self):
        import greenlet

        self.greenlet, self.running = greenlet.greenlet, greenlet.getcurrent()
        self.greenlets, self.timeouts, self.locks, self.watchers = [], [], [], []
        places = {}
        for one in gc.get_objects():
            kind = type(one)
            place = places.get(kind, places)
            if place is places:
                place = places[kind] = self._place(kind, greenlet.greenlet)
            if place is not None:
                place.append(one)

    def _place(self, kind, greenlet):
        if issubclass(kind, greenlet):
            return self.greenlets
        if _is_timeout(kind):
            return self.timeouts
        if not _is_green(kind):
            return None
        if kind.__name__ in WATCHERS:
            return self.watchers
        return self.locks if any(hasattr(kind, name) for name in LOCKS) else None


def _is_green(kind):
    return str(getattr(kind, "__module__", "")).partition(".")[0] in ("gevent", "eventlet")


def _is_timeout(kind):
    return any(base.__name__ == "Timeout" and _is_green(base) for base in kind.__mro__)


def targets(timeouts):
    """The ids of the greenlets whose wait a pending Timeout of gevent or eventlet will end: a timer, no other greenlet."""
    found = set()
    for one in timeouts:
        timer = getattr(one, "timer", None) if getattr(one, "pending", False) else None
        called = list(getattr(timer, "args", None) or ())
        called += [getattr(part, "__self__", None) for part in getattr(timer, "tpl", None) or ()]
        found.update(id(part) for part in called if part is not None)
    return found


def links(locks):
    """The ids of the greenlets that stand in the list of a lock, an event, a result or a queue of gevent's: until another one
    releases, sets or fills it, or a timer strikes."""
    found = set()
    for one in locks:
        for part in gc.get_referents(one):
            for link in list(part) if isinstance(part, (list, tuple)) or type(part).__name__ == "deque" else ():
                waits = getattr(link, "__self__", None)  # greenlet.switch
                found.add(id(waits if waits is not None else getattr(link, "greenlet", None)))  # or a Waiter
    return found


def called(watchers, greenlet):
    """(what the event loop will call by itself, the ids of greenlets that it will throw into).

    Left out is only what is known to run nothing of the application's: the switch to a greenlet, which is told of by itself,
    and gevent's own of INSIDE.
    """
    found, struck = [], set()
    for one in watchers:
        if not getattr(one, "active", True) or getattr(one, "called", False):
            continue
        callback, args = _call_of(one)
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, greenlet):
            if getattr(callback, "__name__", "") != "switch":
                struck.add(id(owner))  # throw, kill
            elif owner.gr_frame is None and not hasattr(owner, "_run"):  # of eventlet.spawn_after, and any that is yet to begin
                found.append(unwrapped(args[0]) if args else LOOP)
        elif type(one).__name__ == "signal" or not _is_inside(callback):
            found.append(callback)
        else:  # what it is given to call in turn
            given = [one for one in args if callable(one) and not isinstance(one, type) and not _is_green(type(one))]
            found += [one for one in given if not _is_inside(one)]
    return [callback for callback in found if callback is not None], struck


def _call_of(watcher):
    """(what it calls, with which arguments), of gevent's watchers, and of eventlet's timers and listeners."""
    tpl = getattr(watcher, "tpl", None) or (None, ())
    callback = getattr(watcher, "callback", None) or getattr(watcher, "cb", None) or tpl[0]
    return unwrapped(callback), tuple(getattr(watcher, "args", None) or tpl[1] or ())


def _is_inside(callback):
    kind = type(getattr(callback, "__self__", None))
    if hasattr(kind, "greenlet") or _is_timeout(kind):
        return True  # gevent's Waiter, whose greenlet is told of; a Timeout, see `targets`
    module = getattr(callback, "__module__", None) or kind.__module__
    return str(module).startswith(INSIDE)


def unwrapped(callback):
    """What is called in the end: of functools.partial, of kombu's timer entries, of what functools.wraps has wrapped. A task
    that Celery's timer will start is no code of Celery's."""
    for _ in range(WRAPPERS):
        if any(type(one).__module__ == REQUEST for one in getattr(callback, "args", None) or ()):
            return LOOP
        inside = [getattr(callback, name, None) for name in ("func", "fun", "__wrapped__")]
        callback = next((one for one in inside if callable(one)), callback)
    return callback


def unborn(run):
    """One frame for what a loop, or a greenlet that was spawned for later, will run: its file, or that of its class."""
    run = unwrapped(run)
    code = getattr(run, "__code__", None)
    file = code.co_filename if code else getattr(sys.modules.get(type(run).__module__), "__file__", None)
    return [_frame(code.co_name if code else "", file or LOOP)]


def _frame(function, file, line=0):
    return {"function": function, "file": file, "line": line, "timeout": None, "request": None}


def request_of(values):
    """The number of the request that the tracer runs; None for a task whose id is none of ours."""
    try:
        return contract.request_number(str(values.get("uuid")))
    except ValueError:
        return None


def described(frame, timer=False, linked=False):
    """Innermost first; `timer`: whether a timer of the loop will strike this greenlet; `linked`: see `links`."""
    found = []
    while frame is not None and len(found) < MOST_FRAMES:
        code, values = frame.f_code, frame.f_locals
        timeout = values.get("timeout")
        one = _frame(code.co_name, code.co_filename, frame.f_lineno)
        one["timeout"] = timeout if isinstance(timeout, (int, float)) else None
        one["request"] = request_of(values) if code.co_name == TRACER else None
        if not found:
            one.update(timer=timer, linked=linked)
        found.append(one)
        frame = frame.f_back
    return found
