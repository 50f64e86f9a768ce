"""The Celery application of an archive: what the cell's worker did, as one module that its reader can follow. Pure.

`tasks.py` is `harness.worker.app` with the cell's choices written out and the instrument left out. Where the model is loaded
and how it is asked comes from the backend's cookbook (`harness.backends.cookbook`), as it does for `harness recommend`; what
the main process did besides stands here.
"""

from __future__ import annotations

from harness.backends import cookbook
from harness.experiment.matrix import Cell, engine_threads

PARTICULARS = '''"""What reproduce.py has to know of this application; where messages and results go, it says by variables."""

import os

import message_files
from celery import Celery

MATCH = "match the reference"


def options(parser):
    """None of its own."""


def folder(case, asked):
    return os.path.dirname(os.path.abspath(__file__))


def command(case):
    return ["-A", "tasks", "worker"] + case["pool_arguments"]


def prepare(case, place, variables):
    """Nothing: the answers that are right are in cell.json."""


def send(app, case, row):
    return app.send_task("tasks.predict", args=[row])


def is_right(case, row, answer):
    expected, rtol, atol = case["reference"][row], case["rtol"], case["atol"]
    return len(answer) == len(expected) and all(
        abs(a - b) <= atol + rtol * abs(b) for a, b in zip(answer, expected)
    )  # a NaN is never right


def clean(app):
    """Take this run's queue off the server: declared, for a connection deletes no queue that it does not know."""
    try:
        with app.connection() as connection:
            queue = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
            queue.declare()
            queue.delete()
    except Exception as error:
        print("the queue %s is left behind: %s" % (app.conf.task_default_queue, error))


def make_app():
    app = Celery("tasks", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
    app.conf.update(accept_content=["json"], task_serializer="json", result_serializer="json")
    app.conf.task_default_queue = os.environ["REPRODUCE_QUEUE"]  # of this run alone, also on a server that others use
    if app.conf.broker_url.startswith("filesystem"):
        message_files.use(app)
    return app
'''
HEAD = '''"""The worker of the cell {cell}; `python reproduce.py` runs it."""

import os
import threading

from celery import signals
from particulars import make_app

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = {batch}
app = make_app()
app.conf.update({settings})


def inputs(row):
    """The rows of a request. NumPy is not imported before: it brings threads of its own."""
    import numpy

    stored = numpy.load(os.path.join(HERE, "inputs.npy"), mmap_mode="r")
    return numpy.ascontiguousarray(stored[[(row + i) % len(stored) for i in range(BATCH)]])


@signals.worker_ready.connect
def ready(**_):
    open(os.path.join(os.environ["REPRODUCE_FOLDER"], "ready"), "w").close()
'''
EXAMPLE = "import numpy\n\nEXAMPLE = inputs(0)"
ROWS = ("import numpy\n", "rows = inputs(row)")
OWN = "KEPT = load()  # the main process has a model of its own"
#: what the main process does besides; `{imports}` and `{ask}` are the backend's
PARENT = {
    "nothing": "",
    "import": "# the main process has the library, and no model\n{imports}",
    "build": OWN,
    "load": f"{OWN}, which no task uses",
    "predict": f"{OWN}, and has asked it; tasks load another\n{{ask}}",
}


def tasks(cell: Cell) -> str:
    """The text of tasks.py: the parts that `harness recommend` prints, with the requests of `reproduce.py` around them."""
    book, (intra, inter) = cookbook.of(cell.backend), engine_threads(cell.engine_threads)
    settings = [f"worker_prefetch_multiplier={cell.prefetch}"]
    settings += [f"worker_max_tasks_per_child={cell.max_tasks}"] if cell.max_tasks else []
    parent = PARENT[cell.parent].format(imports=book.imports, ask=book.calls[cell.call].asked("KEPT", "EXAMPLE"))
    place = book.place(cell.call, cell.placement)
    parts = [
        HEAD.format(cell=cell.id, batch=cell.batch, settings=", ".join(settings)),
        book.load(cell.call, path=f"os.path.join(HERE, {book.model_file!r})", intra=intra, inter=inter),
        EXAMPLE if "EXAMPLE" in parent + place else "",
        parent,
        place,
        book.task(cell.call, cell.placement, name="tasks.predict", given="row", rows=ROWS, returned="answer.ravel().tolist()"),
    ]
    return "\n\n\n".join(part.strip() for part in parts if part) + "\n"
