"""The application of an attached trial: one task, with a fault, served by a plain `celery worker`.

It stands alone beside the trial, as somebody's own application, and leaves no signs of life. Python 3.7 syntax.
"""

import json
import os

import numpy
from celery import Celery, signals

from harness.backends import faulty

URL, BUNDLE, PLACEMENT = (os.environ["SERVED_" + name] for name in ("URL", "BUNDLE", "PLACEMENT"))
OPTIONS = json.loads(os.environ["SERVED_OPTIONS"])
SEEN = "_served"  # the model and its rows, once they are loaded

app = Celery("served", broker=URL, backend=URL)
app.conf.worker_proc_alive_timeout = 600.0
known = {}


def load():
    backend = faulty.Backend()
    backend.set_options(OPTIONS)
    model = backend.load(BUNDLE)
    rows = numpy.load(os.path.join(BUNDLE, "inputs.npy"))
    known[SEEN] = (backend.caller(model, "predict"), rows)


@app.task(name="served.predict")
def predict(number):
    if not known:
        load()
    call, rows = known[SEEN]
    return call(rows[number % len(rows)][None]).tolist()


@signals.worker_process_init.connect
def begin(**_):
    if PLACEMENT == "process-init":
        load()


if PLACEMENT == "import":
    load()
