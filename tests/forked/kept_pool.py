"""Broken: a pool that a function keeps for all its callers has its only thread, idle, when the worker forks."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from celery import Celery

app = Celery("kept_pool", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))


@cache
def crew():
    return ThreadPoolExecutor(1)


crew().submit(len, "").result()


@app.task(name="kept_pool.square")
def square(number):
    return crew().submit(pow, number, 2).result()
