"""Waits inside one process that never end: locks, queues, threads and futures that nobody will release, fill or finish."""

import os
import threading
import time

HELD_IN_PARENT = threading.Lock()
FIRST, SECOND, TURNS = threading.Lock(), threading.Lock(), []


def deadlock(value):
    """Wait for a lock that this thread (or greenlet) holds already: nobody is left who could release it."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def fork_lock(value):
    """Wait for the lock that a thread of the parent held while it forked: nobody in the child will release it."""
    with HELD_IN_PARENT:
        pass


def hold_for_ever():
    """A thread of the parent takes a lock and sleeps on it, as an engine's thread might at the moment of a fork."""
    HELD_IN_PARENT.acquire()
    time.sleep(86400)


def crossed_threads(value):
    """Hold one lock and wait for a second one; a thread holds that, and waits for the first."""
    first, second, both = threading.Lock(), threading.Lock(), threading.Event()

    def other():
        with second:
            both.set()
            with first:
                pass

    with first:
        _thread(other)
        both.wait()
        with second:
            pass


def crossed_requests(value):
    """Two requests of one process take two locks in opposite order."""
    TURNS.append(None)
    one, two = (FIRST, SECOND) if len(TURNS) % 2 else (SECOND, FIRST)
    with one:
        time.sleep(0.5)  # so that the other request has its first lock, too
        with two:
            pass


def deadlock_beside_sleeper(value):
    """Wait for a lock of its own, beside a thread that sleeps in turns, as each library for metrics has one."""

    def metrics():
        while True:
            time.sleep(5)

    _thread(metrics)
    deadlock(value)


def event(value):
    """Wait for an event that nobody sets."""
    threading.Event().wait()


def queue_get(value):
    """Wait for an item of a queue that nobody fills."""
    import queue

    queue.Queue().get()


def condition(value):
    """Wait for a condition of which nobody tells."""
    told = threading.Condition()
    with told:
        told.wait()


def semaphore(value):
    """Ask for one more than the semaphore has."""
    places = threading.Semaphore(1)
    places.acquire()
    places.acquire()


def barrier(value):
    """Wait at a barrier for a second one, who never comes."""
    threading.Barrier(2).wait()


def join(value):
    """Wait for the end of a thread that waits for ever itself."""
    _thread(threading.Event().wait).join()


def orphaned_lock(value):
    """Wait for a reentrant lock whose owner, a thread, has ended without releasing it."""
    lock = threading.RLock()
    _thread(lock.acquire).join()
    lock.acquire()


def nested_executor(value):
    """Wait for a job that waits, in an executor of one thread, for another job of the same executor."""
    from concurrent.futures import ThreadPoolExecutor

    executor = ThreadPoolExecutor(1)
    executor.submit(lambda: executor.submit(time.sleep, 0).result()).result()


def coroutine(value):
    """Await, in a loop of its own, a future that nobody will ever set: the loop polls without a time limit."""
    import asyncio

    async def waits():
        await asyncio.get_event_loop().create_future()

    asyncio.run(waits())


def own_pipe(value):
    """Read from a pipe that only this process could write to."""
    reads, _ = os.pipe()
    os.read(reads, 1)


def _thread(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


FAULTS = {
    "deadlock": deadlock,
    "fork-lock": fork_lock,
    "crossed-threads": crossed_threads,
    "crossed-requests": crossed_requests,
    "deadlock-beside-sleeper": deadlock_beside_sleeper,
    "event": event,
    "queue": queue_get,
    "condition": condition,
    "semaphore": semaphore,
    "barrier": barrier,
    "join": join,
    "orphaned-lock": orphaned_lock,
    "nested-executor": nested_executor,
    "coroutine": coroutine,
    "own-pipe": own_pipe,
}
