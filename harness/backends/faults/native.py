"""Waits in C, and what wakes them there: native threads, timers of the kernel, or nobody. Made by ctypes, not compiled."""

import ctypes
import os
import signal
import threading

CLOCK_MONOTONIC = 1
SIGEV_SIGNAL, SIGEV_THREAD = 0, 2
POLL_MICROSECONDS = 200000


class _Timer(ctypes.Structure):
    """struct itimerspec: the interval, and the first expiry."""

    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "first_s", "first_ns")]


class _Event(ctypes.Structure):
    """struct sigevent: what happens when a timer expires."""

    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("rest", ctypes.c_byte * 40),
    ]


def hub_blocked(value):
    """Wait in C, for ever, without the GIL: in a green pool that stops the hub, and every greenlet with it."""
    wait_for(new_semaphore())


def gil_held(value):
    """Wait in C, for ever, and keep the GIL: no Python thread of this process will run again."""
    wait_for(new_semaphore(), ctypes.PyDLL(None))


def mutex(value):
    """Lock a mutex of the C library a second time."""
    libc, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)  # zeros: PTHREAD_MUTEX_INITIALIZER
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)


def native_sleep(value):
    """Sleep `value` seconds in C with the GIL held: no other Python thread of this process can run."""
    ctypes.PyDLL(None).sleep(int(value))


def native_poller(value):
    """Wait in C for a native thread that sleeps in turns for `value` seconds and then tells, as drivers' threads do."""
    libc, semaphore = ctypes.CDLL(None), new_semaphore()

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def polls(_):
        for _ in range(int(value * 1000000 / POLL_MICROSECONDS)):
            libc.usleep(POLL_MICROSECONDS)
        libc.sem_post(semaphore)

    thread = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(thread), None, polls, None)
    wait_for(semaphore)
    libc.pthread_join(thread, None)


def native_timer(value):
    """Wait in C for a semaphore that the C library's own timer thread posts after `value` seconds; no Python runs for it."""
    semaphore = new_semaphore()
    post = ctypes.cast(ctypes.CDLL(None).sem_post, ctypes.c_void_p)
    event = _Event(value=ctypes.addressof(semaphore), notify=SIGEV_THREAD, function=post)
    timer = _started_timer(event, value)
    wait_for(semaphore)
    _rt().timer_delete(timer)


def native_join(value):
    """Join, in C, a native thread that sleeps `value` seconds: it has no Python at all."""
    libc, thread = ctypes.CDLL(None), ctypes.c_ulong()
    sleep = ctypes.cast(libc.sleep, ctypes.c_void_p)
    libc.pthread_create(ctypes.byref(thread), None, sleep, ctypes.c_void_p(int(value)))
    libc.pthread_join(thread, None)


def timer_signal(value):
    """Wait for an event that a handler of its own sets, at a signal of a kernel's timer, after `value` seconds."""
    told = threading.Event()
    before = signal.signal(signal.SIGUSR2, lambda *_: told.set())
    timer = _started_timer(_Event(notify=SIGEV_SIGNAL, signal=signal.SIGUSR2), value)
    told.wait()
    _rt().timer_delete(timer)
    signal.signal(signal.SIGUSR2, before)


def timer_file(value):
    """Read from a timerfd, which becomes ready after `value` seconds."""
    libc = ctypes.CDLL(None)
    timer = libc.timerfd_create(CLOCK_MONOTONIC, 0)
    libc.timerfd_settime(timer, 0, ctypes.byref(_expiry(value)), None)
    os.read(timer, 8)
    os.close(timer)


def new_semaphore():
    """A sem_t of this process, at 0."""
    semaphore = ctypes.create_string_buffer(64)
    ctypes.CDLL(None).sem_init(semaphore, 0, 0)
    return semaphore


def wait_for(semaphore, libc=None):
    """sem_wait, again if a signal ended it."""
    libc = libc or ctypes.CDLL(None)
    while libc.sem_wait(semaphore):
        pass


def _rt():
    """The library that has timers: of its own before glibc 2.34."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "timer_create") else ctypes.CDLL("librt.so.1")


def _started_timer(event, seconds):
    timer = ctypes.c_void_p()
    _rt().timer_create(CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer))
    _rt().timer_settime(timer, 0, ctypes.byref(_expiry(seconds)), None)
    return timer


def _expiry(seconds):
    return _Timer(first_s=int(seconds), first_ns=int(seconds % 1 * 1000000000))


FAULTS = {
    "hub-blocked": hub_blocked,
    "gil-held": gil_held,
    "mutex": mutex,
    "native-sleep": native_sleep,
    "native-poller": native_poller,
    "native-timer": native_timer,
    "native-join": native_join,
    "timer-signal": timer_signal,
    "timer-file": timer_file,
}
