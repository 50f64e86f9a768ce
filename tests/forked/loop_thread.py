"""Broken by a fork: an event loop runs in a thread, and each request hands it a coroutine."""

import asyncio
import os
import threading

from celery import Celery

app = Celery("loop_thread", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, name="loop", daemon=True).start()


async def halved(number):
    await asyncio.sleep(0.01)
    return number / 2


@app.task(name="loop_thread.half")
def half(number):
    return asyncio.run_coroutine_threadsafe(halved(number), LOOP).result()
