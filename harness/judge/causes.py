"""From the evidence of a trial to its likely cause: a pure function, and what would help against each cause.

Causes
    fork-lost-threads       the child waits for threads that stayed in the parent, an engine's or Python's: fork(2) copies
                            only the thread that calls it
    fork-held-lock          the child waits for a lock that a thread of the parent held at the moment of the fork
    deadlock                a lock that nobody alive will release, and no fork took its holder away
    native-spin             a thread computes in one function, far beyond the pace of the cell
    gil-held                C code waits for ever and keeps Python's global lock
    hub-blocked             C code blocks the thread on which all greenlets of a green pool run
    compile-lock            a compiler's lock file is held by another process (Theano waits for it up to 120 s)
    stopped                 a signal stopped the process (SIGSTOP, or a debugger)
    respawn-loop            children die, are replaced, and die again before they serve
    lost-message            a request, or its answer, is neither in the broker nor with a worker
    broker-lost             the worker's connections to the broker are dead, or the broker does not answer
    load-generator-stalled  our own client stands still
    oom-killed              the kernel killed a process for its memory
    unknown                 none of these is supported by what was seen
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.experiment.matrix import AS_WRITTEN, Cell
from harness.judge.blocked import How
from harness.records.outcomes import Outcome
from harness.texts import counted

LOST_THREADS = "fork-lost-threads"
NEVER_STARTED = "Could not start worker processes"  # celery/worker/loops.py, where all children died before it began
FORKED, SPAWNED = "prefork", "prefork-spawn"
# Innermost frames of a thread that waits for a lock, Python's own or the C library's.
LOCK_FRAMES = re.compile(
    r"PyThread_acquire_lock|acquire_timed|lock_PyThread|rlock_acquire|__lll_lock_wait|pthread_mutex_lock|\bacquire \(threading"
)
LOCK_DEPTH = 6  # frames from the innermost
#: where a thread waits for another one to do something, and not for a lock to be free
SIGNAL_FRAMES = re.compile(r"\bwait \(threading\.py|\bjoin \(threading\.py")
IMPORT_FRAMES = re.compile(r"_ModuleLock|\bacquire \(<frozen importlib|_lock_unlock_module|acquire_import_lock")
SYSTEM_FRAMES = re.compile(r"libc\.so|libpthread|ld-linux|\(libpython|\(python3")
WAIT_INSIDES = re.compile(r"Futex|PerThreadSem|nsync|Mutex::|condition_variable|pthread_cond|synchronization_internal")
COMPILE_FRAMES = re.compile(r"compilelock|compile_lock|lock_compiledir")

ACROSS = {  # processes: what supports a deadlock of several
    How.SHARED: "every process that has the lock waits, or does nothing but wait for tasks; who took it may have ended since",
    How.PROCESSES: "the processes that it waits for stand still themselves; their stacks lie beside this one's",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was seen of a trial that ended badly. `frames`: the blocked thread's stack, innermost first. `lost_native`
    and `lost_python`: names of threads that the parent had and the child lacks. `in_broker`: messages that wait in the
    broker when the trial stood still; `consumers`: connections of the worker on which the broker heard something of late;
    `queued`, `reserved`: messages in the queue, and in the worker's hands but not begun, on average. None if unknown."""

    outcome: Outcome
    pool: str
    how: How | None = None
    frames: Sequence[str] = ()
    lost_native: Sequence[str] = ()
    lost_python: Sequence[str] = ()
    dead_children: int = 0
    never_started: bool = False  # the worker gave up on its children: see NEVER_STARTED
    serial_waits: bool = False  # the serial calls waited as well: then no fork, and no pool, is the cause
    oom_kills: int = 0
    oom_counted: str = ""  # where, in words: 'in its control group'
    broker_answers: bool = True
    waiting: int = 0
    in_broker: int | None = None
    consumers: int | None = None
    queued: float | None = None
    reserved: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A cause of the list above, and what supports it, a sentence each."""

    name: str
    support: tuple[str, ...] = ()


def cause_of(facts: Facts) -> Cause | None:
    """The likely cause; None where the outcome needs none."""
    if facts.outcome in (Outcome.CRASHED, Outcome.REFUSED):
        return _of_crash(facts)
    if facts.outcome is Outcome.RESPAWNING:
        return _crash_kill(facts) or Cause(
            name="respawn-loop", support=(f"{facts.dead_children} children died during the trial",)
        )
    if facts.outcome is Outcome.STALLED:
        return _of_stall(facts)
    if facts.outcome is Outcome.WAITING:
        return _of_broker(facts)
    if facts.outcome is Outcome.WRONG:
        return _of_wrong(facts)
    return _of_hang(facts) if facts.outcome is Outcome.HUNG else None


def _of_wrong(facts: Facts) -> Cause | None:
    """Of a forked child that waits in vain for a thread of its parent's, with a time limit, and goes on without."""
    return _of_lost_python(facts) if facts.pool == FORKED else None


def _of_lost_python(facts: Facts) -> Cause | None:
    """Python code waits for another thread to do something. One that has ended since shows no Python frame in the parent."""
    lost = [*facts.lost_python, *facts.lost_native]
    if not lost or not any(map(SIGNAL_FRAMES.search, facts.frames[:LOCK_DEPTH])):
        return None
    text = (
        f"the child waits for another thread to do something, and lacks threads that its parent had: {', '.join(counted(lost))}"
    )
    return Cause(name=LOST_THREADS, support=(text, *_where(facts)))


def _crash_kill(facts: Facts) -> Cause | None:
    if not facts.oom_kills:
        return None
    return Cause(name="oom-killed", support=(f"the kernel counted {facts.oom_kills} kills for memory {_counted(facts)}",))


def _of_crash(facts: Facts) -> Cause:
    if facts.never_started:
        return Cause(name="respawn-loop", support=(f"the worker gave up: {NEVER_STARTED}",))
    return _crash_kill(facts) or Cause(name="unknown", support=(f"the kernel killed nobody for memory {_counted(facts)}",))


def _counted(facts: Facts) -> str:
    return f"{facts.oom_counted} during the trial".lstrip()


def _of_broker(facts: Facts) -> Cause | None:
    if not facts.broker_answers:
        return Cause(name="broker-lost", support=("the broker does not answer a PING",))
    if facts.consumers == 0:
        text = "the broker answers, and has heard nothing from this worker's connections for seconds"
        return Cause(name="broker-lost", support=(text,))
    return None


def _of_stall(facts: Facts) -> Cause:
    if lost := _of_broker(facts):
        return lost
    if facts.in_broker is not None and facts.in_broker < facts.waiting:
        text = f"{facts.waiting} requests wait for a worker, and the broker holds only {facts.in_broker}"
        return Cause(name="lost-message", support=(text,))
    support = []
    if facts.in_broker is not None:
        support.append(f"the broker holds {facts.in_broker} messages, the worker is connected and idle")
    if facts.queued is not None and facts.reserved is not None:
        place = "in the broker's queue" if facts.queued > facts.reserved else "in the worker, reserved and not begun"
        support.append(
            f"most requests waited {place}: {facts.queued:.1f} in the queue and {facts.reserved:.1f} reserved, on average"
        )
    return Cause(name="unknown", support=tuple(support))


def _of_hang(facts: Facts) -> Cause:
    if any(COMPILE_FRAMES.search(frame) for frame in facts.frames):
        return Cause(name="compile-lock", support=("the stack stands in the compiler's lock",))
    if facts.how is How.LOST:
        return Cause(name="lost-message", support=("the worker was done with the request, and no answer came",))
    simple = {How.SPIN: "native-spin", How.GIL: "gil-held", How.STOPPED: "stopped"}
    if facts.how in simple:
        return Cause(name=simple[facts.how], support=_where(facts))
    if facts.serial_waits and facts.how in (How.FUTEX, How.BEREFT, How.GREENLET):
        name = "deadlock" if is_at_lock(facts.frames) or not facts.frames else "unknown"
        return Cause(name=name, support=("the serial calls wait as well, without Celery and without a fork", *_where(facts)))
    if facts.how is How.OWNER:
        forked = facts.pool == FORKED
        whose = "a thread of the parent held it at the fork" if forked else "the thread that held it has ended"
        support = (f"the lock itself names its holder, which is no thread of this process: {whose}", *_where(facts))
        return Cause(name="fork-held-lock" if forked else "deadlock", support=support)
    if facts.how in ACROSS:
        return Cause(name="deadlock", support=(ACROSS[facts.how], *_where(facts)))
    if facts.how is How.FUTEX and facts.pool in ("gevent", "eventlet"):
        support = ("the thread of the hub itself waits in a futex, so no greenlet can run", *_where(facts))
        return Cause(name="hub-blocked", support=support)
    if (
        facts.pool == FORKED
        and facts.how in (How.FUTEX, How.BEREFT)
        and any(map(IMPORT_FRAMES.search, facts.frames[:LOCK_DEPTH]))
    ):
        first = (
            "the child waits to import a module that a thread of its parent was importing at the fork: import it before, in "
        )
        return Cause(name="fork-held-lock", support=(f"{first}the main thread, at the top of the file", *_where(facts)))
    if facts.pool == FORKED and facts.how in (How.FUTEX, How.BEREFT) and (facts.lost_native or facts.lost_python):
        return _of_fork(facts)
    if facts.how in (How.FUTEX, How.BEREFT, How.GREENLET, How.PIPE) and (facts.frames or facts.pool != FORKED):
        alone = ("its parent had no other thread when it was ready; one that had ended by then is not seen",)
        return Cause(name="deadlock", support=(*(alone if facts.pool == FORKED else ()), *_where(facts)))
    return Cause(name="unknown")  # a forked child that nobody looked into may lack threads


def _of_fork(facts: Facts) -> Cause:
    """A Python lock, or a C library's, was held; what is waited for is a thread's work, Python's or an engine's."""
    if found := _of_lost_python(facts):
        return found
    if is_at_lock(facts.frames):
        lost = ", ".join(counted([*facts.lost_python, *facts.lost_native]))
        first = f"the child waits for a lock, and lacks threads of its parent that may have held it: {lost}"
        return Cause(name="fork-held-lock", support=(first, *_where(facts)))
    if not facts.lost_native:
        return Cause(name="unknown", support=_where(facts))
    support = (
        f"the parent had native threads that the child lacks: {', '.join(counted(facts.lost_native))}",
        f"the child's request waits in {engine_frame(facts.frames)}",
    )
    return Cause(name=LOST_THREADS, support=support)


def is_at_lock(frames: Sequence[str]) -> bool:
    """Whether a stack, innermost frame first, ends in a lock: what is left of an engine's pool cannot be told from these."""
    return any(LOCK_FRAMES.search(frame) for frame in frames[:LOCK_DEPTH])


def _where(facts: Facts) -> tuple[str, ...]:
    return (f"the stack ends in {engine_frame(facts.frames)}",) if facts.frames else ()


def engine_frame(frames: Sequence[str]) -> str:
    """The two innermost frames that say what is waited for: without the C library's and a wait's own insides.

    >>> engine_frame(["syscall (libc.so.6)", "nsync::nsync_cv_wait (tf.so)", "Session::WaitForNotification (tf.so)"])
    'Session::WaitForNotification (tf.so)'
    """
    telling = [frame for frame in frames if not SYSTEM_FRAMES.search(frame) and not WAIT_INSIDES.search(frame)]
    return " < ".join((telling or list(frames))[:2])


@dataclass(frozen=True, kw_only=True)
class Fix:
    """Something that would help, and the sibling cell that would show it; None if no cell of ours can."""

    text: str
    cell: Cell | None


LOAD_LATER = "load the model after the fork, in the first task"
LOAD_IN_CHILD = "load the model in worker_process_init, with a start window that is long enough"
FIXES = {
    "fork-lost-threads": ("first-task", "process-init", "spawn", "threads", "solo", "one-thread"),
    "fork-held-lock": ("first-task", "process-init", "spawn", "threads"),
    "hub-blocked": ("prefork", "threads"),
    "gil-held": ("prefork",),
    "respawn-loop": ("start-window", "first-task"),
    "lost-message": (),
}


#: In somebody's own application: what its owner can change there.
THEIRS = {
    "fork-lost-threads": "make what has threads of its own (a model, an executor, a loader) in each child, not at import",
    "fork-held-lock": "let no thread hold it at the fork: start that thread in each child, import modules before any thread",
    "respawn-loop": "mend what the log's last error names",
    "deadlock": "mend the code at the place that the stack names: take locks in one order, never twice, or with a time limit",
    "hub-blocked": "keep calls that block out of greenlets: prefork and threads can carry them",
    "gil-held": "mend the extension that waits with the GIL held; prefork keeps the other requests going",
    "oom-killed": "give it more memory, or fewer processes",
}
END_WAITS = "give the wait an end: a timeout of the connection (socket_timeout), or a soft time limit in prefork"
TAKE_LOCKS = "look above that line for locks that are taken twice, or in another order; acquire(timeout=…) shows where"
POOLS_OF_FIXES = ("spawn", "threads", "prefork", "solo")


def against_waiting(reason: str) -> str:
    """What helps somebody whose task waits without an end, by the judge's reason; '' if that says it, or says too little."""
    if "they may wait for" in reason:  # another task, see `applications.probe.words`
        return ""
    if "waits for a lock or condition" in reason:  # see `observe.waits`
        return TAKE_LOCKS
    return END_WAITS if "waits for TCP" in reason else ""


def fixes(cell: Cell, cause: str) -> list[Fix]:
    """What would help against this cause, as cells of the same backend, workload and call.

    Where somebody's own application loads its model is not ours to place, so that no cell shows another placement of it.
    """
    found = {
        "first-task": Fix(text=LOAD_LATER, cell=replace(cell, placement="first-task")),
        "process-init": Fix(text=LOAD_IN_CHILD, cell=replace(cell, placement="process-init")),
        "spawn": Fix(text="start children by spawn (--pool-start-method spawn)", cell=replace(cell, pool=SPAWNED)),
        "threads": Fix(text="use --pool threads", cell=replace(cell, pool="threads")),
        "prefork": Fix(text="use --pool prefork", cell=replace(cell, pool=FORKED)),
        "solo": Fix(text="use --pool solo", cell=replace(cell, pool="solo", concurrency=1)),
        "one-thread": Fix(text="one intra-op and one inter-op thread", cell=replace(cell, engine_threads="1x1")),
        "start-window": Fix(text="raise worker_proc_alive_timeout", cell=replace(cell, start_window_s=0.0)),
    }
    if cell.placement == AS_WRITTEN:
        theirs = [Fix(text=THEIRS[cause], cell=None)] if cause in THEIRS else []
        return theirs + [found[name] for name in FIXES.get(cause, ()) if name in POOLS_OF_FIXES and found[name].cell != cell]
    return [found[name] for name in FIXES.get(cause, ()) if found[name].cell != cell]
