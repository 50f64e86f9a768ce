"""The servers of a trial, to which an application's processes are led, also if it names other ones as it is imported.

Celery reads these variables anew each time that it connects (`Settings` in celery/app/utils.py, 4.4 to 5.7), and an application
may set them itself: a `.env` file that is read by hand, `load_dotenv(override=True)`. Then a trial's worker would take messages
from its owner's own broker. What was given stands in one more variable, and is given again once the application is there.
Python 3.7, standard library only.
"""

import json
import os
from typing import Any, Dict, Mapping

from harness.worker import contract

BROKER = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
RESULTS = "CELERY_RESULT_BACKEND"


def variables(broker: str, results: str) -> Dict[str, str]:
    """Of a process that is to find these two servers."""
    urls = {**dict.fromkeys(BROKER, broker), RESULTS: results}
    return {**urls, contract.SERVERS: json.dumps(urls)}


def name(broker: str, results: str) -> None:
    """Lead this process to these servers, from now on."""
    os.environ.update(variables(broker, results))


def lead(app: Any) -> Dict[str, str]:
    """Give the variables again that the application has set otherwise, or taken away; what they were, '' of those that were
    gone. Nothing if no server was named."""
    given: Mapping[str, str] = json.loads(os.environ.get(contract.SERVERS, "{}"))
    found = {each: os.environ.get(each, "") for each, url in given.items() if os.environ.get(each) != url}
    os.environ.update(given)
    if found:  # what was made by them leads there, and is made anew when it is asked for
        app._pool = app.amqp._producer_pool = None
        app._backend_cache = None
        if app._local is not None:  # of this thread
            app._local.__dict__.pop("backend", None)
    return found


def store_here(task: Any) -> bool:
    """Let a task store its answers where the application's others do; whether it had a back end of its own, by an option or by
    its class."""
    from celery import Task

    kind, applications = task.__class__, vars(Task)["backend"]  # the class, also of a task that is not made yet
    if kind.backend is applications and task._backend is None:
        return False
    kind.backend, kind._backend = applications, None
    for name in ("backend", "_backend"):
        task.__dict__.pop(name, None)
    return True
