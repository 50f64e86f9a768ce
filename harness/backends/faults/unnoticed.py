"""Faults that leave every answer in place, or hardly: affinity, threads, random numbers, the end of the process.

See `harness.measure.silent` for how they are found.
"""

import atexit
import os
import signal
import threading
import time

from harness.backends.faults import computing

CHUNK_S = 0.02  # of computing at each request, so that there is something to be read of the threads
POOLS = {}  # process -> its threads that compute, as an engine has them


def pin(value):
    """Leave this thread one core, the first that it may use, as an engine does that counts cores from 0; and compute."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    computing.native_spin_for(CHUNK_S)


class Pool:
    """`size` threads that compute outside of the GIL, all at once when they are asked, and the caller waits for them."""

    def __init__(self, size):
        self.go, self.done = [threading.Semaphore(0) for _ in range(size)], threading.Semaphore(0)
        for semaphore in self.go:
            threading.Thread(target=self._work, args=(semaphore,), daemon=True).start()

    def _work(self, semaphore):
        while True:
            semaphore.acquire()
            computing.native_spin_for(CHUNK_S)
            self.done.release()

    def compute(self):
        for semaphore in self.go:
            semaphore.release()
        for _ in self.go:
            self.done.acquire()


def oversubscribe(value):
    """Compute in as many threads of this process as `value` times the cores, as an engine does that counts cores alone."""
    pool = POOLS.get(os.getpid())
    if pool is None:
        pool = POOLS.setdefault(os.getpid(), Pool(int(value) * len(os.sched_getaffinity(0))))
    pool.compute()


def one_job(value):
    """Say what joblib says where its processes may not be started, and go on with one job."""
    import warnings

    warnings.warn("Loky-backed parallel loops cannot be called in a multiprocessing, setting n_jobs=1")
    time.sleep(CHUNK_S)


def crash_at_end(value):
    """End by signal number `value` when the interpreter ends, as a session does whose threads are gone before it."""
    atexit.register(os.kill, os.getpid(), int(value) or signal.SIGSEGV)


def seed(value):
    """Seed NumPy's own generator, which each forked child then has a copy of."""
    import numpy

    numpy.random.seed(int(value))


def random_answer(answer, before):
    """An answer with NumPy's noise on it."""
    import numpy

    return answer + numpy.random.random()


FAULTS = {"pin": pin, "oversubscribe": oversubscribe, "one-job": one_job}
LOAD_FAULTS = {"crash-at-end": crash_at_end, "equal-random": seed}
ANSWER_FAULTS = {"equal-random": random_answer}
