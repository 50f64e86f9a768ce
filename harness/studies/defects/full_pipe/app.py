"""A task that leaves a note, and one that logs a lot."""

import os

import redis
from celery import Celery
from celery.utils.log import get_task_logger

app = Celery("app", broker=os.environ["CELERY_BROKER_URL"])
logger = get_task_logger(__name__)


@app.task(name="app.note")
def note(text):
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("done", text)


@app.task(name="app.copy")
def copy(rows):
    for row in range(rows):
        logger.warning("row %s: %s", row, "." * 80)
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("done", "copy")
