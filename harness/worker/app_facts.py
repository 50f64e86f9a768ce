"""What somebody's Celery application is, asked in its own interpreter: `python -m harness.worker.app_facts SPEC OUT`.

SPEC (JSON): app, task, rows, queue ('' for the application's own routing). Writes facts to OUT (JSON), and publishes the task
once for each row, through the application itself, to the trial's private broker: these messages, with contract.PLACEHOLDER
for an id, are what the client sends. No worker runs yet. The broker and the result backend are set by Celery's own variables
(CELERY_BROKER_URL, CELERY_RESULT_BACKEND), which win over whatever the application says; a few more settings would keep
a worker from serving there, and are changed for the trial alone.
"""

import json
import os
import sys
import time
import traceback

from harness.worker import contract, their_app

ML = ("keras", "tensorflow", "theano", "torch", "jax")
#: setting -> (its value in the trial, why)
CHANGED = {
    "broker_use_ssl": (False, "the private broker is on this machine"),
    "redis_backend_use_ssl": (None, "the private broker is on this machine"),
    "result_backend_transport_options": ({}, "the private broker is no sentinel, and its keys have no prefix"),
    "task_ignore_result": (False, "an answer that is not stored cannot be checked"),
    "task_always_eager": (False, "a worker is to run the task"),
    "task_store_eager_result": (False, "a worker is to run the task"),
}
PREFORK = ("prefork", "processes", "celery.concurrency.prefork:TaskPool")
READ = ("json", "msgpack")  # results that are read; what is in others is not even known to be the answer, or news of it
OF_OTHER_BROKERS = ("sep", "global_keyprefix", "master_name", "sentinels", "sentinel_kwargs", "socket_keepalive_options")
TOLD = ("task_acks_late", "worker_prefetch_multiplier", "task_time_limit", "task_soft_time_limit", "worker_max_tasks_per_child",
        "worker_proc_alive_timeout", "result_serializer", "task_track_started")  # fmt: skip


def settings(conf):
    """({setting: its value in the trial}, what is said of each)."""
    values, said = {}, []
    for name, (value, why) in CHANGED.items():
        theirs = conf.get(name)
        if theirs and theirs != value or (theirs is True and value is False):
            said.append("%s is %r in the trial: %s" % (name, value, why))
        values[name] = value
    options = dict(conf.get("broker_transport_options") or {})
    left_out = sorted(name for name in options if name in OF_OTHER_BROKERS)
    if left_out:
        said.append("broker_transport_options without %s: they are for another broker, or name its keys" % ", ".join(left_out))
    values["broker_transport_options"] = {name: value for name, value in options.items() if name not in left_out}
    return values, said


def pool_settings(conf):
    """What is said of the settings that would start another pool than the one that is asked for."""
    said, pool, method = [], conf.get("worker_pool"), conf.get("worker_pool_start_method")
    if pool and pool not in PREFORK:
        said.append("worker_pool is %r in the settings and beats --pool prefork: overridden in the trial" % pool)
    if method not in (None, "fork"):
        said.append("worker_pool_start_method is %r in the settings: overridden in the trial" % method)
    return said


def limits(app, task):
    """What bounds a task or a child, as numbers; None where nothing does. A message may bring limits of its own, which win."""
    from celery.utils.time import rate

    conf = app.conf
    return {
        "soft_s": task.soft_time_limit or conf.task_soft_time_limit,
        "hard_s": task.time_limit or conf.task_time_limit,
        "rate_per_s": None if conf.worker_disable_rate_limits else rate(task.rate_limit) or None,
        "max_tasks_per_child": conf.worker_max_tasks_per_child,
        "max_memory_per_child_kib": conf.worker_max_memory_per_child,
        "acks_late": bool(task.acks_late),
        "prefetch_multiplier": conf.worker_prefetch_multiplier,
        "proc_alive_timeout_s": conf.worker_proc_alive_timeout,
    }


def own_files(folder):
    """Source files of the modules that came with the application: below the folder, and not installed."""
    found = []
    for module in list(sys.modules.values()):
        path = os.path.realpath(getattr(module, "__file__", None) or "")
        inside = path.startswith(os.path.realpath(folder) + os.sep)
        if inside and path.endswith(".py") and "site-packages" not in path and "dist-packages" not in path:
            found.append(path)
    return sorted(set(found))


def facts(spec):
    app = their_app.found(spec["app"])
    task = their_app.called(app, spec["task"])
    changed, said = settings(app.conf)
    app.conf.update(changed)
    app.conf.task_protocol = 2
    if task.ignore_result:
        said.append("the task's ignore_result is off in the trial: an answer that is not stored cannot be checked")
        task.ignore_result = False
    if app.conf.result_serializer not in READ and (app.conf.task_track_started or task.track_started):
        said.append("track_started is off in the trial: results in %s cannot be told from it" % app.conf.result_serializer)
        changed["task_track_started"] = False
    if task.rate_limit:
        said.append("the task's rate_limit %s is kept: it bounds the throughput" % task.rate_limit)
    pools = pool_settings(app.conf)
    import celery

    return app, task, {
        "python": "%d.%d.%d" % sys.version_info[:3],
        "celery": celery.__version__,
        "task": task.name,
        "settings": {name: value for name, value in changed.items() if is_plain(value)},
        "said": said + pools,
        "pool_settings": pools,
        "utc_offset_s": app.now().utcoffset().total_seconds() if app.now().tzinfo else 0.0,
        "limits": limits(app, task),
        "told": {name: repr(app.conf.get(name)) for name in TOLD},
        "result_serializer": app.conf.result_serializer,
        "broker": app.connection_for_write().as_uri(),
        "read_from": app.connection_for_read().as_uri(),
        "backend": str(app.conf.result_backend or "").split("@")[-1],
        "installed": their_app.installed(),
        "files": own_files(os.getcwd()),
        "imported": [name for name in ML if name in sys.modules],
        "green": [name for name in ("gevent", "eventlet") if their_app.can_import(name)],
    }  # fmt: skip


def is_plain(value):
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def publish(task, rows, queue):
    """Send the task once a row; the Unix time at which each message was made. Raises what the application raises, with the
    row's number."""
    chosen = {"queue": queue} if queue else {}
    made = []
    for number, row in enumerate(rows):
        args, kwargs = their_app.arguments(row)
        made.append(time.time())
        try:
            task.apply_async(args=args, kwargs=kwargs, task_id=contract.PLACEHOLDER, **chosen)
        except Exception as error:
            raise ValueError("row %d cannot be sent: %s: %s" % (number, type(error).__name__, error))
    return made


def main(spec_path, out_path):
    with open(spec_path) as file:
        spec = json.load(file)
    try:
        app, task, found = facts(spec)
        found["made_s"] = publish(task, spec["rows"], spec["queue"])
    except Exception as error:
        traceback.print_exc()
        found = {"failed": "%s: %s" % (type(error).__name__, error)}
    with open(out_path + ".new", "w") as file:
        json.dump(found, file)
    os.replace(out_path + ".new", out_path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
