"""Every name that crosses from the driver to a worker, and back.

The driver imports this module too: it is the one text both sides read, so a name is spelled once. It holds no
behaviour beyond packing and unpacking. Python 3.7, standard library only.
"""

import struct
from collections import namedtuple

# Environment variables of a worker.
SPEC = "HARNESS_TRIAL_SPEC"  # path of the trial's JSON file, see SPEC_KEYS
SPEC_FILE = "trial.json"  # its name, in the trial's own folder
SERVERS = "HARNESS_SERVERS"  # of somebody's own application: variables that name its servers (JSON), see `private_servers`
BROKER_URL = "HARNESS_BROKER_URL"
RESULT_URL = "HARNESS_RESULT_URL"  # of the result back end; absent if that is the broker

#: Keys of the trial's JSON file, which `spec` builds.
#: backend, placement, call, parent: as in the cell. bundle: the workload's folder. batch: rows a request.
#: intra, inter: engine threads or null. cache_dir: the backend's compile cache. events_dir: where signs of life go.
#: prefetch: worker_prefetch_multiplier. proc_alive_timeout: seconds, or null for Celery's own 4 s.
#: queue: the trial's own queue. options: what a control backend is told, {} elsewhere.
#: celery: further Celery settings, such as {"task_acks_late": true}; may be absent.
SPEC_KEYS = (
    "backend",
    "placement",
    "call",
    "parent",
    "bundle",
    "batch",
    "intra",
    "inter",
    "cache_dir",
    "events_dir",
    "prefetch",
    "proc_alive_timeout",
    "queue",
    "options",
    "celery",
)

#: Keys of that file where the trial is of somebody's own application, or of its serial calls.
#: app: as Celery names it. tasks: their names. rows: a file with the requests' arguments. of_rows: the task of each row, by its
#: place in tasks; [] if there is one task. turns: the rows that serial calls take in turn once each was called; [] for all.
#: deliveries: exchange, routing_key, priority, own headers and some of Celery's of each row's message, which its task may read,
#: and its body, if the application sends other arguments than the row's; [] if not known.
#: prefix: of the ids of our requests. events_dir: where signs of life go. settings: Celery's, for the length of the trial.
APPLICATION_SPEC_KEYS = ("app", "tasks", "rows", "of_rows", "turns", "deliveries", "prefix", "events_dir", "settings")

#: Keys of the file with the question what an application is. rows: the arguments themselves. queue: '' for its own choice.
#: own: what variables or a worker's line say of its broker and back end, see `own_broker`; redis_alone: nothing else serves.
FACTS_SPEC_KEYS = ("app", "tasks", "rows", "of_rows", "queue", "own", "redis_alone")
#: Keys of what the driver then tells it: URLs, "valkey" or "rabbitmq", and whether it has to speak Redis.
SERVED_KEYS = ("broker", "results", "kind", "needs_redis")
#: of the question what a fork would lose: "task" is empty if none is to be called; "forks": 0, to call it without any fork
CHECK_SPEC_KEYS = ("app", "task", "rows", "forks")

APP = "harness.worker.app"
PREDICT_TASK = "harness.predict"

# Keys of a task's answer (JSON).
ANSWER = "answer"  # list: (batch, outputs)
STAMPS = "stamps"  # [begin, predict_begin, predict_end] in nanoseconds of CLOCK_MONOTONIC, which all processes share
PID = "pid"
TID = "tid"

#: Columns of a trial's requests (.npz), one entry a request; times in nanoseconds of CLOCK_MONOTONIC, -1 where the
#: moment never came. intended: when the request was to be sent, from which its latency counts; published: when sending
#: it began; sent: when the broker had confirmed it. answers (n, batch x outputs), NaN where there is none; error '' where
#: none was raised.
REQUEST_FIELDS = (
    "number",
    "row",
    "phase",
    "intended",
    "published",
    "sent",
    "received",
    "begin",
    "predict_begin",
    "predict_end",
    "pid",
    "tid",
    "error",
    "answers",
)
ERROR_LENGTH = 300

#: Columns that `harness.records.stamps` adds from the worker's own stamps, in the same unit: when the worker's main process
#: received the request, and when the process that ran it had stored the result (or the error).
WORKER_FIELDS = ("worker_received", "written")

# Kinds of events: signs of life that a process leaves in its own file, judged from outside.
IMPORT_BEGIN = 1
READY = 2
CHILD_INIT = 3  # by a prefork child: its start-up has ended
LOAD_BEGIN = 4
LOAD_END = 5
PARENT_PREDICT_BEGIN = 6
PARENT_PREDICT_END = 7
TASK_BEGIN = 8
TASK_END = 9
PUBLISHED = 10  # by the load generator
RECEIVED = 11  # by the load generator
UNSUPPORTED = 12  # the backend cannot build a layer; its name stands in unsupported.txt beside the events
PHASE = 13  # by the load generator; number is the phase
RETRIED = 15  # of somebody's own application: the task has put itself off, by a retry
WITHDRAWN = 14  # by the load generator: taken back from the queue before a worker was given it
OTHER_BEGIN = 16  # of somebody's own application: a task began that is none of our requests; number: a counter of the process
OTHER_END = 17
START_BEGIN = 18  # by a prefork child: its start-up has begun, the application's part of it, too; it ends with CHILD_INIT
REQUEUED = 20  # likewise: the task has put its message back into the queue, by Reject(requeue=True)
REPLACED = 21  # likewise: the task has handed its request to another one, which will answer
IGNORED = 19  # of somebody's own application: this request was revoked, or is never answered on purpose; nobody begins it again

# Kinds of stamps: moments in a request's way through the worker, in a file of their own that nobody reads meanwhile.
WORKER_RECEIVED = 1  # by the main process: Celery's consumer has taken the message and decoded it
WRITTEN = 2  # by the process that ran the task: the result is stored and published
RAISED = 3  # of somebody's own application, by the process that ran the task: it raised
RETURNED_ERROR = 4  # likewise: it returned an exception instead of an answer

PLACEHOLDER = "TASK-ID"  # where a request's id goes in a message that is kept as a template
REBASE = "HARNESS-REBASE:"  # and where a moment goes: so many seconds after it is sent, as in HARNESS-REBASE:+15.000
QUEUES = "queues.json"  # beside the events of somebody's own application: the names of the queues that its worker consumes
#: likewise: its pool, {"implementation": "module:class", "spawned": whether it does not fork, "limit": its concurrency}
POOL = "pool.json"
HOOKS = "hooks.json"  # likewise: what of the application's code the worker's own loop will call, see `harness.worker.hooks`
CHILD_HANDLERS = "child_handlers.json"  # likewise: the application's receivers of worker_process_init, as 'load (tasks.py:6)'
READY_HANDLERS = "ready_handlers.json"  # likewise: its receivers of worker_ready
CHILD_LOADER = "child_loader.json"  # likewise: its own `on_worker_process_init` of a loader, if it has one
#: likewise: a line for each request that failed outside its task's own body, [its number, 'ValueError: …']
OUTSIDE = "outside.jsonl"
SETTINGS = "settings.json"  # likewise: what it really has of all that `own_settings` names, as it is said

FAILED = "failed"  # in the line of a witness: the error that its import of the application ended with
WAITS = "waits"  # likewise, beside it: true if the import did not end, and this says how long it waited
WITNESS = "witness-%d.jsonl"  # beside the result of serial calls: the answers of another process, see `harness.worker.witness`

PHASES = ("first", "warmup", "measure", "drain", "done", "search")  # the last one comes before "measure"

Event = namedtuple("Event", "kind tid number at_ns pid")
_EVENT = struct.Struct("<Biqq")
EVENT_SIZE = _EVENT.size
FILE_NAME = "{pid}.events"
#: beside the result of serial calls: the `packages` that their process has loaded by then, and of the modules that their tasks
#: alone import those that are found in the worker's folder for no other reason than `python -m` (`of_folder`)
LOADED = "loaded.json"
GO = "go"  # a file in the trial's folder: the load may begin
STAMPS_FILE_NAME = "{pid}.stamps"
NAMES_FILE_NAME = "{pid}.names"  # lines: a thread's id, and names that a task can read there, see `harness.worker.own_names`
ANY_NUMBER = "#"  # in such a name
OTHERS_FILE_NAME = "{pid}.others"  # a line for each task that is none of our requests: its number and its name


def request_number(task_id):
    """The number of the request with this task id; the load generator writes it into the last 8 hexadecimal digits."""
    return int(task_id[-8:], 16)


def pack(kind, tid, number, at_ns):
    """One event as EVENT_SIZE bytes; `number` is the request's number, -1 where there is none."""
    return _EVENT.pack(kind, tid, number, at_ns)


def unpack(data, pid):
    """The whole events in `data`, in order; a torn last one is left out."""
    whole = len(data) - len(data) % EVENT_SIZE
    return [Event(*fields, pid=pid) for fields in _EVENT.iter_unpack(data[:whole])]


def error_line(text):
    """What an error says, in one line of ERROR_LENGTH characters at the most; the last is an ellipsis if more was said."""
    line = " ".join(text.split())
    return line if len(line) <= ERROR_LENGTH else line[: ERROR_LENGTH - 1] + "\u2026"
