"""What the worker serves: a task that leaves a note."""

import os

import redis
from celery import Celery

app = Celery("app", broker=os.environ["CELERY_BROKER_URL"])


@app.task(name="app.note")
def note(text):
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("done", text)
