"""Whether an overdue request is blocked for ever: what its thread or greenlet waits in, and who could still end that.

Pure functions over looks. The thread that runs the request is blocked if, over the whole window,

* it waits in a private futex without a time limit, and was not switched to once: only another thread of the same process
  could wake it. Or it waits for the GIL, and the thread that holds the GIL waits so. Or it runs in a greenlet that waits
  for a lock without a time limit. Or its process is stopped;
* nothing else could wake it. Whatever is not known to wait for ever is a *possible waker*: a thread that computes, or waits for
  a timer, a file, a child, a pipe or a socket; one in a futex that another process shares; one that was woken in between; a
  signal with a handler that neither Python, Celery nor we have installed (an alarm); a time limit of the application's own
  that is still to strike. Celery's own threads that already waited just so when the worker was ready and idle (its event
  loop, say) are furniture. A *native* thread on a timer may be a library's own poller, which ends the wait; only in a child
  that lost threads of its parent at the fork it passes for an engine's housekeeping (a hung TensorFlow 2 child has one
  that wakes every few tens of seconds), and then the proof is watched for longer (`How.BEREFT`);
* the process has no child process that lives (a compiler).

A lock of the C library's names its holder. If that is no thread of the process, nobody will release it, whatever else runs.

Where other requests of the same process go on meanwhile (one thread of eight is blocked), what they and the engine's
threads do says nothing of the blocked one; then pace has to carry more: SHARED_FACTOR times the usual duration.

A request whose thread computes in the same function for SPIN_FACTOR times its usual duration, at least SPIN_S and
COLD_FACTOR times the slowest answer of any row, *spins*; at least BLIND_SPIN_S if no serial calls have shown what the rows
cost. The first request of a process, which may compile, gets COLD_FACTOR times what the baseline's first one took.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from harness.machine.procfs import Thread
from harness.observe.looks import GIL_WAKES, IDLE_CPU, Greenlet, Look, ProcessLook, agree_long_enough, computes, window
from harness.observe.progress import OpenStage

GREEN_CPU = 0.25  # cores; telling its greenlets costs a process some
HELPER_CPU_S = 0.05  # seconds in a window that housekeeping may use
SHARED_FACTOR, SHARED_S = 50.0, 5.0
TOLD_LOOKS = 2  # of a window, at which a green process has to tell of its greenlets
LIMIT_GRACE_S = 5.0  # a limit strikes when Celery's main process looks, once a second, and its error has to be stored
#: signals whose handlers end no wait: Celery's and billiard's, as a plain worker of 5.7 has them in every pool (SIGUSR1 for the
#: soft limit and the trace), gevent's SIGCHLD, faulthandler's, glibc's, and ours. SIGUSR2 is the
#: application's, but for the children of an old billiard (`trial.supervisor.set_by_billiard`).
KNOWN_SIGNALS = frozenset({
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD,
    signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGWINCH, signal.SIGURG, 32, 33,
})  # fmt: skip
SPIN_FACTOR, SPIN_S, SPIN_CORES, SPIN_GLANCES = 100.0, 20.0, 0.6, 4
COLD_FACTOR, COLD_SPIN_S = 10.0, 120.0
BLIND_SPIN_S = 60.0  # where no serial calls have shown what each row costs


class How(Enum):
    """What a hang looks like, for the words of the verdict and for `diagnosis`."""

    FUTEX = "wait in a private futex that no thread of theirs will release, without using CPU"
    BEREFT = "wait in a private futex that no thread of theirs will release, and lack threads that their parent has"
    PIPE = "wait at a pipe or a pair of sockets whose other end no process but theirs has"
    OWNER = "wait for a lock whose holder is a thread that their process does not have"
    GIL = "wait in C, for ever, with the GIL held"
    GREENLET = "wait, in greenlets, for locks that no greenlet will release"
    STOPPED = "are stopped by a signal"
    SPIN = "compute in one and the same function"
    LOST = "have answers that never came, though the worker was done with them"


@dataclass(frozen=True)
class _Views:
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


def blocked(looks: Sequence[Look], stage: OpenStage) -> tuple[How | None, str]:
    """How an overdue stage is blocked; or None, and why that cannot be said."""
    now = looks[-1]
    since = [look for look in looks if look.at_s > stage.since_s]
    if not agree_long_enough(since, now.at_s):
        return None, "it was not looked at for long enough"
    recent = window(since)
    views = [next((process for process in look.processes if process.pid == stage.pid), None) for look in recent]
    seen = [view for view in views if view is not None]
    if len(seen) < len(recent):
        return None, f"process {stage.pid} was not seen all the time"
    histories: dict[int, list[Thread]] = {}
    for view in seen:
        for thread in view.threads:
            histories.setdefault(thread.tid, []).append(thread)
    process = _Views(seen, recent[-1].at_s - recent[0].at_s, histories)
    if all(thread.state in "Tt" for view in seen for thread in view.threads):
        return How.STOPPED, ""
    if now.limit_s and now.at_s - stage.since_s < now.limit_s + LIMIT_GRACE_S:
        return None, f"the application's own time limit of {now.limit_s:g} s is still to strike"
    if _spins(now, stage, process):
        return How.SPIN, ""
    if alarms := sorted(process.last.caught - KNOWN_SIGNALS):
        return None, f"process {stage.pid} handles {', '.join(map(_signal, alarms))}, which may end its wait"
    if process.told and _task_thread_doubt(histories.get(stage.tid, []), stage.tid, len(seen)):
        doubt = _greenlet_doubt(now, stage, process)
        return (None, doubt) if doubt else (How.GREENLET, "")
    return _thread_blocked(now, stage, process)


def _thread_blocked(now: Look, stage: OpenStage, process: _Views) -> tuple[How | None, str]:
    key, owner = stage.tid, process.last.gil_owner
    doubt = _task_thread_doubt(process.histories.get(key, []), key, len(process.seen))
    if owner is not None and owner != key and doubt and _waits_for_gil(process, key):
        key = owner  # what matters is whether the thread that holds the GIL will ever let go
        doubt = _task_thread_doubt(process.histories.get(key, []), key, len(process.seen))
    if doubt:
        return None, doubt
    if _holder_is_gone(process, key):
        return How.OWNER, ""
    how = How.GIL if owner == key else How.PIPE if process.histories[key][-1].home else How.FUTEX
    quiet_s = now.at_s - stage.since_s
    others = {other.tid for other in now.stages if other.pid == stage.pid and other.tid != stage.tid}
    shared = {tid for tid in others if now.at_s - _began(now, tid) < now.patience_s}
    if shared and how is not How.GIL:
        if now.pace_s is None or quiet_s < max(SHARED_S, SHARED_FACTOR * now.pace_s):
            return None, f"other requests of process {stage.pid} go on"
        return _shared_doubt(now, stage, process)
    if how is not How.GIL and process.cores > IDLE_CPU:
        return None, f"process {stage.pid} computes ({process.cores:.2f} cores)"
    ignored = {key, stage.tid, *others}
    doubt = _rest_doubt(now, process, ignored, gil=how is How.GIL)
    if doubt and how is How.FUTEX and process.last.lost_threads:
        doubt, how = _rest_doubt(now, process, ignored, gil=False, bereft=True), How.BEREFT
    return (None, doubt) if doubt else (how, "")


def _holder_is_gone(process: _Views, tid: int) -> bool:
    """Whether the lock's own word names a holder that is no thread of this process: of its parent, before the fork, or one that
    has ended. Then it does not matter who else runs.
    """
    holders = {thread.owner for thread in process.histories[tid]}
    return len(holders) == 1 and 0 not in holders and not holders & set(process.histories)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _began(now: Look, tid: int) -> float:
    return max((stage.since_s for stage in now.stages if stage.tid == tid), default=0.0)


def _shared_doubt(now: Look, stage: OpenStage, process: _Views) -> tuple[How | None, str]:
    """One thread of many: only Python threads that run no request may still hold what it waits for."""
    runners = {other.tid for other in now.stages} | {stage.tid}
    for tid, history in sorted(process.histories.items()):
        foreign = process.last.python_tids is None or tid in process.last.python_tids
        if foreign and tid not in runners and len(history) == len(process.seen):
            doubt = _helper_doubt(history, _furniture(now, process, tid), stage.pid, bereft=False)
            if doubt and "computes" not in doubt:
                return None, doubt
    if process.last.children:
        return None, f"process {stage.pid} has a child process of its own"
    return How.FUTEX, ""


def _rest_doubt(now: Look, process: _Views, ignored: set[int], *, gil: bool, bereft: bool = False) -> str:
    """Why something beside the blocked thread may still end its wait; '' if nothing can. `bereft`: the process lost threads at
    the fork, so that a native one on a timer is what is left of its engine.
    """
    pid = process.last.pid
    if any(len(history) != len(process.seen) for history in process.histories.values()):
        return f"threads of process {pid} came or went in between"
    if process.last.children:
        return f"process {pid} waits beside a child process of its own"
    for tid, history in sorted(process.histories.items()):
        if tid in ignored or (gil and _waits_for_gil(process, tid)):
            continue
        foreign = process.last.python_tids is None or tid in process.last.python_tids
        doubt = _helper_doubt(history, _furniture(now, process, tid), pid, bereft=bereft and not foreign)
        if doubt:
            return doubt
    return ""


def _waits_for_gil(process: _Views, tid: int) -> bool:
    """CPython waits for the GIL in steps of 5 ms (sys.setswitchinterval): a futex with a time limit, woken often."""
    history = process.histories.get(tid, [])
    if len(history) < 2 or tid == process.last.gil_owner:
        return False
    woken = history[-1].switches - history[0].switches
    return all(thread.waits_in in ("futex", "running") for thread in history) and woken >= GIL_WAKES * process.seconds


def _spins(now: Look, stage: OpenStage, process: _Views) -> bool:
    """Whether the thread has computed in one function for far longer than any request of this trial took."""
    if now.pace_s is None:
        return False
    floor_s = SPIN_S if now.cold_s is not None else BLIND_SPIN_S
    least_s = max(floor_s, SPIN_FACTOR * now.pace_s, COLD_FACTOR * (now.slowest_s or 0.0))
    if stage.cold:  # the first request of a process may compile
        least_s = max(least_s, COLD_SPIN_S if now.cold_s is None else COLD_FACTOR * now.cold_s)
    # a thread of greenlets that computes may do so for another request: then nothing at all may have come meanwhile
    since_s = now.last_progress_s if now.executor_kind == "greenlets" else stage.since_s
    if now.at_s - since_s < least_s:
        return False
    history = process.histories.get(stage.tid, [])
    if len(history) < len(process.seen):
        return False
    _, glances = process.last.functions.get(stage.tid, ("", 0))
    return glances >= SPIN_GLANCES and computes(history, process.seconds, SPIN_CORES)


def _task_thread_doubt(history: Sequence[Thread], tid: int, looks: int) -> str:
    if len(history) < looks:
        return f"thread {tid}, which runs the request, was not seen all the time"
    if any(thread.waits_in == "unknown" for thread in history):
        return f"what thread {tid} waits in may not be read"
    last = history[-1]
    if not all(map(_waits_for_its_process, history)):
        return f"thread {tid}, which runs the request, waits in {last.waits_in}{' with a time limit' if last.timed else ''}"
    if last.switches != history[0].switches:
        return f"thread {tid}, which runs the request, was woken in between"
    return ""


def _waits_for_its_process(thread: Thread) -> bool:
    """Whether nobody outside its process can end its wait: a private futex, or pipes and sockets that lead back to it."""
    return not thread.timed and (thread.home or (thread.waits_in == "futex" and thread.private))


def _greenlet_doubt(now: Look, stage: OpenStage, process: _Views) -> str:
    """Why the greenlet that runs this request may still go on; '' if it cannot."""
    if process.cores > GREEN_CPU:
        return f"process {stage.pid} computes ({process.cores:.2f} cores)"
    # a load stands inside a request, and has no number of its own
    inside = [other.number for other in now.stages if other.pid == stage.pid and other.kind == "request"]
    numbers = inside if stage.kind == "load" else [stage.number]
    if len(process.told) < TOLD_LOOKS:
        return f"process {stage.pid} told too seldom of its greenlets"
    for greenlets in process.told:
        own = [greenlet for greenlet in greenlets if greenlet.request in numbers]
        if not own or not all(greenlet.on_lock for greenlet in own):
            return f"the greenlet of request {stage.number} waits for something that may end"
    overdue = {other.number for other in now.stages if now.at_s - other.since_s >= now.patience_s}
    for greenlet in process.told[-1]:
        runs_a_younger_request = greenlet.request is not None and greenlet.request not in overdue
        if greenlet.foreign and not greenlet.on_lock and not runs_a_younger_request:
            return "another greenlet may still end its wait"
    if process.last.children:
        return f"process {stage.pid} waits beside a child process of its own"
    helpers = {tid: history for tid, history in process.histories.items() if tid != stage.tid}
    for tid, history in sorted(helpers.items()):
        doubt = _helper_doubt(history, _furniture(now, process, tid), stage.pid, bereft=False)
        if doubt:
            return doubt
    return ""


def _furniture(now: Look, process: _Views, tid: int) -> str | None:
    """What this thread of Celery's own waited in when the worker was idle. Anybody else's may wait for an answer now."""
    return now.furniture.get(tid) if tid in process.last.own_tids else None


def _helper_doubt(history: Sequence[Thread], furniture: str | None, pid: int, *, bereft: bool) -> str:
    """Why another thread of the process may still wake the one that runs the request."""
    last = history[-1]
    thread = f"thread {last.tid} ({last.name})" if last.tid != pid else f"the main thread of process {pid}"
    if last.cpu_s - history[0].cpu_s > HELPER_CPU_S or last.waits_in in ("running", "unknown"):
        return f"{thread} computes"
    if all(one.waits_in == furniture for one in history):
        return ""
    if bereft and last.waits_in in ("sleep", "restart", "futex"):
        return ""
    for one in history:
        if _waits_for_its_process(one):
            continue
        if one.waits_in != "futex" or one.timed:
            return f"{thread} waits in {one.waits_in}, which may still end"
        return f"{thread} waits in a futex that another process may wake"
    return f"{thread} was woken in between" if last.switches != history[0].switches else ""
