"""A task that waits for a task of its own queue."""

import os

import redis
from celery import Celery

app = Celery("app", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"])
app.conf.task_default_queue = "celery"


@app.task(name="app.note")
def note(text):
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("done", text)


@app.task(name="app.report")
def report(month):
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("begun", month)
    return note.delay(month).get(disable_sync_subtasks=False)
