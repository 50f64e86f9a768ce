"""Signs of life from somebody's own Celery application, which stays as it is.

`celery -A theirs worker -I harness.worker.visitor`: Celery imports this module as it imports modules of tasks, in the main
process and in each child that it spawns; a forked child has it already. It listens to Celery's own signals and changes
nothing but the settings that the probe says it changes. A request is ours if its id begins with the trial's prefix: an
application may send itself further tasks. These are told of, too: they keep an executor busy. Python 3.7, Celery 4.4,
nothing but the standard library beside it.
"""

import json
import os

from celery import current_app, signals

from harness.worker import (
    child_start,
    contract,
    heartbeat,
    hooks,
    other_tasks,
    own_handlers,
    own_names,
    own_settings,
    private_servers,
    self_report,
)

with open(os.environ[contract.SPEC]) as _file:
    SPEC = json.load(_file)
EVENTS = SPEC["events_dir"]
REPLACED = "Replaced by new task"  # another task answers in its place (celery/app/task.py, 4.4 to 5.7)
SILENT = ("IGNORED", "REJECTED")  # a task raised Ignore or Reject: Celery stores nothing (celery/app/trace.py, 4.4 to 5.7)


def number_of(task_id):
    """The number of one of our requests; None for any other task."""
    digits = str(task_id).replace("-", "")
    return contract.request_number(digits) if len(digits) == 32 and digits.startswith(SPEC["prefix"]) else None


def settle(app):
    """Make the settings those of the trial; `harness.worker.own_settings` says which, and why. And lead it to its servers."""
    own_settings.put(app, SPEC["settings"])
    private_servers.lead(app)
    for task in of_requests(app).values():
        private_servers.store_here(task)
        task.ignore_result = False
        if not SPEC["settings"].get("task_track_started", True):
            task.track_started = False


def of_requests(app):
    """The tasks of our requests, by the words that settings of theirs are told with, see `own_settings.whose`."""
    tasks = [app.tasks[name] for name in SPEC["tasks"] if name in app.tasks]
    return own_settings.whose(tasks, alone=len(SPEC["tasks"]) == 1)


heartbeat.open_in(EVENTS)
heartbeat.emit(contract.IMPORT_BEGIN)
own_handlers.watch(EVENTS)
self_report.answer_signals(EVENTS)
child_start.watch()
settle(current_app._get_current_object())


@signals.worker_init.connect(weak=False)
def _settled_again(sender, **_):
    """The application's own receivers have run by now, and may have changed what is overridden. The worker reads its state file
    later (celery/worker/components.py, 4.4 to 5.7)."""
    settle(sender.app)
    sender.statedb = None


@signals.worker_process_init.connect(weak=False)
def _led_again(**_):
    private_servers.lead(current_app._get_current_object())


def tell(how, kind, task_id):
    """Leave a sign of life of one of our requests: `how` is heartbeat.emit or heartbeat.stamp."""
    number = number_of(task_id)
    if number is not None:
        how(kind, number)


@signals.task_received.connect(weak=False)
def _received(request, **_):
    if getattr(request, "eta", None) is not None and number_of(request.id) is None:
        hooks.put_off(request.id, request.name)
        hooks.tell(EVENTS, now=True)
    tell(heartbeat.stamp, contract.WORKER_RECEIVED, request.id)


@signals.task_prerun.connect(weak=False)
def _begun(task_id, sender, **_):
    hooks.begun(task_id)
    hooks.tell(EVENTS)
    if number_of(task_id) is None:
        other_tasks.begun(EVENTS, task_id, sender.name)
    else:
        own_names.tell(EVENTS, sender.request.hostname)
    tell(heartbeat.emit, contract.TASK_BEGIN, task_id)


@signals.task_postrun.connect(weak=False)
def _ended(task_id, state, retval, **_):
    """Sent once the result is stored: a task's own time and that of the storing are not told apart here."""
    if state in SILENT:
        tell(heartbeat.emit, silence(retval), task_id)
    tell(heartbeat.emit, contract.TASK_END, task_id)
    if number_of(task_id) is None:
        other_tasks.ended(task_id)
    tell(heartbeat.stamp, contract.WRITTEN, task_id)


def silence(raised):
    """The kind of event that tells what an Ignore or a Reject means for its request."""
    if str(raised) == REPLACED:
        return contract.REPLACED
    return contract.REQUEUED if getattr(raised, "requeue", False) else contract.IGNORED


@signals.task_retry.connect(weak=False)
def _put_off(request, **_):
    tell(heartbeat.emit, contract.RETRIED, request.id)


@signals.task_revoked.connect(weak=False)
def _revoked(request, terminated, **_):
    """Of a task that was never begun: its answer, if one is stored, came before this."""
    if not terminated:
        tell(heartbeat.emit, contract.IGNORED, request.id)


@signals.task_failure.connect(weak=False)
def _failed(task_id, **_):
    tell(heartbeat.stamp, contract.RAISED, task_id)


@signals.task_internal_error.connect(weak=False)
def _failed_outside(task_id, exception, **_):
    """In what Celery does around the task's own body, such as `on_success`; it may have been answered before."""
    number = number_of(task_id)
    if number is not None:
        said = "%s: %s" % (type(exception).__name__, exception)
        with open(os.path.join(EVENTS, contract.OUTSIDE), "a") as file:
            file.write(json.dumps([number, said[: contract.ERROR_LENGTH]]) + "\n")


@signals.task_success.connect(weak=False)
def _answered(sender, result, **_):
    """A task that *returns* an exception has not answered."""
    if isinstance(result, BaseException):
        tell(heartbeat.stamp, contract.RETURNED_ERROR, sender.request.id)


@signals.worker_ready.connect(weak=False)
def _ready(sender, **_):
    leave(contract.QUEUES, [queue.name for queue in sender.task_consumer.queues])
    leave(contract.POOL, described(sender.pool))
    leave(contract.CHILD_HANDLERS, hooks.receivers("worker_process_init"))
    leave(contract.READY_HANDLERS, hooks.receivers("worker_ready"))
    leave(contract.CHILD_LOADER, hooks.of_loader(sender.app))
    worker = sender.controller
    hooks.watch(sender)
    hooks.tell(EVENTS, now=True)
    leave(contract.SETTINGS, own_settings.held(worker, of_requests(worker.app)))
    heartbeat.emit(contract.READY)


def described(pool):
    """The pool that really runs: settings and the command line may differ about it."""
    kind = type(pool)
    return {
        "implementation": "%s:%s" % (kind.__module__, kind.__name__),
        "spawned": not getattr(pool, "forking_enable", True),
        "limit": getattr(pool, "limit", None),
    }


def leave(name, told):
    with open(os.path.join(EVENTS, name), "w") as file:
        json.dump(told, file)
