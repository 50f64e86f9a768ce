"""Whether a wait is closed: nothing that could end it, in its own process or in another, can itself go on. Pure functions.

From the thread that waits, everything is followed that could end its wait: the threads of its process, and of each process that
the kernel shows at the other end of a pipe, in a shared piece of memory, or as a child (`observe.wakers`). The set is closed if

* each of its threads waits without a time limit, was not switched to once in the window, and only processes of the set could
  end that. Celery's own threads that wait just as they did when the worker was ready and idle are furniture;
* no process in it has a handler for a signal that neither Python, Celery nor we have installed (an alarm);
* no executor in it is idle: the next task could end the wait.

Whatever is not known to wait so is a *possible waker*, and named as the doubt.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.machine.procfs import Thread
from harness.observe.looks import GIL_WAKES, Greenlet, Look, ProcessLook
from harness.observe.roles import Role

HELPER_CPU_S = 0.05  # seconds in a window that housekeeping may use
#: signals whose handlers end no wait: Celery's and billiard's, as a plain worker of 5.7 has them in every pool (SIGUSR1 for the
#: soft limit and the trace), gevent's SIGCHLD, faulthandler's, glibc's, and ours. SIGUSR2 is the
#: application's, but for the children of an old billiard (`observe.eyes.set_by_billiard`).
KNOWN_SIGNALS = frozenset({
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD,
    signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGWINCH, signal.SIGURG, 32, 33,
})  # fmt: skip
DEAD, STOPPED = "ZX", "Tt"


@dataclass(frozen=True)
class Views:
    """One process over the window of looks, and the histories of its threads."""

    seen: Sequence[ProcessLook]
    seconds: float
    histories: Mapping[int, Sequence[Thread]]

    @property
    def last(self) -> ProcessLook:
        return self.seen[-1]

    @property
    def told(self) -> list[tuple[Greenlet, ...]]:
        """What the process told of its greenlets. At some looks its thread runs, for it is just telling, and none is known."""
        return [view.greenlets for view in self.seen[1:] if view.greenlets is not None]

    @property
    def cores(self) -> float:
        return (self.seen[-1].cpu_s - self.seen[0].cpu_s) / self.seconds


@dataclass(frozen=True)
class Scene:
    """The last look, and every process that was seen in each look of the window."""

    now: Look
    processes: Mapping[int, Views]


@dataclass(frozen=True)
class Found:
    """Why a wait may still end, '' if it cannot; and the other processes that could have ended it."""

    doubt: str = ""
    others: frozenset[int] = frozenset()


def scene_of(window: Sequence[Look]) -> Scene:
    """What a window of looks shows of each process."""
    views: dict[int, list[ProcessLook]] = {}
    for look in window:
        for process in look.processes:
            views.setdefault(process.pid, []).append(process)
    seconds = window[-1].at_s - window[0].at_s
    whole = {pid: seen for pid, seen in views.items() if len(seen) == len(window)}
    return Scene(window[-1], {pid: Views(seen, seconds, _histories(seen)) for pid, seen in whole.items()})


def _histories(seen: Iterable[ProcessLook]) -> dict[int, list[Thread]]:
    found: dict[int, list[Thread]] = {}
    for view in seen:
        for thread in view.threads:
            found.setdefault(thread.tid, []).append(thread)
    return found


def closed(
    scene: Scene, process: Views, tid: int, ignored: set[int], *, gil: bool = False, bereft: bool = False, reaps: bool = False
) -> Found:
    """Whether anything beside this thread may still end its wait. `ignored`: threads of its process that are judged by
    themselves. `gil`: it holds the GIL, and who waits for that is no doubt. `bereft`: its process lost threads at the fork, so
    that a native one on a timer is what is left of its engine. `reaps`: a child that has ended, and is yet to be waited for, is
    one that may end it: an event loop will hear of it.
    """
    pid = process.last.pid
    doubt, left = _threads(scene, process, ignored, gil=gil, bereft=bereft)
    left |= _wakers(process.histories.get(tid, ())) | (set(process.last.children) if reaps else set())
    others = set[int]()
    while not doubt and (left := left - others - {pid}):
        others.add(other := min(left))
        doubt, reached = _member(scene, other)
        left |= reached
    return Found(doubt, frozenset(others))


def _member(scene: Scene, pid: int) -> tuple[str, set[int]]:
    """(doubt, further processes) of another process that could end the wait."""
    process = scene.processes.get(pid)
    if process is None:
        return f"process {pid} may end the wait, and was not seen all the time", set()
    if process.last.role is Role.IDLE:
        return f"process {pid} is idle: its next task may end the wait", set()
    if process.last.role in (Role.MAIN, Role.HELD):  # it turns, and runs timers, signals and commands of the application's
        return f"the worker's main process {pid} goes on, and may end the wait", set()
    if doubt := alarms(process.last):
        return doubt, set()
    return _threads(scene, process, set())


def _threads(
    scene: Scene, process: Views, ignored: set[int], *, gil: bool = False, bereft: bool = False
) -> tuple[str, set[int]]:
    """(doubt, further processes) of the threads of one process."""
    pid, reached = process.last.pid, {child for child in process.last.children if not _has_ended(scene, child)}
    if any(len(history) != len(process.seen) for history in process.histories.values()):
        return f"threads of process {pid} came or went in between", set()
    if process.last.frozen:
        return f"process {pid} is frozen, and may be thawed", set()
    for tid, history in sorted(process.histories.items()):
        if tid in ignored or (gil and waits_for_gil(process, tid)):
            continue
        if history[-1].state in STOPPED:
            return f"process {pid} is stopped by a signal, and may be continued", set()
        if tid in process.last.own_tids and (doubt := own_loop(process)):
            return doubt, set()
        native = process.last.python_tids is not None and tid not in process.last.python_tids | process.last.own_tids
        doubt = helper_doubt(history, furniture(scene.now, process, tid), pid, bereft=bereft and native)
        if doubt:
            return doubt, set()
        reached |= _wakers(history)
    return "", reached


def _has_ended(scene: Scene, pid: int) -> bool:
    """Whether a child is dead, and yet to be waited for: it does nothing any more, and its parent has had the signal."""
    process = scene.processes.get(pid)
    return process is not None and all(thread.state in DEAD for view in process.seen for thread in view.threads)


def _wakers(history: Sequence[Thread]) -> set[int]:
    return {pid for thread in history for pid in thread.wakers}


def alarms(process: ProcessLook) -> str:
    """Why a signal may end a wait in this process; '' if none can. One that it handles only since the worker was ready is the
    application's, whatever its number."""
    pid, found = process.pid, sorted((process.caught - KNOWN_SIGNALS) | process.new_signals)
    if found:
        return f"process {pid} handles {', '.join(map(_signal, found))}, which may end its wait"
    if process.timer_signals:
        return f"process {pid} has a timer that sends {', '.join(map(_signal, sorted(process.timer_signals)))}"
    if process.untold_signals:
        told = ", ".join(map(_signal, sorted(process.untold_signals)))
        return f"process {pid} handles {told}, and whose handler that is cannot be read: one of its own may end its wait"
    return ""


def own_loop(process: Views) -> str:
    """Why the worker's own loop, which turns in this process, may end a wait; '' if it runs nothing of the application's."""
    hooks = process.last.hooks
    return f"the worker's own loop runs {hooks[0]}, which may end the wait" if hooks else ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def waits_for_gil(process: Views, tid: int) -> bool:
    """CPython waits for the GIL in steps of 5 ms (sys.setswitchinterval): a futex with a time limit among its own data, woken
    often. What polls a device looks just so: a native thread, or a Python one in C, at a futex of somebody else's."""
    history, python = process.histories.get(tid, []), (process.last.python_tids or frozenset()) | process.last.own_tids
    if len(history) < 2 or tid == process.last.gil_owner or tid not in python:
        return False
    data = process.last.python_data
    if data and not all(any(begin <= one.place < end for begin, end in data) for one in history if one.place):
        return False
    woken = history[-1].switches - history[0].switches
    return all(thread.waits_in in ("futex", "running") for thread in history) and woken >= GIL_WAKES * process.seconds


def thread_doubt(history: Sequence[Thread], tid: int, looks: int) -> str:
    """Why the wait of the thread that runs the request may end by itself, or by anybody; '' if only known processes could."""
    if len(history) < looks:
        return f"thread {tid}, which runs the request, was not seen all the time"
    if any(thread.waits_in == "unknown" for thread in history):
        return f"what thread {tid} waits in may not be read"
    last = history[-1]
    if not all(map(_is_closed, history)):
        return f"thread {tid}, which runs the request, waits in {last.waits_in}{' with a time limit' if last.timed else ''}"
    if last.switches != history[0].switches:
        return f"thread {tid}, which runs the request, was woken in between"
    return ""


def _is_closed(thread: Thread) -> bool:
    """Whether only known processes can end its wait: its own, for a private futex, or those that the kernel shows."""
    return not thread.timed and (bool(thread.wakers) or (thread.waits_in == "futex" and thread.private))


def furniture(now: Look, process: Views, tid: int) -> str | None:
    """What this thread of Celery's own waited in when the worker was idle. Anybody else's may wait for an answer now."""
    return now.furniture.get(tid) if tid in process.last.own_tids else None


def helper_doubt(history: Sequence[Thread], furniture: str | None, pid: int, *, bereft: bool) -> str:
    """Why another thread may still wake the one that runs the request; '' if only the wakers of its own wait could let it."""
    last = history[-1]
    thread = f"thread {last.tid} ({last.name})" if last.tid != pid else f"the main thread of process {pid}"
    if last.state in DEAD:
        return f"{thread} has ended, and is yet to be waited for"
    if last.cpu_s - history[0].cpu_s > HELPER_CPU_S or last.waits_in in ("running", "unknown"):
        return f"{thread} computes"
    if all(one.waits_in == furniture for one in history):
        return ""
    if bereft and last.waits_in in ("sleep", "restart", "futex"):
        return ""
    for one in history:
        if _is_closed(one):
            continue
        if one.waits_in != "futex" or one.timed:
            return f"{thread} waits in {one.waits_in}, which may still end"
        return f"{thread} waits in a futex that another process may wake"
    return f"{thread} was woken in between" if last.switches != history[0].switches else ""
