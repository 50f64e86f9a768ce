import os
import uuid

from celery import Celery, Task

app = Celery("shop", broker="redis://localhost:1/5", backend="redis://localhost:1/6")
app.conf.task_routes = {"shop.routed": {"queue": "rare"}}
app.conf.broker_transport_options = {"global_keyprefix": "shop-", "visibility_timeout": 600}
FACTOR = float(os.environ["SHOP_FACTOR"])


@app.task
def price(count, each=1.5):
    return {"total": count * each * FACTOR, "receipt": uuid.uuid4().hex}


@app.task
def broken(count):
    raise ValueError("<b>no</b> price for %d" % count)


@app.task
def returned(count):
    return ValueError("an exception that is returned")


@app.task(ignore_result=True)
def forgotten(count):
    return count


@app.task
def routed(count):
    return count


@app.task
def written(count):
    with open("receipts.txt", "a") as file:
        file.write("%d\n" % count)
    return count


@app.task(bind=True, track_started=True)
def started(self, count):
    return [count, self.request.retries]


class Doubling(Task):
    name = "shop.doubling"

    def run(self, count):
        return 2 * count


app.register_task(Doubling())


def tripling():
    @app.task(name="shop.tripling")
    def triple(count):
        return 3 * count

    return triple


tripling()
