"""What happens while the model is loaded, and what that leaves behind for the children."""

import os
import threading

from harness.backends.faults import answers, endings, locks, pauses, tasks

MAIN = "FAULTY_MAIN"  # of the environment: the process that loaded first


def fork_lock(value):
    """Have a thread of the parent hold the lock that requests will ask for in the child."""
    threading.Thread(target=locks.hold_for_ever, daemon=True).start()


def start_lock(value):
    """The same, and ask for that lock in worker_process_init."""
    from celery import signals

    fork_lock(value)
    signals.worker_process_init.connect(_take, weak=False)


def _take(**_):
    locks.fork_lock(0)


def refuse_in_child(value):
    """Raise where this module is read a second time, in a spawned child."""
    if os.environ.setdefault(MAIN, str(os.getpid())) != str(os.getpid()):
        raise RuntimeError("settings were already configured in another process")


FAULTS = {
    "load-sleep": pauses.sleep,
    "load-error": endings.fail,
    "load-exit": endings.leave,
    "load-deadlock": locks.deadlock,
    "fork-lock": fork_lock,
    "start-lock": start_lock,
    "child-error": refuse_in_child,
    "hand-on": tasks.have_second_task,
    "thread-local": answers.configure,
    "late-loader": answers.load_in_background,
}
