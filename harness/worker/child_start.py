"""The start-up of a prefork child, told as a stage: from Celery's initializer in it, until all of worker_process_init has run.

An application's own receivers of that signal run inside, so a child that waits for a lock there is seen to wait, and one that
loads a model there is seen to start. Celery hands its initializer to its own pool alone (`initializer=process_initializer` in
celery/concurrency/prefork.py, 4.4 to 5.7), so no other fork of the application's opens this stage. It is wrapped at
worker_init: that is sent when the pool's module has been imported and the pool has not been made (celery/worker/worker.py). A
spawned child finds the wrapper by its name, and imports the application within it. Python 3.7, nothing but Celery.
"""

import json
import os
import sys

from celery import signals

from harness.worker import contract, heartbeat, self_report

PREFORK = "celery.concurrency.prefork"
_celerys = {}  # its own initializer, where it has been replaced


def watch():
    """To be called in the worker's main process, while it imports its tasks."""
    signals.worker_init.connect(_wrap, weak=False)


def _wrap(**_):
    prefork = sys.modules.get(PREFORK)
    if prefork is not None and "initializer" not in _celerys:
        _celerys["initializer"] = prefork.process_initializer
        prefork.process_initializer = initialize


def initialize(*args, **kwargs):
    """Celery's own initializer, between two events."""
    directory = _events()
    heartbeat.open_in(directory)
    heartbeat.emit(contract.START_BEGIN)
    self_report.answer_signals(directory)
    _original()(*args, **kwargs)
    heartbeat.emit(contract.CHILD_INIT)


def _events():
    with open(os.environ[contract.SPEC]) as file:
        return json.load(file)["events_dir"]


def _original():
    if "initializer" in _celerys:  # inherited by a fork
        return _celerys["initializer"]
    from celery.concurrency import prefork

    return prefork.process_initializer
