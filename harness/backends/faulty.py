"""The `faulty` control: a `null` that misbehaves on request, so that every judgement can be tried on a known fault.

Options (a dict, from the cell's `fault`, kind[:value][@after][xTIMES][%PERCENT][+EVERY]): what each `kind` does stands in
FAULTS, LOAD_FAULTS and ANSWER_FAULTS. It strikes from the request number `after` on (counted in this process, 3 if not
given), so that a worker is warm and has made progress; at most `times` times in the whole worker, all its processes
together; at each request with a probability of `percent`; only in every `every`-th trial. Kinds that begin with
`outside-` are done to the worker from outside (`harness.trial.outside`); here they do nothing, or little to help.
"""

import ctypes
import os
import random
import threading
import time

from harness.backends import null

CALLS = ("predict",)
DEFAULT_AFTER = 3
NO_END = 2**31 - 1
CHUNK = 50 * 2**20


def deadlock(value):
    """Wait for a lock that this thread (or greenlet) holds already: nobody is left who could release it."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def fork_lock(value):
    """Wait for the lock that a thread of the parent held while it forked: nobody in the child will release it."""
    with HELD_IN_PARENT:
        pass


def hub_blocked(value):
    """Wait in C, for ever, without the GIL: in a green pool that stops the hub, and every greenlet with it."""
    _wait_for_ever(ctypes.CDLL(None))


def gil_held(value):
    """Wait in C, for ever, and keep the GIL: no Python thread of this process will run again."""
    _wait_for_ever(ctypes.PyDLL(None))


def _wait_for_ever(libc):
    semaphore = ctypes.create_string_buffer(64)
    libc.sem_init(semaphore, 0, 0)
    while True:  # a signal may end a wait
        libc.sem_wait(semaphore)


def native_spin(value):
    """Compute in C (PBKDF2, without the GIL) for a time that has no end, as far as a trial goes."""
    import hashlib

    while True:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", NO_END)


def linger(value):
    """Take 50 ms, so that a process can be stopped from outside while it is inside a request."""
    time.sleep(0.05)


def sleep(value):
    """Take `value` seconds without computing, then answer: slow, not hung."""
    time.sleep(value)


def lock_wait(value):
    """Wait for a lock that another thread holds while it sleeps `value` seconds: ends by itself."""
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(value, lock.release).start()
    lock.acquire()


def spin(value):
    """Compute for `value` seconds in Python, then answer."""
    end = time.monotonic() + value
    while time.monotonic() < end:
        pass


def native_sleep(value):
    """Sleep `value` seconds in C with the GIL held: no other Python thread of this process can run."""
    ctypes.PyDLL(None).sleep(int(value))


def subprocess_wait(value):
    """Wait for a child process that computes for `value` seconds, as a compiler would."""
    import subprocess
    import sys

    code = "import time; end = time.monotonic() + %r\nwhile time.monotonic() < end: pass" % value
    subprocess.check_call([sys.executable, "-c", code])


def die(value):
    """End this process by signal number `value`."""
    os.kill(os.getpid(), int(value))
    time.sleep(60)


def leave(value):
    """Leave this process with exit code `value`."""
    os._exit(int(value))


def fail(value):
    """Raise."""
    raise ValueError("injected error %s" % value)


def lose_reply(value):
    """Do the work and send no answer: Celery's own Ignore stores no result."""
    from celery.exceptions import Ignore

    raise Ignore()


HOARD = []


def grow(value):
    """Take 50 MiB more, and keep them, until this process may have no more than `value` MiB above what it began with."""
    import resource

    if not HOARD:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limit = pages * resource.getpagesize() + int(value) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    try:
        HOARD.append(b"x" * CHUNK)
    except MemoryError:
        del HOARD[1:]  # enough to raise and to report it
        raise


FAULTS = {
    "deadlock": deadlock,
    "fork-lock": fork_lock,
    "hub-blocked": hub_blocked,
    "gil-held": gil_held,
    "native-spin": native_spin,
    "sleep": sleep,
    "lock-wait": lock_wait,
    "spin": spin,
    "native-sleep": native_sleep,
    "subprocess-wait": subprocess_wait,
    "signal": die,
    "exit": leave,
    "error": fail,
    "lost-reply": lose_reply,
    "memory": grow,
    "outside-stop": linger,
}
#: Faults that act when the model is loaded.
LOAD_FAULTS = {"load-sleep": sleep, "load-error": fail, "load-exit": leave, "load-deadlock": deadlock}


def spoil(answer, before):
    """An answer that is off by one."""
    return answer + 1.0


def cross(answer, before):
    """The answer that belongs to the request before this one."""
    return answer if before is None else before


#: Faults that act on the answer: (this answer, the right answer of the request before) -> what is answered.
ANSWER_FAULTS = {"wrong": spoil, "crossed": cross}

HELD_IN_PARENT = threading.Lock()


def hold_for_ever():
    """A thread of the parent takes a lock and sleeps on it, as an engine's thread might at the moment of a fork."""
    HELD_IN_PARENT.acquire()
    time.sleep(86400)


def reply_twice(strikes):
    """Send the stored result of a task a second time, as a broker or worker that repeats itself would."""
    from celery import signals

    def repeat(task_id, task, **_):
        if strikes():
            key = task.backend.get_key_for_task(task_id)
            task.backend.client.publish(key, task.backend.client.get(key))

    signals.task_postrun.connect(repeat, weak=False)


class Strikes:
    """Says at each request whether the fault strikes now."""

    def __init__(self, options):
        self.options = options
        self.after = options.get("after", DEFAULT_AFTER)
        self.seen = 0
        self.dice = random.Random()
        every = options.get("every", 1)
        self.in_this_trial = options.get("trial", 1) % every == 0

    def __call__(self):
        self.seen += 1
        if not self.in_this_trial or self.seen <= self.after:
            return False
        if "percent" in self.options and self.dice.random() * 100 >= self.options["percent"]:
            return False
        return "times" not in self.options or self._claimed()

    def _claimed(self):
        """One of the worker's few strikes, if any is left: whoever makes the file has it."""
        for number in range(self.options["times"]):
            path = os.path.join(self.options["folder"], "strike-%d" % number)
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
                return True
            except FileExistsError:
                continue
        return False


class Backend(null.Backend):
    name = "faulty"

    def __init__(self):
        self.options = {}

    def set_options(self, options):
        self.options = options

    def load(self, bundle_dir):
        kind = self.options.get("kind")
        act = LOAD_FAULTS.get(kind)
        if act is not None and Strikes(dict(self.options, after=0))():
            act(self.options.get("value", 0))
        if kind == "fork-lock":
            thread = threading.Thread(target=hold_for_ever, daemon=True)
            thread.start()
        if kind == "duplicate-reply":
            reply_twice(Strikes(self.options))
        return null.Backend.load(self, bundle_dir)

    def caller(self, model, call):
        answer = null.Backend.caller(self, model, call)
        kind, value = self.options.get("kind"), self.options.get("value", 0)
        act, change = FAULTS.get(kind), ANSWER_FAULTS.get(kind)
        strikes, before = Strikes(self.options), [None]

        def predict(rows):
            right = answer(rows)
            if (act or change) and strikes():
                if act is not None:
                    act(value)
                else:
                    right = change(right, before[0])
            before[0] = answer(rows)
            return right

        return predict
