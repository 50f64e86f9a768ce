"""Serial calls in several processes at once, each with hash seeds of its own: what differs between them is no wrong answer.

The serial calls (`harness.worker.serial`) start them once they have made theirs; one process tells neither what hangs on its
hashes, on its pid, on how many threads and open files it has (`bystanders`), nor what takes longer beside others; and one order
of calls does not tell what hangs on the call before.
`python -m harness.worker.witness RESULT NUMBER [LEAST [MOST]]` calls each row in turn, in an order of its own (`turns`), until
each was called and LEAST seconds have passed; none is begun after MOST. Each new answer, and each new error, is a line (JSON).
If the application cannot be imported beside another process of it, as one that takes a port, that is the only line. If its
import only waits there, as for a lock on a file, the process that started the witness writes that line as it ends it.
"""

import json
import os
import random
import resource
import subprocess
import sys
import threading
import time

from harness.worker import contract, own_process, their_app

LEAST_S, MOST_S = 1.5, 8.0
POLL_S = 0.05
ROOM_FILES = 16
FREE_SHARE = 0.5  # of the memory that is free, which they may take together
#: an import waits if it takes so many times what the first process's took, so much longer at least, and no CPU at last
FACTOR, LONGER_S, IDLE_S, IDLE_CPU_S = 3.0, 5.0, 2.0, 0.1
WAITED = "its import waited for %.0f s and used no CPU at last; the first process's took %.1f s"


def path_of(result_path, number):
    return os.path.join(os.path.dirname(result_path), contract.WITNESS % number)


def affordable(count):
    """As many as fit beside this process, each as big as it is; one at least."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open("/proc/meminfo") as file:
        free = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    return max(1, min(count, int(FREE_SHARE * free / own)))


def room():
    """Let this process open some more files: its calls may have left none to start a program with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    most = soft + ROOM_FILES if hard == resource.RLIM_INFINITY else min(soft + ROOM_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def call_all(count, result_path, least_s, limit_s, import_s, env, cwd):
    """Start so many, and wait until all have ended, for `limit_s` at most: a row may hang them as it hangs anybody. `import_s`:
    what this process's own import took; `env` and `cwd` are those that the application is started with."""
    room()
    command = [sys.executable, "-m", "harness.worker.witness"]
    paths = [path_of(result_path, number) for number in range(affordable(count))]
    members = [
        subprocess.Popen(
            command + [path, str(number), str(min(LEAST_S, least_s))],
            env=dict(env, PYTHONHASHSEED=str(number + 1)),
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number, path in enumerate(paths)
    ]
    begun, used = time.monotonic(), {}
    while any(member.poll() is None for member in members) and time.monotonic() < begun + limit_s:
        if not used and time.monotonic() >= begun + limit_s - IDLE_S:
            used = {member.pid: own_process.stat(member.pid)[1] for member in members}
        time.sleep(POLL_S)
    for path, member in zip(paths, members):
        if member.poll() is None:
            state, cpu_s = own_process.stat(member.pid)
            if not os.path.exists(path) and state == "S" and cpu_s - used.get(member.pid, 0.0) <= IDLE_CPU_S:
                tell_wait(path, limit_s, import_s)
            member.kill()
        member.wait()


def tell_wait(path, waited_s, import_s):
    """That this witness came to nothing since its import waits, if it would have ended by now."""
    if waited_s >= max(FACTOR * import_s, import_s + LONGER_S):
        with open(path, "w") as file:
            file.write(json.dumps({contract.FAILED: WAITED % (waited_s, import_s), contract.WAITS: True}) + "\n")


def turns(rows, number):
    """The rows, round by round, for ever: of every second witness backwards at first, and then each round in another order.

    >>> from itertools import islice
    >>> list(islice(turns(3, 0), 3)), list(islice(turns(3, 1), 3))
    ([0, 1, 2], [2, 1, 0])
    """
    order, dice = list(range(rows)), random.Random(number)
    if number % 2:
        order.reverse()
    while True:
        for row in order:
            yield row
        dice.shuffle(order)


def measure(app, calls, file, least_s, most_s, own):
    known, begun = set(), time.monotonic()
    order, number, passed_s = turns(len(calls), own), 0, 0.0
    while passed_s < most_s and (number < len(calls) or passed_s < least_s):
        row = next(order)
        error, payload = their_app.stored(their_app.applied(*calls[row]), app.conf.result_serializer)
        answer = row, str(payload), error.partition(":")[0]
        if answer not in known:
            known.add(answer)
            told = {"number": number, "row": row, "payload": payload, "error": error, "pid": os.getpid()}
            file.write(json.dumps(told) + "\n")
            file.flush()
        number, passed_s = number + 1, time.monotonic() - begun


def bystanders(count):
    """Threads that do nothing, and open files: a worker has others than serial calls have, and an answer may say how many. The
    calls stay in the main thread: a setting that holds there alone is no such thing."""
    for _ in range(count):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        os.open(os.devnull, os.O_RDONLY)


def main(path, number, least_s=LEAST_S, most_s=MOST_S):
    with open(os.environ[contract.SPEC]) as file:
        spec = json.load(file)
    their_app.as_worker(spec["app"])
    if os.path.exists(path):  # of calls that were made before these
        os.remove(path)
    try:
        app, calls = their_app.opened(spec)
    except BaseException as error:  # SystemExit, too: whatever ends the import
        with open(path, "w") as file:
            file.write(json.dumps({contract.FAILED: "%s: %s" % (type(error).__name__, error)}) + "\n")
        raise
    with open(path, "w") as file:  # from now on it is there: the import has ended
        bystanders(number + 1)
        measure(app, calls, file, least_s, most_s, number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:5]))
    os._exit(0)  # its answers are on disk, and a thread of theirs may keep the process for ever
