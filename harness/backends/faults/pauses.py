"""Waits inside one process that end by themselves, after `value` seconds: slow, and never hung."""

import os
import signal
import sys
import threading
import time


def sleep(value):
    """Take `value` seconds without computing, then answer: slow, not hung."""
    time.sleep(value)


def linger(value):
    """Take 50 ms, so that a process can be stopped from outside while it is inside a request."""
    time.sleep(0.05)


def lock_wait(value):
    """Wait for a lock that another thread holds while it sleeps `value` seconds: ends by itself."""
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(value, lock.release).start()
    lock.acquire()


def alarm(value):
    """Wait for an event that a handler of its own sets at SIGALRM, as packages named *timeout* do it."""
    told = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: told.set())
    signal.setitimer(signal.ITIMER_REAL, value)
    told.wait()
    signal.signal(signal.SIGALRM, before)


def select_limit(value):
    """Wait for a pipe that stays empty, with a time limit of `value` seconds."""
    import select

    reads, writes = os.pipe()
    select.select([reads], [], [], value)
    os.close(reads)
    os.close(writes)


def ping_pong(value):
    """Wait for two threads that take turns for `value` seconds; each wakes the other, and waits without a time limit."""
    turn, told, end = [0], threading.Condition(), time.monotonic() + value

    def play(mine):
        while time.monotonic() < end:
            with told:
                told.wait_for(lambda: turn[0] == mine)
                turn[0] = 1 - mine
                told.notify_all()
            time.sleep(0.05)
        with told:
            turn[0] = 1 - mine  # the other one may go home, too
            told.notify_all()

    players = [threading.Thread(target=play, args=(number,), daemon=True) for number in (0, 1)]
    for player in players:
        player.start()
    for player in players:
        player.join()


def future(value):
    """Wait for a future of an executor's thread, which ends after `value` seconds."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        executor.submit(time.sleep, value).result()


def coroutine_sleep(value):
    """Await a sleep of `value` seconds in a loop of its own."""
    import asyncio

    asyncio.run(asyncio.sleep(value))


def import_lock(value):
    """Import a module that another thread is importing, which takes `value` seconds."""
    from importlib import abc, machinery

    begun = threading.Event()

    class Slow(abc.MetaPathFinder, abc.Loader):
        def find_spec(self, name, path=None, target=None):
            return machinery.ModuleSpec(name, self) if name == "slow_to_import" else None

        def create_module(self, spec):
            return None

        def exec_module(self, module):
            begun.set()
            time.sleep(value)

    finder = Slow()
    sys.meta_path.insert(0, finder)
    threading.Thread(target=__import__, args=("slow_to_import",), daemon=True).start()
    begun.wait()
    __import__("slow_to_import")
    sys.meta_path.remove(finder)


def green_timeout(value):
    """Wait for a lock that nobody releases, until the green library's own time limit of `value` seconds ends it."""
    if _of_gevent():
        from gevent import Timeout
    else:
        from eventlet import Timeout
    lock = threading.Lock()
    lock.acquire()
    with Timeout(value, False):
        lock.acquire()


def green_timer(value):
    """Wait for a lock that the green library's event loop releases after `value` seconds: no greenlet and no thread does."""
    lock = threading.Lock()
    lock.acquire()
    if _of_gevent():
        import gevent

        timer = gevent.get_hub().loop.timer(value)
        timer.start(lock.release)
    else:
        from eventlet import hubs

        hubs.get_hub().schedule_call_global(value, lock.release)
    lock.acquire()


def green_sleeper(value):
    """Wait for a lock that is released once a greenlet ends which runs the green library's own sleep, of `value` seconds."""
    lock = threading.Lock()
    lock.acquire()
    if _of_gevent():
        import gevent

        sleeper = gevent.spawn(gevent.sleep, value)
    else:
        import eventlet

        sleeper = eventlet.spawn(eventlet.sleep, value)
    sleeper.link(lambda _: lock.release())
    lock.acquire()


def _of_gevent():
    from gevent import monkey

    return monkey.is_module_patched("threading")


FAULTS = {
    "sleep": sleep,
    "outside-stop": linger,
    "lock-wait": lock_wait,
    "alarm": alarm,
    "select": select_limit,
    "ping-pong": ping_pong,
    "future": future,
    "coroutine-sleep": coroutine_sleep,
    "import-lock": import_lock,
    "green-timeout": green_timeout,
    "green-timer": green_timer,
    "green-sleeper": green_sleeper,
}
