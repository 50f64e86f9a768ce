"""An application that sends its log lines to Sentry, from before the fork on."""

import os

import redis
import sentry_sdk
from celery import Celery
from celery.signals import worker_before_create_process
from sentry_sdk import logger
from sentry_sdk.transport import Transport

ROWS = tuple(range(100_000))  # what the thread of the SDK writes out with its lock held, once for each line
LINES = 100  # at so many its thread wakes up


class Nowhere(Transport):
    """Keeps what would be sent to itself."""

    def capture_envelope(self, envelope):
        """Nothing to do."""


sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=Nowhere, enable_logs=True, default_integrations=False)
app = Celery("app", broker=os.environ["CELERY_BROKER_URL"])


@worker_before_create_process.connect
def before_fork(**_kwargs):
    """The parent says what the child is to work with."""
    for number in range(LINES):
        logger.info(f"read file {number}", attributes={"rows": ROWS})


@app.task(name="app.note")
def note(text):
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("done", text)


@app.task(name="app.price")
def price():
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("begun", "price")
    logger.info("priced")
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("done", "price")
