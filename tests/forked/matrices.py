"""Fine: OpenBLAS has threads before the fork, and starts new ones in a child."""

import os

import numpy
from celery import Celery

app = Celery("matrices", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
WEIGHTS = numpy.ones((400, 400)) @ numpy.ones((400, 400))


@app.task(name="matrices.norm")
def norm(size):
    return float((numpy.ones((size, size)) @ numpy.ones((size, size))).sum())
