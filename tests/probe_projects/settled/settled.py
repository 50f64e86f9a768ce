"""An application that sets much, in part only as its worker starts."""

import os

from celery import Celery, Task, signals

app = Celery("settled", broker=os.environ.get("BROKER_URL"), backend=os.environ.get("RESULT_BACKEND"))
app.conf.update(
    worker_concurrency=8,
    worker_state_db="state",
    task_always_eager=True,
    worker_lost_wait=7.0,
    task_annotations={"settled.price": {"soft_time_limit": 20}},
)


class Urgent(Task):
    def apply_async(self, args=None, kwargs=None, **options):
        options.setdefault("headers", {"tenant": "one"})
        return super().apply_async(args, kwargs, **options)


@app.task(base=Urgent, name="settled.price")
def price(count):
    return 2 * count


@signals.celeryd_init.connect
def as_it_starts(conf, **_):
    conf.worker_max_tasks_per_child = 5000


@signals.worker_init.connect
def later(sender, **_):
    sender.app.conf.task_ignore_result = True
    sender.app.tasks["settled.price"].ignore_result = True
