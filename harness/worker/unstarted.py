"""A worker of somebody's application that is made, and never started: the signals are sent that a worker sends until then.

What an application loads in a handler of `celeryd_init` or `worker_init`, in a loader, or as a bootstep of its own is made, is
then there as it is in a worker (celery/worker/worker.py, celery/apps/worker.py, 4.4 to 5.7). `check` looks at such a process
before it forks (`fork_look`), and the serial calls of a probe are made in one (`their_app.opened`), which is told that the
worker is ready, too: a child that was forked before that is not. Python 3.7, nothing but the standard library.
"""

import traceback

HOSTNAME = "harness@%h"  # of a trial's worker, and of what stands for one
_made = {"worker": None}


def node():
    """The name that a trial's worker has, and tells its tasks (`self.request.hostname`)."""
    from celery.utils.nodenames import host_format

    return host_format(HOSTNAME)


def made(app, pool, hostname=""):
    """Make the worker that `celery worker --pool POOL` would, and do not start it; what went wrong, or ''.

    If it cannot be made, the signals are sent all the same, without it.
    """
    from celery import signals

    hostname = hostname or node()
    signals.worker_init.connect(_leave_state, weak=False)
    try:
        worker = app.Worker(hostname=hostname, pool=pool, concurrency=2, loglevel="WARNING", quiet=True)
        signals.celeryd_after_setup.send(sender=worker.hostname, instance=worker, conf=app.conf)
    except Exception as error:
        traceback.print_exc()
        signals.celeryd_init.send(sender=hostname, instance=None, conf=app.conf, options={})
        signals.worker_init.send(sender=None)
        return "%s: %s" % (type(error).__name__, error)
    _made["worker"] = worker
    return ""


def ready():
    """Tell receivers of worker_ready that the worker which was made is ready; children that were forked before are not told."""
    from celery import signals

    signals.worker_ready.send(sender=getattr(_made["worker"], "consumer", None))


def _leave_state(sender, **_):
    """The owner's state file (`worker_state_db`) is neither read nor written: a worker opens it right after this signal."""
    if sender is not None:
        sender.statedb = None


def as_served(app):
    """Make this process what one that runs tasks is before the first of them: the signals of a worker of pool `solo` are sent,
    that it is ready the last of them, and a loader's hooks called, as in a child of prefork. A worker is made only if the
    application listens to that."""
    from celery import signals

    heard = (signals.celeryd_init, signals.celeryd_after_setup, signals.worker_init, signals.worker_ready)
    listens = any(signal.receivers for signal in heard) or app.steps["worker"]
    if not listens or made(app, "solo"):
        _tried(app.loader.init_worker)
        signals.worker_process_init.send(sender=None)
    _tried(app.loader.init_worker_process)
    ready()


def _tried(hook):
    """What a loader raises ends a worker, or its children; here it is printed, and the calls show what comes of it."""
    try:
        hook()
    except Exception:
        traceback.print_exc()
