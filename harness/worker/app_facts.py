"""What somebody's Celery application is, asked in its own interpreter: `python -m harness.worker.app_facts SPEC OUT`.

SPEC (JSON): app, task, rows, queue ('' for the application's own routing). Writes facts to OUT (JSON), and publishes the task
once for each row, through the application itself, to the trial's private broker: these messages, with contract.PLACEHOLDER
for an id, are what the client sends. No worker runs yet. The broker and the result backend are set by Celery's own variables
(CELERY_BROKER_URL, CELERY_RESULT_BACKEND), which win over whatever the application says. What becomes of its other settings
stands in `own_settings`.
"""

import json
import os
import sys
import time
import traceback

from harness.worker import contract, own_settings, own_variables, their_app

ML = ("keras", "tensorflow", "theano", "torch", "jax")
READ = ("json", "msgpack")  # results that are read; what is in others is not even known to be the answer, or news of it
OURS = os.path.dirname(os.path.dirname(os.path.abspath(contract.__file__)))  # the package of the harness, as far as it is here
OF_OTHER_BROKERS = ("sep", "global_keyprefix", "master_name", "sentinels", "sentinel_kwargs", "socket_keepalive_options")
TOLD = ("task_acks_late", "worker_prefetch_multiplier", "task_time_limit", "task_soft_time_limit", "worker_max_tasks_per_child",
        "worker_proc_alive_timeout", "result_serializer", "task_track_started")  # fmt: skip


def settings(conf):
    """({setting: its value in the trial}, what is said of those that are the application's own)."""
    from celery.app.defaults import DEFAULTS

    said = own_settings.said(own_settings.own(conf, DEFAULTS))
    values = {row.name: row.value for row in own_settings.OVERRIDDEN}
    options = dict(conf.get("broker_transport_options") or {})
    left_out = sorted(name for name in options if name in OF_OTHER_BROKERS)
    if left_out:
        said.append("broker_transport_options without %s: they are for another broker, or name its keys" % ", ".join(left_out))
    values["broker_transport_options"] = {name: value for name, value in options.items() if name not in left_out}
    return values, said


def limits(app, task):
    """What bounds a task or a child, as numbers; None where nothing does. A message may bring limits of its own, which win.

    A variable that Celery reads as an option beats the worker's setting, but not a task's own limit.
    """
    from celery.utils.time import rate

    conf = app.conf

    def told(setting):
        value = option(setting)
        return conf.get(setting) if value is None else value

    return {
        "soft_s": task.soft_time_limit or told("task_soft_time_limit"),
        "hard_s": task.time_limit or told("task_time_limit"),
        "rate_per_s": None if conf.worker_disable_rate_limits else rate(task.rate_limit) or None,
        "max_tasks_per_child": told("worker_max_tasks_per_child"),
        "max_memory_per_child_kib": told("worker_max_memory_per_child"),
        "acks_late": bool(task.acks_late),
        "prefetch_multiplier": told("worker_prefetch_multiplier"),
        "proc_alive_timeout_s": conf.worker_proc_alive_timeout,
    }


def option(setting):
    """What a variable says in the place of this setting, where this Celery reads it; None where none does."""
    import celery

    reads = tuple(int(part) for part in celery.__version__.split(".")[:2]) >= own_variables.FIRST
    return own_variables.number(os.environ, setting) if reads else None


def own_files(folder):
    """(source files of the modules that came with the application, below the folder; of those that lie elsewhere, and are
    neither installed nor a part of Python or of ours)."""
    paths = [os.path.realpath(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())]
    known = sorted({path for path in paths if path.endswith(".py") and not _installed(path)})
    inside = [path for path in known if path.startswith(os.path.realpath(folder) + os.sep)]
    others = tuple(os.path.realpath(place) + os.sep for place in (os.path.dirname(os.__file__), OURS))
    return inside, [path for path in known if path not in inside and not path.startswith(others)]


def _installed(path):
    return "site-packages" in path or "dist-packages" in path


def facts(spec):
    app = their_app.found(spec["app"])
    task = their_app.called(app, spec["task"])
    from celery import Task

    changed, said = settings(app.conf)
    said += own_settings.options(task, app.conf, Task)
    app.conf.update(changed)
    if task.ignore_result:
        said.append("the task's ignore_result is off in the trial: " + own_settings.STORED)
        task.ignore_result = False
    if app.conf.result_serializer not in READ and (app.conf.task_track_started or task.track_started):
        said.append("track_started is off in the trial: results in %s cannot be told from it" % app.conf.result_serializer)
        app.conf.task_track_started = changed["task_track_started"] = task.track_started = False
    pools = own_settings.of_pool(app.conf)
    files, elsewhere = own_files(os.getcwd())
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
        "expected": own_settings.expected(app.conf, task, option),
        "told": {name: repr(app.conf.get(name)) for name in TOLD},
        "result_serializer": app.conf.result_serializer,
        "broker": app.connection_for_write().as_uri(),
        "read_from": app.connection_for_read().as_uri(),
        "backend": str(app.conf.result_backend or "").split("@")[-1],
        "installed": their_app.installed(),
        "files": files,
        "elsewhere": elsewhere,
        "pool": own_settings.pool(app.conf),
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
        lacking = their_app.without_transport()
        if lacking:
            raise ImportError("No module named %s, which Celery needs to speak Redis" % " and ".join(map(repr, lacking)))
        app, task, found = facts(spec)
        found["made_s"] = publish(task, spec["rows"], spec["queue"])
    except SystemExit as error:
        traceback.print_exc()
        found = {"failed": "SystemExit: " + their_app.exited(error, "before its task was sent")}
    except Exception as error:
        traceback.print_exc()
        found = {"failed": "%s: %s" % (type(error).__name__, error)}
    with open(out_path + ".new", "w") as file:
        json.dump(found, file)
    os.replace(out_path + ".new", out_path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
