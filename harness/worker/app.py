"""The Celery application under test: `celery -A harness.worker.app worker`, run in a backend's own environment.

It is written as a user would write it; the cell's *placement* decides where the model is loaded. Nothing here works
around a hang: naive code is the thing under test. The driver never imports this module; it sends tasks by name.

The cell's *parent* says what the main process does besides, when it reads this module, with a model of its own that no
task uses: nothing, `import` (of the ML library), `build` (no weights set), `load`, or `predict` (asked as the task asks).
A child that is forked inherits what that left behind; a spawned child reads this module, too, and does the same again.
"""

import json
import os
import time

from celery import Celery, Task, signals

from harness.worker import child_start, contract, heartbeat, other_tasks, self_report
from harness.worker.runner import Own, Runner

with open(os.environ[contract.SPEC]) as _file:
    SPEC = json.load(_file)
PLACEMENT = SPEC["placement"]

heartbeat.open_in(SPEC["events_dir"])
heartbeat.emit(contract.IMPORT_BEGIN)
self_report.answer_signals(SPEC["events_dir"])
child_start.watch()
runner = Runner(SPEC)
own = Own(SPEC, PLACEMENT) if PLACEMENT in ("each-thread", "each-task") else None

BROKER_URL = os.environ[contract.BROKER_URL]
app = Celery("harness", broker=BROKER_URL, backend=os.environ.get(contract.RESULT_URL, BROKER_URL))
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_default_queue=SPEC["queue"],
    worker_prefetch_multiplier=SPEC["prefetch"],
    broker_connection_retry_on_startup=True,
    result_expires=600,
)
if SPEC["proc_alive_timeout"] is not None:
    app.conf.worker_proc_alive_timeout = SPEC["proc_alive_timeout"]
app.conf.update(SPEC.get("celery", {}))


class PredictTask(Task):
    """Celery makes one instance of a task class, in the process that reads the module: the trap of `task-init`."""

    def __init__(self):
        if PLACEMENT == "task-init":
            runner.load()


@app.task(name=contract.PREDICT_TASK, base=PredictTask)
def predict(number, row):
    """Request `number`: predict the rows from `row` on. Returns the answer and its stamps, see `contract`."""
    begin = time.monotonic_ns()
    heartbeat.emit(contract.TASK_BEGIN, number)
    try:
        if PLACEMENT == "first-task" and not runner.loaded:
            runner.load_once()
        model = runner if own is None else own.runner()
        rows = model.rows(row)
        predict_begin = time.monotonic_ns()
        answer = model.predict(rows)
        predict_end = time.monotonic_ns()
    finally:
        heartbeat.emit(contract.TASK_END, number)
    return {
        contract.ANSWER: answer.tolist(),
        contract.STAMPS: [begin, predict_begin, predict_end],
        contract.PID: os.getpid(),
        contract.TID: heartbeat.native_id(),
    }


@signals.task_received.connect
def _received(request, **_):
    """Sent by the consumer in the main process, before the request waits for an executor (celery/worker/strategy.py)."""
    heartbeat.stamp(contract.WORKER_RECEIVED, contract.request_number(request.id))


@signals.task_postrun.connect
def _written(task_id, **_):
    """Sent by the tracer where the task ran, after the result backend has stored the result (celery/app/trace.py)."""
    heartbeat.stamp(contract.WRITTEN, contract.request_number(task_id))


if SPEC["backend"] == "faulty":  # a fault may hand work on to a second task; real cells are spared what it costs to look

    @signals.task_prerun.connect(weak=False)
    def _other_begun(task_id, sender, **_):
        if sender.name != contract.PREDICT_TASK:
            other_tasks.begun(SPEC["events_dir"], task_id, sender.name)

    @signals.task_postrun.connect(weak=False)
    def _other_ended(task_id, sender, **_):
        if sender.name != contract.PREDICT_TASK:
            other_tasks.ended(task_id)


@signals.worker_process_init.connect
def _child_started(**_):
    heartbeat.emit(contract.CHILD_INIT)  # what follows is a stage of its own
    if PLACEMENT == "process-init":
        runner.load()


@signals.worker_ready.connect
def _ready(**_):
    heartbeat.emit(contract.READY)


if SPEC["parent"] != "nothing":
    bystander = Runner(SPEC)
    bystander.prepare(SPEC["parent"])
if PLACEMENT in ("import", "import-predict"):
    runner.load()
if PLACEMENT == "import-predict":
    runner.predict_in_parent()
