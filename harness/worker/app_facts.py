"""What somebody's Celery application is, asked in its own interpreter: `python -m harness.worker.app_facts SPEC OUT`.

SPEC (JSON): see contract.FACTS_SPEC_KEYS. Writes facts to OUT (JSON), and sends the task of each row once, through the
application itself, to the trial's private broker: these messages, with contract.PLACEHOLDER for an id, are what the client
sends. No worker runs yet. The broker and the result backend are set by Celery's own variables (CELERY_BROKER_URL,
CELERY_RESULT_BACKEND), which win over whatever the application says. First it tells which kinds it asks for (OUT.asked), and
waits to be told which serve it (OUT.served, see contract.SERVED_KEYS). What becomes of its other settings stands in
`own_settings`.
"""

import json
import os
import sys
import time
import traceback

from harness.worker import codes, contract, own_broker, own_settings, own_variables, private_servers, raised, their_app

READ = ("json", "msgpack")  # results that are read; what is in others is not even known to be the answer, or news of it
OURS = os.path.dirname(os.path.dirname(os.path.abspath(contract.__file__)))  # the package of the harness, as far as it is here
OF_OTHER_BROKERS = ("master_name", "sentinels", "sentinel_kwargs", "service_name", "socket_keepalive_options")
SEPARATOR = "sep"  # between a queue's name and a priority, in the key of a list; nothing else reads it
TRANSPORT_OPTIONS = ("broker_transport_options", "result_backend_transport_options")
SET_ITSELF = "the application sets %s itself when it is imported: in the trial it is set to the private one again"
STORED_HERE = "its answers are stored where the application stores those of other tasks"
LOOK_EVERY_S = 0.02
TOLD = ("task_acks_late", "worker_prefetch_multiplier", "task_time_limit", "task_soft_time_limit", "worker_max_tasks_per_child",
        "worker_proc_alive_timeout", "result_serializer", "task_track_started")  # fmt: skip


def settings(conf):
    """({setting: its value in the trial}, what is said of those that are the application's own)."""
    from celery.app.defaults import DEFAULTS

    said = own_settings.said(own_settings.own(conf, DEFAULTS))
    values = {row.name: row.value for row in own_settings.OVERRIDDEN}
    for setting in TRANSPORT_OPTIONS:
        options = dict(conf.get(setting) or {})
        left_out = sorted(name for name in options if name in OF_OTHER_BROKERS)
        if left_out:
            said.append("%s without %s: they are for a sentinel, or another machine" % (setting, ", ".join(left_out)))
        if options.pop(SEPARATOR, None) is not None:
            said.append("%s without %s: in the private broker, lists of a priority have the names that kombu gives them" %
                        (setting, SEPARATOR))  # fmt: skip
        values[setting] = {name: value for name, value in options.items() if name not in left_out}
    return values, said


def prefix(conf, setting):
    """Of all keys in the private Valkey, as the transport, or the back end, writes it there: the back end puts an underscore to
    a name that ends with a letter (`KeyValueStoreBackend._add_global_keyprefix`, celery/backends/base.py, 5.3 to 5.7; older
    ones have no prefix)."""
    from celery.backends import base

    name = str((conf.get(setting) or {}).get("global_keyprefix") or "")
    if setting == "broker_transport_options" or not name:
        return name
    if not hasattr(base.BaseKeyValueStoreBackend, "_add_global_keyprefix"):
        return ""
    return name if name[-1] in ":_-." else name + "_"


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
        "reject_on_worker_lost": bool(task.reject_on_worker_lost),
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


def facts(spec, out_path):
    app = their_app.found(spec["app"])
    own = private_servers.lead(app)
    tasks = [their_app.called(app, name) for name in spec["tasks"]]
    owners = own_settings.whose(tasks, alone=len(tasks) == 1)
    from celery import Task

    served = serve(app, own_broker.asked(app.conf, {**spec["own"], **own_broker.named(own)}), out_path)

    changed, said = settings(app.conf)
    said += [SET_ITSELF % name for name in own if own[name]]
    for owner, task in owners.items():
        said += own_settings.options(owner, task, app.conf, Task)
    own_settings.put(app, changed)
    for owner, task in owners.items():
        if private_servers.store_here(task):
            said.append("%s own result back end is not used in the trial: %s" % (owner, STORED_HERE))
        if task.ignore_result:
            said.append("%s ignore_result is off in the trial: %s" % (owner, own_settings.STORED))
            task.ignore_result = False
    tracked = app.conf.task_track_started or any(task.track_started for task in tasks)
    if app.conf.result_serializer not in READ and tracked:
        said.append("track_started is off in the trial: results in %s cannot be told from it" % app.conf.result_serializer)
        app.conf.task_track_started = changed["task_track_started"] = False
        for task in tasks:
            task.track_started = False
    pools = own_settings.of_pool(app.conf)
    files, elsewhere = own_files(os.getcwd())
    import celery

    return app, tasks, {
        "python": "%d.%d.%d" % sys.version_info[:3],
        "celery": celery.__version__,
        "task": tasks[0].name,
        "consumes": sorted(app.amqp.queues.consume_from),
        "settings": {name: value for name, value in changed.items() if is_plain(value)},
        "said": said + pools,
        "pool_settings": pools,
        "utc_offset_s": app.now().utcoffset().total_seconds() if app.now().tzinfo else 0.0,
        "limits": [limits(app, task) for task in tasks],
        "expected": own_settings.expected(app.conf, owners, option),
        "told": {name: repr(app.conf.get(name)) for name in TOLD},
        "result_serializer": app.conf.result_serializer,
        "broker": app.connection_for_write().as_uri(),
        "read_from": app.connection_for_read().as_uri(),
        "key_prefix": prefix(app.conf, "broker_transport_options") if served["kind"] == "valkey" else "",
        "results_prefix": prefix(app.conf, "result_backend_transport_options"),
        "backend": str(app.conf.result_backend or "").split("@")[-1],
        "installed": their_app.installed(),
        "files": files,
        "elsewhere": elsewhere,
        "pool": own_settings.pool(app.conf), "concurrency": str(app.conf.worker_concurrency or ""),
        "loaded": their_app.loaded(),
        "asks_eager": any(map(asks_eager, tasks)),
        "green": [name for name in ("gevent", "eventlet") if their_app.can_import(name)],
    }  # fmt: skip


def asks_eager(task):
    """Whether its code asks for its request's `is_eager`, which is true where no worker runs it."""
    run = getattr(task, "_orig_run", None) or task.run
    code = getattr(getattr(run, "__func__", run), "__code__", None)
    return code is not None and "is_eager" in codes.words(code)[0]


def is_plain(value):
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def declare(app):
    """Make the queues that its worker consumes, and bind them, as a worker does when it starts: until then a message to an
    exchange of their own goes nowhere."""
    try:
        with app.connection_for_write() as connection:
            for queue in list(app.amqp.queues.consume_from.values()):
                queue(connection.default_channel).declare()
    except Exception:  # the sending, or its worker, will say so
        traceback.print_exc()


def publish(calls, queue):
    """Send each row's task once; the Unix time at which each message was made. Raises what the application raises, with the
    row's number."""
    chosen = {"queue": queue} if queue else {}
    made = []
    for app in {task.app for task, _ in calls}:
        own_settings.put(app, {"task_always_eager": False})  # else they would be run here, and not sent
        declare(app)
    for number, (task, row) in enumerate(calls):
        args, kwargs = their_app.arguments(row)
        made.append(time.time())
        try:
            task.apply_async(args=args, kwargs=kwargs, task_id=contract.PLACEHOLDER, **chosen)
        except Exception as error:
            raise ValueError("row %d (%s) cannot be sent: %s: %s" % (number + 1, task.name, type(error).__name__, error))
    return made


def serve(app, asked, out_path):
    """Tell what the application asks for, wait until it is told what serves it, and lead it there; what was told."""
    write(out_path + ".asked", asked)
    while not os.path.exists(out_path + ".served"):
        time.sleep(LOOK_EVERY_S)
    with open(out_path + ".served") as file:
        served = json.load(file)
    if asked["no_redis"] and served["needs_redis"]:
        raise ImportError(asked["no_redis"])
    private_servers.name(served["broker"], served["results"])
    app._pool = app.amqp._producer_pool = None  # if its import has made any: they lead to the server that was named before
    return served


def write(path, found):
    with open(path + ".new", "w") as file:
        json.dump(found, file)
    os.replace(path + ".new", path)


def main(spec_path, out_path):
    with open(spec_path) as file:
        spec = json.load(file)
    their_app.as_worker(spec["app"])
    try:
        why = their_app.no_redis() if spec["redis_alone"] else ""
        if why:
            raise ImportError(why)
        app, tasks, found = facts(spec, out_path)
        found["made_s"] = publish(their_app.of_each(tasks, spec["rows"], spec["of_rows"]), spec["queue"])
    except SystemExit as error:
        traceback.print_exc()
        found = {"failed": "SystemExit: " + their_app.exited(error, "before its task was sent")}
    except Exception as error:
        traceback.print_exc()
        found = {"failed": raised.told(error)}
    write(out_path, found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
