"""What each new child of prefork runs before any task: the receivers of worker_process_init. Python 3.7."""

from harness.worker import codes, hooks


def added(found):
    """What each new child runs first, added to a reach."""
    for receiver in receivers():
        try:
            found.add(receiver, "worker_process_init")
        except TypeError:
            continue
    return found


def receivers():
    from celery import signals

    return list(hooks.connected(signals.worker_process_init))


def names():
    """The names of the functions that run first in each new child, and of what these name."""
    found = {"": ()}
    for receiver in receivers():
        code = getattr(getattr(receiver, "__func__", receiver), "__code__", None)
        if code is not None:
            found[code.co_name] = codes.words(code)[0]
    return set(found).union(*found.values()) - {"", "__init__"}
