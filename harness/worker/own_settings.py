"""What becomes of an application's own settings in a trial: one table, and the sentence that is said of each row.

Whatever differs from Celery's default is either *kept*, and what it does to the figures is said; or it is *overridden* for the
trial, and why. Nothing is silently one of the two: a setting that no row knows is kept, and named. Asked in the application's
own interpreter (`app_facts`) and made true in its worker (`visitor`). Names and defaults are those of `celery/app/defaults.py`,
4.4 to 5.7. Python 3.7, standard library only.
"""

from collections import namedtuple
from typing import List, Mapping

#: name: Celery's. words: what it does to what is measured.
Kept = namedtuple("Kept", "name words")
#: value: what it is in the trial. why: of that.
Overridden = namedtuple("Overridden", "name value why")

STORED = "an answer that is not stored cannot be checked"
HERE = "the private broker is on this machine"
PREFORK_ALONE = "it is of prefork alone"
ENDED = (
    "a task is ended after so many seconds: in prefork its child is killed, in gevent its greenlet; threads, solo and eventlet "
    "keep none"
)

#: overridden through `app.conf`, before a worker reads them
OVERRIDDEN = (
    Overridden("broker_use_ssl", False, HERE),
    Overridden("redis_backend_use_ssl", None, HERE),
    Overridden("task_ignore_result", False, STORED),
    Overridden("task_protocol", 2, "a message of the first protocol has no id where requests are counted"),
)

#: overridden by the worker's command line, or as it starts
BY_COMMAND = (
    Overridden("worker_concurrency", None, "each pool has what --concurrency says"),
    Overridden("worker_autoscaler", None, "the number of executors is --concurrency, and is not scaled"),
    Overridden("worker_state_db", None, "a trial neither reads nor writes the owner's file"),
    Overridden("beat_schedule", None, "no beat runs, so its periodic tasks add no load"),
)

KEPT = (
    Kept("worker_prefetch_multiplier", "so many messages for each executor are taken in advance"),
    Kept("worker_disable_prefetch", "a message is taken when an executor is free"),
    Kept("worker_max_tasks_per_child", "a child is replaced after so many tasks, and its start takes time; " + PREFORK_ALONE),
    Kept("worker_max_memory_per_child", "a child above so many KiB is replaced, and its start takes time; " + PREFORK_ALONE),
    Kept("task_time_limit", ENDED),
    Kept("task_soft_time_limit", "a task gets an exception after so many seconds; " + PREFORK_ALONE),
    Kept("task_default_rate_limit", "it bounds the throughput"),
    Kept("worker_disable_rate_limits", "no rate limit holds"),
    Kept("task_acks_late", "a message is acknowledged after its task, and may be delivered again"),
    Kept("task_reject_on_worker_lost", "what a dead child held is delivered again"),
    Kept("task_retry_on_worker_lost", "what a dead child held is begun again"),
    Kept("task_acks_on_failure_or_timeout", "a message whose task failed is not acknowledged"),
    Kept("task_acks_on_failure", "it says whether a message whose task failed is acknowledged"),
    Kept("task_acks_on_timeout", "it says whether a message whose task ran out of time is acknowledged"),
    Kept("worker_proc_alive_timeout", "a child that is not up after so many seconds is given up; " + PREFORK_ALONE),
    Kept("worker_lost_wait", "a dead child's task fails after so many seconds; " + PREFORK_ALONE),
    Kept("worker_cancel_long_running_tasks_on_connection_loss", "tasks are cancelled when the broker is lost"),
    Kept("worker_deduplicate_successful_tasks", "each delivery costs a look at the result backend"),
    Kept("worker_eta_task_limit", "so many messages that are put off are held"),
    Kept("worker_enable_prefetch_count_reduction", "it holds after a lost connection"),
    Kept("worker_pool_putlocks", "it says whether a message waits in the main process for a free child"),
    Kept("worker_send_task_events", "each task sends events"),
    Kept("worker_direct", "the worker has a queue of its own, too"),
    Kept("worker_timer_precision", "what is put off waits so much longer"),
    Kept("task_send_sent_event", "each sending sends an event"),
    Kept("task_track_started", "each start is stored, too"),
    Kept("task_always_eager", "a worker runs the requests all the same; what their tasks send further runs inside them"),
    Kept("task_store_eager_result", "so do their answers, which are stored"),
    Kept("task_routes", "it chooses the queue of the requests"),
    Kept("task_queues", "the worker consumes these"),
    Kept("task_default_queue", "requests go there if no route says otherwise"),
    Kept("task_create_missing_queues", "it says whether a queue has to be named before"),
    Kept("task_default_priority", "messages carry it"),
    Kept("task_queue_max_priority", "the private broker keeps priorities in lists of their own"),
    Kept("task_inherit_parent_priority", "further tasks carry it"),
    Kept("task_annotations", "they change the task's own options"),
    Kept("task_serializer", "messages are written in it"),
    Kept("task_compression", "messages are packed and unpacked"),
    Kept("task_publish_retry", "it holds for further tasks: the load generator sends requests itself"),
    Kept("task_publish_retry_policy", "it holds for further tasks: the load generator sends requests itself"),
    Kept("result_serializer", "answers are written in it"),
    Kept("result_compression", "answers are packed and unpacked"),
    Kept("result_extended", "each answer holds its arguments, too"),
    Kept("result_expires", "answers are taken at once, whatever it is"),
    Kept("result_chord_retry_interval", "a chord looks for its parts so often"),
    Kept("result_chord_join_timeout", "a chord waits so long for a part"),
    Kept("broker_pool_limit", "so many connections are kept"),
    Kept("broker_transport_options", "as far as they fit the private broker"),
    Kept("result_backend_transport_options", "as far as they fit the private back end"),
)

#: they change nothing that is measured, or only say what the application is
SILENT = frozenset((
    "accept_content", "result_accept_content", "imports", "include", "timezone", "enable_utc", "deprecated_settings",
    "broker_url", "broker_read_url", "broker_write_url", "broker_transport", "broker_host", "broker_port", "broker_user",
    "broker_password", "broker_vhost", "broker_login_method", "broker_connection_retry_on_startup", "result_backend",
    "redis_host", "redis_port", "redis_db", "redis_username", "redis_password", "worker_hijack_root_logger",
    "worker_log_color", "worker_log_format", "worker_log_datefmt", "worker_task_log_format", "worker_task_log_datefmt",
    "worker_redirect_stdouts", "worker_redirect_stdouts_level", "task_eager_propagates",
    "worker_pool", "worker_pool_start_method",  # see `of_pool`
))  # fmt: skip
MEASURED = ("worker_", "task_", "result_", "redis_", "broker_")  # settings of other rooms (a database's, beat's) are not

#: The task's own options: those that it has from its decorator, its class or an annotation. An option in `FROM_CONFIG` is
#: compared with the setting (`Task.from_config`, celery/app/task.py), another one with Celery's own class.
OPTIONS = (
    Kept("rate_limit", "it bounds the throughput"),
    Kept("time_limit", ENDED),
    Kept("soft_time_limit", "a task gets an exception after so many seconds; " + PREFORK_ALONE),
    Kept("acks_late", "a message is acknowledged after its task, and may be delivered again"),
    Kept("reject_on_worker_lost", "what a dead child held is delivered again"),
    Kept("acks_on_failure_or_timeout", "it says whether a message whose task failed is acknowledged"),
    Kept("track_started", "each start is stored, too"),
    Kept("priority", "messages carry it"),
    Kept("serializer", "messages are written in it"),
    Kept("expires", "a message that nobody began in so many seconds is revoked"),
    Kept("autoretry_for", "a request that raises one of these is put off and begun again"),
    Kept("max_retries", "a request is begun again so often at the most"),
    Kept("default_retry_delay", "a request that is begun again is put off by so many seconds"),
    Kept("retry_backoff", "each retry is put off for longer"),
)  # fmt: skip
FROM_CONFIG = {
    "rate_limit": "task_default_rate_limit", "time_limit": "task_time_limit", "soft_time_limit": "task_soft_time_limit",
    "acks_late": "task_acks_late", "reject_on_worker_lost": "task_reject_on_worker_lost", "priority": "task_default_priority",
    "acks_on_failure_or_timeout": "task_acks_on_failure_or_timeout", "track_started": "task_track_started",
    "serializer": "task_serializer",
}  # fmt: skip

PREFORK = ("prefork", "processes", "celery.concurrency.prefork:TaskPool")
MOST = 60  # characters of a value that are shown


def put(app, values):
    """Make these settings so, by Celery's names. Under a namespace (`config_from_object(…, namespace="CELERY")`, as Django's
    have) a name is read with its prefix first, and Celery 4.4 to 5.6 writes it without: see celery/utils/collections.py.
    """
    app.conf.get("task_always_eager")  # what was pending is read now
    for name, value in values.items():
        for key in {name, prefixed(name, app.conf.prefix or "")}:
            app.conf[key] = value


def prefixed(name, prefix):
    """
    >>> prefixed("task_routes", "CELERY_"), prefixed("task_routes", "celery_"), prefixed("task_routes", "")
    ('CELERY_TASK_ROUTES', 'celery_task_routes', 'task_routes')
    """
    return (prefix + name).upper() if prefix.isupper() else prefix + name


def shown(value):
    """A value as it is said: a number, a flag or a short text; of what may hold a password only its form or its names."""
    if isinstance(value, dict):
        return "set, with " + ", ".join(_entry(name, value[name]) for name in sorted(value, key=str)) if value else "empty"
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(one, type) for one in value):
        return ", ".join(one.__name__ for one in value) or "empty"
    if value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and "://" not in value):
        text = repr(value)
        return text if len(text) <= MOST else text[: MOST - 1] + "…"
    return "set"


def _entry(name, value):
    return "%s %r" % (name, value) if isinstance(value, (int, float)) else str(name)


def same(value, default):
    """Whether a setting has its default, also where the type differs: lists, and texts of numbers."""
    try:
        return bool(value == default) or (not value and not default and value in (None, "", (), [], {}))
    except Exception:  # of a value whose class compares in its own way
        return False


def own(conf, defaults):
    """{name: value} of the settings that differ from Celery's defaults: those in the table, and others that may matter."""
    known = {row.name for row in OVERRIDDEN + BY_COMMAND + KEPT}
    names = sorted(name for name in defaults if name in known or name.startswith(MEASURED))
    found = {name: conf.get(name) for name in names if name not in SILENT}
    return {name: value for name, value in found.items() if not same(value, defaults[name])}


def said(theirs):
    """A sentence for each of these settings ({name: value}, see `own`), in the order of the table."""
    lines = ["%s is %s in the trial: %s" % (row.name, shown(row.value), row.why) for row in OVERRIDDEN if row.name in theirs]
    lines += [
        "%s is %s in the settings, overridden in the trial: %s" % (row.name, shown(theirs[row.name]), row.why)
        for row in BY_COMMAND
        if row.name in theirs
    ]
    lines += ["%s is %s, kept: %s" % (row.name, shown(theirs[row.name]), row.words) for row in KEPT if row.name in theirs]
    known = {row.name for row in OVERRIDDEN + BY_COMMAND + KEPT}
    rest = ["%s (%s)" % (name, shown(value)) for name, value in sorted(theirs.items()) if name not in known]
    return lines + (["kept as they are: " + ", ".join(rest)] if rest else [])


def of_pool(conf):
    """What is said of the settings that would start another pool than the one that is asked for."""
    said, pool, method = [], conf.get("worker_pool"), conf.get("worker_pool_start_method")
    if pool and pool not in PREFORK:
        said.append("worker_pool is %r in the settings and beats --pool prefork: overridden in the trial" % pool)
    if method not in (None, "fork"):
        said.append("worker_pool_start_method is %r in the settings: overridden in the trial" % method)
    return said


def pool(conf):
    """The pool that the settings start, as `celery worker --pool` names it; prefork if they name a class of somebody's own."""
    chosen = conf.get("worker_pool")
    spawns = conf.get("worker_pool_start_method") == "spawn"
    return chosen if chosen in ("threads", "gevent", "eventlet", "solo") else "prefork-spawn" if spawns else "prefork"


def whose(tasks, alone):
    """{"the task's": task}, or {"shop.price's": task, …} of a mix: the words that settings of each are told with."""
    return {"the task's" if alone else "%s's" % task.name: task for task in tasks}


def options(owner, task, conf, celerys):
    """A sentence for each option of the task that differs from the setting, or from Celery's class. `owner`: see `whose`."""
    lines = []
    for row in OPTIONS:
        value = getattr(task, row.name, None)
        default = conf.get(FROM_CONFIG[row.name]) if row.name in FROM_CONFIG else getattr(celerys, row.name, False)
        if value is not None and not same(value, default):
            lines.append("%s %s %s is kept: %s" % (owner, row.name, shown(value), row.words))
    return lines


#: what a worker holds itself once it has begun, by the setting that it took (`WorkController.setup_defaults`)
HELD = {
    "worker_prefetch_multiplier": "prefetch_multiplier", "worker_max_tasks_per_child": "max_tasks_per_child",
    "worker_max_memory_per_child": "max_memory_per_child", "task_time_limit": "time_limit",
    "task_soft_time_limit": "soft_time_limit", "worker_disable_rate_limits": "disable_rate_limits",
    "worker_lost_wait": "worker_lost_wait",
}  # fmt: skip


def expected(conf, tasks, option):
    """{name: value as it is said} of all that the table names, before a worker runs; `tasks`: see `whose`; `option`: what a
    variable says of a setting, None where none does."""
    found = {row.name: conf.get(row.name) for row in OVERRIDDEN + KEPT}
    found.update({name: option(name) for name in HELD if option(name) is not None})
    return _as_said(found, tasks)


def held(worker, tasks):
    """The same of a worker that is ready: what it really has, whoever set it and when."""
    conf = worker.app.conf
    found = {row.name: conf.get(row.name) for row in OVERRIDDEN + KEPT}
    found.update({name: getattr(worker, place) for name, place in HELD.items() if hasattr(worker, place)})
    return _as_said(found, tasks)


def _as_said(settings, tasks):
    found = {name: shown(value) for name, value in settings.items()}
    for owner, task in tasks.items():
        found.update({"%s %s" % (owner, row.name): shown(getattr(task, row.name, None)) for row in OPTIONS})
        found[owner + " ignore_result"] = shown(bool(getattr(task, "ignore_result", False)))
    return found


def late(expected: Mapping[str, str], held: Mapping[str, str]) -> List[str]:
    """A sentence for each that is otherwise in the worker than it was told before: set as the worker began."""
    return [
        "%s is %s in the worker and was %s before: the application sets it as its worker starts, and that is kept"
        % (name, held[name], expected[name])
        for name in expected
        if name in held and not _one_value(held[name], expected[name])
    ]


def _one_value(one, other):
    """Whether two values are the same, as they are said: a setting may be 60, and a worker has 60.0 of it."""
    try:
        return one == other or float(one.strip("'")) == float(other.strip("'"))
    except ValueError:
        return False
