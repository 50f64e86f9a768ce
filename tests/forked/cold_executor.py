"""Fine: the executor has no thread yet as the worker forks."""

import os
from concurrent.futures import ThreadPoolExecutor

from celery import Celery

app = Celery("cold_executor", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
HELPERS = ThreadPoolExecutor(max_workers=3)


@app.task(name="cold_executor.count")
def count(text):
    return HELPERS.submit(len, text).result()
