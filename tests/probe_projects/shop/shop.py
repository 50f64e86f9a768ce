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


@app.task(bind=True)
def progressing(self, count):
    self.update_state(state="PROGRESS", meta={"done": 1})
    return count


@app.task(bind=True, max_retries=1)
def retried(self, count):
    if not self.request.called_directly and not self.request.is_eager and self.request.retries == 0:
        raise self.retry(countdown=0.1)
    return count


@app.task(expires=1)
def urgent(count):
    return count


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
