"""Find somebody's Celery application as `celery -A` does, with all its tasks registered."""

import base64
import copy
import importlib
import importlib.util
import json
import os
import re
import sys
import traceback
import uuid

from harness.worker import in_process, own_settings, own_variables, private_servers, raised, replaced, unstarted

#: variables that `celery` itself reads as its options, and those that it sets by them (celery/bin/celery.py, 5.0 to 5.7)
COMMANDS = {"LOADER": "CELERY_LOADER", "CONFIG_MODULE": "CELERY_CONFIG_MODULE"}

#: in a traceback: a call, or one more attempt at it; code that only calls itself too deeply is in one
ATTEMPTS, MANY = re.compile(r'celery/app/task\.py", line \d+, in (?:apply|retry)\b').findall, 10

LACKS = "No module named %s, which Celery needs to speak Redis"
UNFIT = "its Celery cannot use the 'redis' package that is installed, %s: %s: %s"

_message = {"celerys": {}}  # headers of Celery's own of the message that a call stands for
_silent = set()  # names of tasks that return nothing, and store nothing themselves
FINAL = ("SUCCESS", "FAILURE")

RETURNED = "returned "  # what is told of an exception that a task returns begins so


def as_worker(name):
    """Give this process the command line of a worker: an application may look there for what it is to load."""
    sys.argv = [os.path.join(os.path.dirname(sys.executable), "celery"), "-A", name, "worker"]


def found(name):
    """The application. What its import raises is raised here, too, SystemExit as ImportError; LookupError if what is named is
    none."""
    try:
        return _found(name)
    except SystemExit as error:
        raise ImportError(exited(error, "when it was imported")) from error


def exited(error, when):
    """What is told of a SystemExit: 'the application called sys.exit(2) when it was imported, at shop.py:12'.

    The place is the innermost one that is neither Python's nor installed: argparse exits for whoever calls it.
    """
    code = "" if error.code is None else repr(error.code)
    return "the application called sys.exit(%s) %s%s" % (code, when, raised.at(error))


def is_told(error):
    """Whether an error says all there is to know, and its path nothing more of the application: it is of ours alone, about a
    name that is not there, or about an exit, with the place of that."""
    if isinstance(error.__cause__, SystemExit):
        return True
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, LookupError) and all(
        os.path.dirname(os.path.realpath(file)) == raised.NOT_THEIRS[1] for file in frames
    )


def _found(name):
    from celery import Celery
    from celery.app.utils import find_app

    for ours, celerys in COMMANDS.items():
        if os.environ.get(ours):
            os.environ[celerys] = os.environ[ours]
    try:
        app = find_app(name)
    except ImportError:
        if misnamed(name):
            raise LookupError(misnamed(name)) from None
        raise
    if not isinstance(app, Celery):
        raise LookupError(misnamed(name) or "%r is no Celery application, but a %s" % (name, type(app).__name__))
    app.set_current()
    app.loader.import_default_modules()
    for module in filter(None, os.environ.get(own_variables.INCLUDE, "").split(",")):
        app.loader.import_module(module)  # a worker does so, too
    app.finalize()
    return app


def misnamed(name):
    """What is wrong with 'module:name', if the module was imported and holds nothing of that name, or no application; or ''."""
    from celery import Celery

    module, _, attribute = name.partition(":")
    if not attribute or module not in sys.modules or isinstance(getattr(sys.modules[module], attribute, None), Celery):
        return ""
    there = sorted(each for each, value in vars(sys.modules[module]).items() if isinstance(value, Celery))
    has = "no Celery application at its top" if not there else "; ".join("%s:%s" % (module, each) for each in there)
    what = "is no Celery application" if hasattr(sys.modules[module], attribute) else "is not there"
    return "the module %s was imported, and %r %s; it has %s" % (module, attribute, what, has)


def no_redis():
    """Why its Celery cannot speak Redis, in words; '' if it can. Raises ImportError if there is no Celery at all.

    kombu 5.7 imports `packaging` there, which neither it nor celery[redis] brings, and Celery 5.7 a class that `redis` has
    since 4.5: a client that is too old is installed, and cannot be imported.
    """
    import celery  # noqa: F401

    try:
        from kombu.transport import redis

        if redis.redis is not None:
            importlib.import_module("celery.backends.redis")
    except Exception as error:  # of kombu 5.7 with packaging and without redis, an AttributeError
        module = error.name if isinstance(error, ImportError) else None  # of an AttributeError, it is the attribute's
        names = dict.fromkeys(("redis", module or "redis"))
        lacking = [name for name in names if not can_import(name)]
        if not lacking:
            return UNFIT % (installed().get("redis", ""), type(error).__name__, error)
    else:
        lacking = [] if redis.redis is not None else ["redis"]
    return LACKS % " and ".join(map(repr, lacking)) if lacking else ""


def served_by_itself():
    """Lead it to a broker within the process, if it cannot speak Redis: its own is of another kind."""
    if no_redis():
        private_servers.name("memory://", "cache+memory://")


def opened(spec):
    """(application, calls) of a trial's spec, as a process that serves has them: of each row its task, its arguments, and what
    a worker tells the task of its message."""
    from celery import signals
    from celery.app import task as celerys

    signals.task_prerun.connect(_with_headers, weak=False)  # before receivers of the application's own, which may read them
    app = found(spec["app"])
    tasks = [called(app, name) for name in spec["tasks"]]
    for task in tasks:
        private_servers.store_here(task)
    _settled(app, spec["settings"])
    unstarted.as_served(app)
    _settled(app, spec["settings"])  # a receiver may have changed what is overridden
    celerys.gethostname = unstarted.node  # that `Task.apply` says in the place of the worker's name
    with open(spec["rows"]) as file:
        calls = of_each(tasks, json.load(file), spec["of_rows"])
    deliveries = spec["deliveries"] or [{}] * len(calls)
    return app, [call + (delivery,) for call, delivery in zip(calls, deliveries)]


def _settled(app, settings):
    own_settings.put(app, settings)
    private_servers.lead(app)


def _with_headers(task, **_):
    """A worker has the headers of a message, and Celery's own ones, as attributes of the request, too; `Task.apply` has the
    former in `headers` alone, and the latter not at all. What it says of the delivery is as a worker's then
    (celery/worker/request.py), but for `is_eager` itself, by which Celery retries."""
    request = vars(task.request)
    delivery = request.get("delivery_info") or {}
    if delivery.pop("is_eager", None):
        delivery["redelivered"] = False
    for headers in (request.get("headers") or {}, _message["celerys"]):
        for name, value in headers.items():
            request.setdefault(name, value)


def of_each(tasks, rows, of_rows):
    """[(task, arguments)] of the rows; `of_rows`: which task each is of, empty if there is one."""
    return [(tasks[of_rows[number] if of_rows else 0], row) for number, row in enumerate(rows)]


def called(app, name):
    """The task of this name. Raises LookupError, with the names there are, or with that of the task which the function is."""
    if name in app.tasks:
        return app.tasks[name]
    module, _, function = name.rpartition(".")
    if module in sys.modules:
        for each in app.tasks.values():
            if each.__module__ == module and getattr(each, "__name__", "") == function:
                raise LookupError("the application has no task %r: that function is its task %r" % (name, each.name))
    there = sorted(each for each in app.tasks if not each.startswith("celery."))
    imported = "; it imports that module" if module in sys.modules else ""
    raise LookupError("the application has no task %r%s; it has %s" % (name, imported, ", ".join(there) or "none"))


def arguments(row):
    """(args, kwargs) of a row: a list is positional, an object is by name, or both are said: {"args": [], "kwargs": {}}."""
    if isinstance(row, list):
        return row, {}
    if set(row) <= {"args", "kwargs"}:
        return row.get("args", []), row.get("kwargs", {})
    return [], row


def encoded(result, serializer):
    """What a worker would store, as JSON: text as it is, other bytes in base64; None where it cannot be read back safely."""
    from kombu import serialization

    if serializer == "pickle":
        return None
    _, _, payload = serialization.dumps({"result": result}, serializer=serializer)
    return payload if isinstance(payload, str) else {"base64": base64.b64encode(payload).decode()}


class RetriedTooOften(Exception):
    """A call is tried again more often than can be followed without a worker: Celery makes each attempt inside the last one."""


def applied(task, row, delivery=None):
    """Celery's `EagerResult` of one call. Each gets a copy of its arguments, as each message is one: a task may change them.
    `delivery`: what a worker's task is told of its message, see contract.APPLICATION_SPEC_KEYS."""
    from celery.result import EagerResult
    from kombu.utils import json as kombus

    replaced.follow()
    options = dict(delivery or {}, task_id=str(uuid.uuid4()))
    sent = options.pop("body", "")
    args, kwargs = kombus.loads(sent)[:2] if sent else arguments(copy.deepcopy(row))
    _message["celerys"] = options.pop("celerys", {})
    try:
        ended = _as_answered(task, task.apply(args=args, kwargs=kwargs, throw=False, **options))
        raised, path = ended.result, ended.traceback or ""
    except Exception as error:  # of what a task does around its call, such as `on_success`: Celery passes it on here
        ended = EagerResult(task.name, error, "FAILURE")
        raised, path = error, "".join(traceback.format_tb(error.__traceback__))
    if not isinstance(raised, RecursionError) or len(ATTEMPTS(path)) < MANY:
        return ended
    often = "without an end" if task.max_retries is None else "up to %d times" % task.max_retries
    told = RetriedTooOften("it is retried %s, and did not succeed before Python's limit of recursion" % often)
    return EagerResult(task.name, told, "FAILURE")


def _as_answered(task, ended):
    """What the task has stored itself for who asked, if it returns nothing, or tells Celery to store nothing (`Ignore`): as one
    of celery-batches does for each of its requests, or one with states of its own. A task that returned nothing, and stored
    nothing, is not asked again."""
    from celery.exceptions import Ignore
    from celery.result import EagerResult

    ignored, nothing = isinstance(ended.result, Ignore), ended.successful() and ended.result is None
    if not (ignored or (nothing and task.name not in _silent)) or not hasattr(task.backend, "get_key_for_task"):
        return ended
    try:
        told = task.backend.get_task_meta(ended.id)
    except Exception:  # a back end that is not there, or what it has cannot be read: nothing is known of an answer
        return ended
    if told["status"] in FINAL:
        return EagerResult(ended.id, told["result"], told["status"])
    _silent.update([task.name] if nothing else [])
    return ended


def stored(ended, serializer):
    """(error, what a worker would store) of an `EagerResult`; one of them is '' or None."""
    if not ended.successful():
        return in_process.described(ended.result), None
    if isinstance(ended.result, BaseException):
        return RETURNED + in_process.described(ended.result), None
    try:
        return "", encoded(ended.result, serializer)
    except Exception as raised:  # a worker cannot store such a result either
        return in_process.described(raised), None


def installed():
    """Every distribution that this interpreter sees, and its version; of two, the one that comes first on its path."""
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        try:
            import importlib_metadata as metadata
        except ImportError:
            return {}
    found = {}
    for each in metadata.distributions():
        name = each.metadata["Name"]
        if name:
            found.setdefault(name.lower(), each.version)
    return found


def loaded():
    """The packages, as they are imported, that this process has loaded by now."""
    return sorted({name.partition(".")[0] for name in list(sys.modules)})


def can_import(name):
    return name in sys.modules or importlib.util.find_spec(name) is not None
