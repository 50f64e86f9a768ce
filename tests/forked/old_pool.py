"""Broken by a fork: a pool of multiprocessing's threads, made when the module is imported."""

import os
from multiprocessing.pool import ThreadPool

from celery import Celery

app = Celery("old_pool", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
CREW = ThreadPool(2)


@app.task(name="old_pool.lengths")
def lengths(words):
    return CREW.map(len, words)
