"""One serial call after the other of somebody's own task, in one process and without a worker: the reference of a probe.

`python -m harness.worker.serial SECONDS MINIMUM RESULT WITNESSES LIMIT WHOLE MOST`: as `harness.worker.baseline`, for an
application of which nothing is known but its name, not even how long a call takes: none is begun that would end after WHOLE
seconds, and no more than MOST, if that is not 0. `task.apply` runs the task here; `worker_process_init` is sent first, and a
loader's `on_worker_process_init` called, since an application may load its model there. RESULT gets a line (JSON) as each
request ends, so that a kill loses none. If the first calls all raise alike, also after READY_S, no more are made (`enough`).
Once they are made, so many witnesses call the same rows at once (`harness.worker.witness`), for LIMIT seconds at most; none if
a single call takes so long, if calls are counted, or if all raised.
"""

import json
import os
import sys
import time
import types

from harness.worker import contract, heartbeat, in_process, own_handlers, their_app, witness

WARMUP_LIMIT_S = 10.0
TIMES_EACH = 2  # in a row, so that the time is enough to see whether the answers to one repeat
ALIKE = 20  # calls that raise alike: of a task that answers one call in seven or more, that is seen in 1 of 20 cases
ALIKE_MOST = 60  # calls, if there are more rows than that many call
READY_S = 5.0  # before which that tells nothing: what a thread loads that the import started may be there by then
#: exceptions by which a task tells its worker something (celery/exceptions.py): without one they are no failure
ON_PURPOSE = ("Ignore", "Reject", "Retry")


def row_of(number, rows, turns=()):
    """The row of the call of this number: each of so many twice in a row; then `turns`, round and round, if there are any.

    >>> [row_of(number, 2, [0, 0, 0, 1]) for number in range(9)]
    [0, 0, 1, 1, 0, 0, 0, 1, 0]
    """
    if turns and number >= TIMES_EACH * rows:
        return turns[(number - TIMES_EACH * rows) % len(turns)]
    return number // TIMES_EACH % rows


def one(app, calls, number, row, phase_number):
    """Run one request; its line."""
    begin, spent_s = time.monotonic_ns(), demand_s()
    heartbeat.emit(contract.TASK_BEGIN, number)
    ended = their_app.applied(*calls[row])
    heartbeat.emit(contract.TASK_END, number)
    end, spent_s = time.monotonic_ns(), demand_s() - spent_s
    error, payload = their_app.stored(ended, app.conf.result_serializer)
    return {"number": number, "row": row, "phase": phase_number, "begin": begin, "end": end, "pid": os.getpid(),
            "tid": heartbeat.native_id(), "error": error, "payload": payload, "cpu_s": spent_s}  # fmt: skip


def demand_s():
    """Core-seconds that this process has used, and in which its main thread was ready and had no core (schedstat, in ns)."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            waited_s = int(file.read().split()[1]) * 1e-9
    except (OSError, IndexError, ValueError):  # a kernel that does not tell
        waited_s = 0.0
    return time.process_time() + waited_s


def enough(rows):
    """How many calls that all raise alike tell that every call does: each row is called, unless there are very many."""
    return max(ALIKE, min(TIMES_EACH * rows, ALIKE_MOST))


def measure(app, calls, turns, seconds, minimum, whole_s, most, file):
    """Run the three phases; in warm-up each row is asked at least twice, to see whether answers repeat.

    Seconds that the last call took, and whether the calls ended early since all of them raised alike.
    """
    line, kinds, bounds, modules = None, set(), (WARMUP_LIMIT_S, whole_s, most or float("inf")), 0
    known, folder = frozenset(sys.modules), os.path.realpath(os.getcwd())
    needed, ready_at = enough(len(calls)), time.monotonic() + READY_S
    phases = in_process.requests(seconds, minimum, TIMES_EACH * len(calls), *bounds)
    number = 0
    for phase_number in phases:
        todo = 1
        while todo:
            line = one(app, calls, number, row_of(number, len(calls), turns), phase_number)
            file.write(json.dumps(line) + "\n")
            file.flush()
            if len(sys.modules) != modules:  # what a task imports only as it is called
                modules = len(sys.modules)
                tell_loaded(file.name, of_folder(known, folder))
            kinds.add(line["error"].partition(":")[0])
            number, todo = number + 1, todo - 1
            if number >= needed and len(kinds) == 1 and not kinds & {"", *ON_PURPOSE}:
                if most or time.monotonic() >= ready_at:
                    in_process.phase("drain")
                    return 0.0, True
                time.sleep(max(0.0, ready_at - time.monotonic()))
                todo = min(len(calls), ALIKE)
                needed = number + todo
    return (line["end"] - line["begin"]) * 1e-9, False


def tell_loaded(result_path, late):
    with open(os.path.join(os.path.dirname(result_path), contract.LOADED), "w") as file:
        json.dump({"packages": their_app.loaded(), "of_folder": late}, file)


def of_folder(known, folder):
    """The modules beside those `known` that came from this folder, and do so no more once the script `celery` has taken it off
    the path; none if something else than `python -m` has put it there, too."""
    if [os.path.realpath(each) for each in sys.path if isinstance(each, str)].count(folder) != 1:
        return []
    found = []
    for name, one in list(sys.modules.items()):
        if name not in known and "." not in name and isinstance(one, types.ModuleType):
            names = vars(one)  # and nothing that the module computes
            paths = [names.get("__file__")] + list(names.get("__path__") or ())
            if folder in [os.path.dirname(path) for path in paths if isinstance(path, str)]:
                found.append(name)
    return sorted(found)


def main(seconds, minimum, result_path, witnesses, limit_s, whole_s, most):
    spec = in_process.read_spec()
    begun = {"env": dict(os.environ), "cwd": os.getcwd()}  # a task may change them
    heartbeat.emit(contract.IMPORT_BEGIN)
    own_handlers.watch(spec["events_dir"])
    their_app.as_worker(spec["app"])
    import_s = -time.monotonic()
    app, calls = their_app.opened(spec)
    import_s += time.monotonic()
    heartbeat.emit(contract.READY)
    with open(result_path, "w") as file:
        took_s, in_vain = measure(app, calls, spec["turns"], seconds, minimum, whole_s, most, file)
    if (
        not most and not in_vain and took_s < limit_s / 2
    ):  # beside each other they take longer, and have to import the application
        witness.call_all(witnesses, result_path, seconds, limit_s, import_s, **begun)
    in_process.phase("done")


if __name__ == "__main__":
    times = map(float, sys.argv[5:7])
    main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), *times, most=int(sys.argv[7]))
