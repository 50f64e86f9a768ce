"""The Celery application of an archive: what the cell's worker did, as one module that its reader can follow. Pure.

`tasks.py` is `harness.worker.app` with the cell's choices written out and the instrument left out: where the model is loaded,
what the main process did besides, and how the model is asked.
"""

from __future__ import annotations

import textwrap

from harness.experiment.matrix import AUTO, Cell

CONNECTION = '''"""Where messages and results go; reproduce.py says it by variables."""

import os

from celery import Celery


def make_app():
    app = Celery("tasks", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])
    app.conf.update(accept_content=["json"], task_serializer="json", result_serializer="json")
    app.conf.task_default_queue = os.environ["REPRODUCE_QUEUE"]  # of this run alone, also on a server that others use
    if app.conf.broker_url.startswith("filesystem"):
        folder = os.environ["REPRODUCE_FOLDER"]
        queue = os.path.join(folder, "queue")
        app.conf.worker_enable_remote_control = False  # that needs a transport that broadcasts
        app.conf.broker_transport_options = {
            "data_folder_in": queue,
            "data_folder_out": queue,
            "control_folder": os.path.join(folder, "control"),
            "polling_interval": 0.05,
        }
    return app
'''
HEAD = '''"""The worker of the cell {cell}; `python reproduce.py` runs it."""

import os
import threading

from celery import Task, signals
from connection import make_app

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = {batch}
app = make_app()
app.conf.update({settings})
PREDICT, ROWS, LOCK = None, None, threading.Lock()


{model}

def load():
    """The model, ready to be asked, and the rows that requests name."""
    global PREDICT, ROWS
    model = load_model()
    import numpy

    ROWS = numpy.load(os.path.join(HERE, "inputs.npy"), mmap_mode="r")
    PREDICT = caller(model)


def rows(row):
    import numpy

    return numpy.ascontiguousarray(ROWS[[(row + i) % len(ROWS) for i in range(BATCH)]])


class PredictTask(Task):
    def __init__(self):
{init}


@app.task(name="tasks.predict", base=PredictTask)
def predict(row):
{first}    return PREDICT(rows(row)).ravel().tolist()


@signals.worker_process_init.connect
def child_started(**_):
{process}


@signals.worker_ready.connect
def ready(**_):
    open(os.path.join(os.environ["REPRODUCE_FOLDER"], "ready"), "w").close()


{last}'''
FIRST_TASK = "    if PREDICT is None:\n        with LOCK:\n            if PREDICT is None:\n                load()\n"
CALLERS = {
    ("tensorflow2", "predict"): "return lambda rows: model.predict(rows, verbose=0)",
    ("tensorflow2", "direct"): "import numpy\n\nreturn lambda rows: numpy.asarray(model(rows, training=False))",
    ("", "predict"): "return model.predict",
    ("", "predict_on_batch"): "return model.predict_on_batch",
    ("", "graph"): (
        "import tensorflow\n\ngraph = tensorflow.get_default_graph()\n\n"
        "def ask(rows):\n    with graph.as_default():\n        return model.predict(rows)\n\nreturn ask"
    ),
    ("", "graph-session"): (
        "import keras\nimport tensorflow\n\ngraph, session = tensorflow.get_default_graph(), keras.backend.get_session()\n\n"
        "def ask(rows):\n    with graph.as_default(), session.as_default():\n        return model.predict(rows)\n\nreturn ask"
    ),
}
PARENT = {
    "nothing": "",
    "import": "import keras  # the main process has the library, and no model\n",
    "build": "KEPT = load_model()  # the main process has a model of its own\n",
    "load": "KEPT = load_model()  # the main process has a model of its own, which no task uses\n",
    "predict": (
        "load()  # the main process has a model of its own, and has asked it; tasks load another\n"
        "KEPT = PREDICT\nKEPT(rows(0))\nPREDICT = None\n"
    ),
}


def tasks(cell: Cell, model_file: str) -> str:
    """The text of tasks.py."""
    settings = [f"worker_prefetch_multiplier={cell.prefetch}"]
    settings += [f"worker_max_tasks_per_child={cell.max_tasks}"] if cell.max_tasks else []
    last = PARENT[cell.parent]
    if cell.placement in ("import", "import-predict"):
        last += "load()\n"
    if cell.placement == "import-predict":
        last += "PREDICT(rows(0))\n"
    return HEAD.format(
        cell=cell.id, batch=cell.batch, settings=", ".join(settings), model=_model(cell, model_file),
        init="        load()" if cell.placement == "task-init" else "        pass",
        first=FIRST_TASK if cell.placement == "first-task" else "",
        process="    load()" if cell.placement == "process-init" else "    pass", last=last,
    ).rstrip() + "\n"  # fmt: skip


def _model(cell: Cell, model_file: str) -> str:
    family = "tensorflow2" if (cell.backend, cell.call) in CALLERS else ""
    caller = textwrap.indent(CALLERS[family, cell.call], "    ")
    lines = ["def load_model():", "    import keras", *_threads(cell)]
    lines += [f"    return keras.models.load_model(os.path.join(HERE, {model_file!r}), compile=False)", "", ""]
    return "\n".join([*lines, "def caller(model):", caller, ""])


def _threads(cell: Cell) -> list[str]:
    if cell.engine_threads == AUTO or cell.backend == "theano":
        return [""]
    intra, inter = cell.engine_threads.split("x")
    if cell.backend == "tensorflow2":
        return [
            "    import tensorflow", "", f"    tensorflow.config.threading.set_intra_op_parallelism_threads({intra})",
            f"    tensorflow.config.threading.set_inter_op_parallelism_threads({inter})",
        ]  # fmt: skip
    config = f"tensorflow.ConfigProto(intra_op_parallelism_threads={intra}, inter_op_parallelism_threads={inter})"
    return ["    import tensorflow", "", f"    keras.backend.set_session(tensorflow.Session(config={config}))"]
