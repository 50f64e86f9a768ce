"""Which kind of broker and result back end an application's own settings ask for, without the address of either.

Asked in the application's own interpreter, in which Celery's variables name a private server already: what the settings say
themselves stands behind these (`Settings.broker_url`, celery/app/utils.py, 4.4 to 5.7). Python 3.7, standard library only.
"""

import os
from typing import Any, Dict, Mapping

from harness.worker import their_app

NONE = ""  # no setting says any
BY_VARIABLE = "?"  # the application reads the variable itself, which names our server: what it takes without it is not known
VARIABLES = {"broker": "CELERY_BROKER_URL", "backend": "CELERY_RESULT_BACKEND"}
OPTIONS = {
    "broker": ("BROKER_URL", "CELERY_BROKER", "CELERY_BROKER_URL"),
    "backend": ("RESULT_BACKEND", "CELERY_RESULT_BACKEND"),
}
SETTINGS = {"broker": ("broker_url", "broker_host"), "backend": ("result_backend", "CELERY_RESULT_BACKEND")}


def scheme(value: Any) -> str:
    """What an URL begins with, or the short name of a back end; the first of several.

    >>> scheme("amqp://me:secret@mq//;amqp://other"), scheme("django-db"), scheme(["rediss://h/0"]), scheme(None)
    ('amqp', 'django-db', 'rediss', '')
    """
    if isinstance(value, (list, tuple)):
        value = value[0] if value else ""
    text = str(value or "").split(";")[0].strip()
    return text.partition("://")[0] if "://" in text else text.partition(":")[0]


def named(variables: Mapping[str, str]) -> Dict[str, str]:
    """The kinds of {"broker", "backend"} that variables name, as far as they do; an option of Celery's beats its setting."""
    found = {kind: next(filter(None, (variables.get(name) for name in names)), "") for kind, names in OPTIONS.items()}
    return {kind: scheme(value) for kind, value in found.items() if value}


def asked(conf, own):
    """What the application asks for. `own`: {"broker": scheme, "backend": scheme} of what variables or a worker's line say.

    broker, backend: see `scheme`; NONE or BY_VARIABLE. quorum: a queue of its own is a quorum queue. no_redis: why
    its Celery cannot speak Redis, see `their_app.no_redis`.
    """
    return {
        "broker": own.get("broker") or of_settings(conf, "broker"),
        "backend": own.get("backend") or of_settings(conf, "backend"),
        "quorum": quorum(conf),
        "no_redis": their_app.no_redis(),
    }


def of_settings(conf, name):
    said = conf.first(*SETTINGS[name])
    return BY_VARIABLE if said and said == os.environ.get(VARIABLES[name]) else scheme(said)


def quorum(conf):
    """Whether a queue is asked to be of that type, by name or by default (`task_default_queue_type`, 5.5 and later)."""
    queues = conf.get("task_queues") or ()
    each = list(queues.values()) if isinstance(queues, dict) else list(queues)
    said = [
        one.get("queue_arguments") if isinstance(one, dict) else getattr(one, "queue_arguments", None) for one in each
    ]  # fmt: skip
    return conf.get("task_default_queue_type") == "quorum" or any((one or {}).get("x-queue-type") == "quorum" for one in said)
