"""Broken by a fork: an executor has an idle thread, as it believes, and starts no other."""

import os
from concurrent.futures import ThreadPoolExecutor

from celery import Celery

app = Celery("warm_executor", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
HELPERS = ThreadPoolExecutor(max_workers=3)
SIZES = list(HELPERS.map(len, ["one", "three"]))


@app.task(name="warm_executor.count")
def count(text):
    return HELPERS.submit(len, text).result()
