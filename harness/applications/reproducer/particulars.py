"""What reproduce.py has to know of this application, which is somebody's own: cell.json says what it is called.

It is left as it is: its worker imports this module beside it (`--include`), which sets what the measurement did, see
cell.json. Python 3.7, Celery 4.4, nothing else.
"""

import json
import math
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MATCH = "came"
LIMIT_S = 600
RTOL = 1e-3
URLS = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")
OPTIONS = ("BROKER_URL", "RESULT_BACKEND", "CELERY_BROKER")  # Celery reads them as options, if they are there
EXPECTED = {}  # row -> the answer of a call without Celery, if answers are compared


def options(parser):
    parser.add_argument("--project", default="", help="the folder from which the application's worker is started")


def folder(case, asked):
    """Where the application lies. Ends the program if it is not there."""
    copied = os.path.join(HERE, "source")
    place = os.path.expanduser(asked.project or (copied if os.path.isdir(copied) else case["project"]))
    if not os.path.isdir(place):
        sys.exit("error: the application is not in %s\n  name its folder: --project FOLDER" % place)
    return os.path.abspath(place)


def command(case):
    return ["-A", case["app"], "worker"] + case["worker_arguments"] + ["--include", ",".join(case["include"] + ["particulars"])]


def prepare(case, place, variables):
    """Complete the variables of all processes; make the calls without Celery if answers are to be compared."""
    check_broker(variables["BROKER_URL"])
    import celery

    if celery.__version__ != case["celery"]:
        print("note: Celery %s is installed here, the measurement had %s" % (celery.__version__, case["celery"]))
    complete(case, place, variables)
    os.chdir(place)
    if case["compare"]:
        both = [serial(variables, seed) for seed in ("1", "2")]
        EXPECTED.update({row: both[0][row] for row in both[0] if row in both[1] and same(both[0][row], both[1][row])})
        print("%d of %d rows have an answer to compare with" % (len(EXPECTED), case["rows"]))


def check_broker(url):
    """Ends the program if others use it: this worker would take their messages."""
    if url.startswith("filesystem"):
        return
    if not url.startswith(("redis://", "rediss://", "unix://")):
        sys.exit("error: --broker %s: only Redis can be looked at before it is used" % url)
    import redis

    keys = redis.Redis.from_url(url).dbsize()
    if keys:
        sys.exit("error: --broker %s holds %d keys\n  name a database that nobody uses, such as .../15" % (url, keys))


def clean(app):
    """Nothing of others is in that database: see check_broker."""
    import redis

    lead()
    redis.Redis.from_url(os.environ["BROKER_URL"]).flushdb()


def lead():
    """Name the servers of this run again: an application may set these variables itself as it is imported."""
    os.environ.update(json.loads(os.environ["REPRODUCE_SERVERS"]))


def complete(case, place, variables):
    for name in case["left_out"]:
        variables.pop(name, None)
    for name, value in sorted(case["variables"].items()):
        if "***" not in value:
            variables[name] = value
        elif name not in os.environ:
            print("note: %s is a secret, and is not in this archive: set it in your shell if the task needs it" % name)
    for name in URLS + tuple(name for name in OPTIONS if name in variables):
        variables[name] = variables["RESULT_URL" if "RESULT" in name else "BROKER_URL"]
    servers = {name: variables[name] for name in URLS + OPTIONS + ("RESULT_URL",) if name in variables}
    variables["REPRODUCE_SERVERS"] = json.dumps(servers)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, variables.get("PYTHONPATH", "")]))
    variables["REPRODUCE_PROJECT"] = place


def make_app():
    """The application as `celery -A` finds it, with the settings of the measurement."""
    from celery.app.utils import find_app

    place = os.environ["REPRODUCE_PROJECT"]
    sys.path.insert(0, place)
    case = read()
    app = find_app(case["app"])
    app.set_current()
    app.loader.import_default_modules()
    for name in case["include"]:  # as the worker's --include
        app.loader.import_task_module(name)
    app.finalize()
    settle(app)
    return app


def read():
    with open(os.path.join(HERE, "cell.json")) as file:
        return json.load(file)


def put(app, settings):
    app.conf.get("task_always_eager")  # what was pending is read now
    prefix = app.conf.prefix or ""
    for name, value in settings.items():  # under a namespace, Celery up to 5.6 reads what has its prefix first
        app.conf[name] = value
        app.conf[(prefix + name).upper() if prefix.isupper() else prefix + name] = value


def settle(app):
    case = read()
    lead()
    put(app, case["settings"])
    if os.environ["CELERY_BROKER_URL"].startswith("filesystem"):
        import message_files

        message_files.use(app)
    task = app.tasks.get(case["task"])
    if task is not None:
        task.ignore_result = False


def arguments(row):
    return ([], row) if isinstance(row, dict) else (row, {})


def send(app, case, row):
    args, kwargs = arguments(case["args"][row])
    chosen = {"queue": case["queue"]} if case["queue"] else {}
    put(app, {"task_always_eager": False})  # else it would be run here, and not sent
    return app.tasks[case["task"]].apply_async(args=args, kwargs=kwargs, **chosen)


def is_right(case, row, answer):
    """By the expression of --check; or of a row that was called without Celery, by that answer; else any is."""
    if case.get("check"):
        return passes(case["check"], case["args"][row], row, answer)
    return row not in EXPECTED or same(EXPECTED[row], json.loads(json.dumps(answer, default=str)))


def passes(expression, given, row, answer):
    args, kwargs = arguments(given)
    known = {"result": answer, "args": args, "kwargs": kwargs, "row": row, "math": math}
    try:
        return bool(eval(expression, known))
    except Exception:  # whatever an answer of another form does to it
        return False


def same(one, other):
    numbers = (int, float)
    if isinstance(one, numbers) and isinstance(other, numbers):
        return one == other or abs(one - other) <= RTOL * max(abs(one), abs(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    return one == other


def serial(variables, seed):
    """Answers by row, of a process of its own."""
    found = os.path.join(variables["REPRODUCE_FOLDER"], "serial-%s.json" % seed)
    argv = [sys.executable, os.path.join(HERE, "particulars.py"), found]
    environment = dict(variables, PYTHONHASHSEED=seed)
    subprocess.call(argv, env=environment, stdout=subprocess.DEVNULL, timeout=LIMIT_S)
    try:
        with open(found) as file:
            return {int(row): answer for row, answer in json.load(file).items()}
    except (OSError, ValueError):
        return {}


def call_all(path):
    """Call the task once for each row, and write down what it answered."""
    case, app, found = read(), make_app(), {}
    for number, row in enumerate(case["args"]):
        args, kwargs = arguments(row)
        try:
            found[number] = app.tasks[case["task"]](*args, **kwargs)
        except Exception:
            continue
    with open(path, "w") as file:
        json.dump(found, file, default=str)


if __name__ == "__main__":
    call_all(sys.argv[1])
elif os.environ.get("REPRODUCE_PROJECT"):  # in the worker: Celery has imported it beside the application
    from celery import current_app, signals

    settle(current_app._get_current_object())

    @signals.worker_init.connect(weak=False)
    def _settled_again(sender, **_):
        settle(sender.app)

    @signals.worker_ready.connect(weak=False)
    def _ready(**_):
        open(os.path.join(os.environ["REPRODUCE_FOLDER"], "ready"), "w").close()
