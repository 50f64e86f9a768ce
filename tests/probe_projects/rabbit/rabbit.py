"""An application on RabbitMQ, its answers over RPC."""

import time

from celery import Celery

app = Celery("rabbit", broker="amqp://me:secret@127.0.0.1:1//", backend="rpc://")


@app.task
def price(count, each=1.5):
    return {"total": count * each}


@app.task
def broken(count):
    raise ValueError("no price for %d" % count)


@app.task(track_started=True)
def slept(count):
    time.sleep(0.01)
    return [count]


@app.task
def hung(count):
    from celery.result import allow_join_result

    with allow_join_result():
        return price.delay(count).get()
