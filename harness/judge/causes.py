"""From the evidence of a trial to its likely cause: a pure function. What would help against each is in `remedies`.

Causes
    fork-lost-threads       the child waits for threads that stayed in the parent, an engine's or Python's: fork(2) copies
                            only the thread that calls it
    fork-held-lock          the child waits for a lock that a thread of the parent held at the moment of the fork
    fork-shared-connection  the children use one connection with their parent, opened before the fork: each may read the answer
                            to another's question
    deadlock                a lock that nobody alive will release, and no fork took its holder away
    native-spin             a thread computes in one function, far beyond the pace of the cell
    gil-held                C code waits for ever and keeps Python's global lock
    hub-blocked             C code blocks the thread on which all greenlets of a green pool run
    compile-lock            a compiler's lock file is held by another process (Theano waits for it up to 120 s)
    stopped                 a signal stopped the process (SIGSTOP, or a debugger), or its control group is frozen
    respawn-loop            children die, are replaced, and die again before they serve
    cannot-unpickle         the worker's main process cannot unpickle what a child sent it, such as a task's exception, and ends
    asked-to-end            the worker was asked to shut down, and did
    lost-message            a request, or its answer, is neither in the broker nor with a worker
    acknowledged-late       RabbitMQ hands out no more, for all that the worker may prefetch is handed out; it is done, and the
                            worker's loop waits before it says so
    broker-lost             the worker's connections to the broker are dead, or the broker does not answer
    load-generator-stalled  our own client stands still
    oom-killed              the kernel killed a process for its memory
    unknown                 none of these is supported by what was seen
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.judge.blocked import How
from harness.records.outcomes import Outcome
from harness.texts import counted, few

LOST_THREADS, SHARED_CONNECTION = "fork-lost-threads", "fork-shared-connection"
NEVER_STARTED = "Could not start worker processes"  # celery/worker/loops.py, where all children died before it began
FORKED, SPAWNED = "prefork", "prefork-spawn"
GREEN = ("gevent", "eventlet")
ONE_THREAD = ("solo", *GREEN)  # pools in which a request that blocks keeps the worker from its broker as well
# Innermost frames of a thread that waits for a lock, Python's own or the C library's.
LOCK_FRAMES = re.compile(
    r"PyThread_acquire_lock|acquire_timed|lock_PyThread|rlock_acquire|__lll_lock_wait|pthread_mutex_lock|\bacquire \(threading"
)
LOCK_DEPTH = 6  # frames from the innermost
#: where a thread waits for another one to do something, and not for a lock to be free
SIGNAL_FRAMES = re.compile(r"\bwait \(threading\.py|\bjoin \(threading\.py")
IMPORT_FRAMES = re.compile(r"_ModuleLock|\bacquire \(<frozen importlib|_lock_unlock_module|acquire_import_lock")
NAMELESS = re.compile(r"^0x[0-9a-f]+ \((.+)\)$")
SYSTEM_FRAMES = re.compile(r"libc\.so|libpthread|ld-linux|\(libpython|\(python3")
WAIT_INSIDES = re.compile(r"Futex|PerThreadSem|nsync|Mutex::|condition_variable|pthread_cond|synchronization_internal")
COMPILE_FRAMES = re.compile(r"compilelock|compile_lock|lock_compiledir")

ACKNOWLEDGED_LATE = "acknowledged-late"
HUB_POOLS = ("solo",)  # where the worker's loop runs the tasks itself
HUB_WAITS = (
    "a solo worker acknowledges at the next turn of its loop, and the loop may wait for its next timer before that, up to 2 s "
    "(kombu's hub; seen in it with Celery and kombu 5.7)"
)
UNPICKLES = "the worker's main process ended as it unpickled what a child had sent it"
WHAT_IS_SENT = "a child of prefork sends the exception of a task that failed, by pickle: its class is imported and called again"

BESIDE = "their stacks lie beside this one's"
ACROSS = {  # processes: what supports a deadlock of several
    How.SHARED: "every process that has the lock waits, or does nothing but wait for tasks; who took it may have ended since",
    How.FILE: "every process that has the file open waits, or does nothing but wait for tasks",
    How.PROCESSES: "the processes that it waits for stand still themselves",
}
OF_KERNEL = {  # likewise, in a pool of greenlets, of what only the kernel knows
    How.SHARED: "the hub's thread waits for a lock in shared memory: no greenlet runs, one may hold it, or its holder ended",
    How.FILE: "the hub's thread waits for a lock on a file: no greenlet can run, and one may hold it",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was seen of a trial that ended badly. `frames`: the blocked thread's stack, innermost first. `lost_native`
    and `lost_python`: names of threads that the parent had and the child lacks. `shared`: connections that children inherited.
    `in_broker`: messages that wait in the broker when the trial stood still; `consumers`: connections of the worker on which
    the broker heard something of late; `queued`, `reserved`: messages in the queue, and in the worker's hands but not begun,
    on average. None if unknown."""

    outcome: Outcome
    pool: str
    how: How | None = None
    frames: Sequence[str] = ()
    lost_native: Sequence[str] = ()
    lost_python: Sequence[str] = ()
    lock: str = ""  # the kind of Python's lock that it waits for, as its memory tells
    shared: Sequence[str] = ()
    held: bool = False  # an executor is at a request
    dead_children: int = 0
    never_started: bool = False  # the worker gave up on its children: see NEVER_STARTED
    unread: str = ""  # the exception that the main process gave up for as it unpickled what a child had sent
    asked: str = ""  # by whom the worker was asked to shut down, if it then ended well, in words
    serial_waits: bool = False  # the serial calls waited as well: then no fork, and no pool, is the cause
    oom_kills: int = 0
    oom_counted: str = ""  # where, in words: 'in its control group'
    broker_answers: bool = True
    waiting: int = 0
    in_broker: int | None = None
    consumers: int | None = None
    queued: float | None = None
    reserved: float | None = None
    kept: bool = True  # the stacks of all its processes are
    held_back: str = ""  # how often the broker held messages back for what is not acknowledged, in words; '' if it hardly did


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
        return _of_broker(facts) or _of_shared(facts)
    if facts.outcome is Outcome.WRONG:
        return _of_wrong(facts)
    return _of_hang(facts) if facts.outcome is Outcome.HUNG else None


def _of_wrong(facts: Facts) -> Cause | None:
    """Of a forked child that waits in vain for a thread of its parent's, with a time limit, and goes on without."""
    return (_of_lost_python(facts) or _of_shared(facts)) if facts.pool == FORKED else None


def _of_shared(facts: Facts) -> Cause | None:
    """Whether it is the cause is for siblings to say: what ends so without a fork does not (`summary.contrast`)."""
    if facts.pool != FORKED or not facts.shared or facts.serial_waits:
        return None
    text = f"the children share a connection with their parent, opened before the fork: {few(list(facts.shared))}"
    return Cause(name=SHARED_CONNECTION, support=(text, "each may read the answer to what another one asked"))


def _of_lost_python(facts: Facts) -> Cause | None:
    """Python code waits for another thread to do something. One that has ended since shows no Python frame in the parent."""
    lost = [*facts.lost_python, *facts.lost_native]
    if not lost or not any(map(SIGNAL_FRAMES.search, innermost(facts.frames))):
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
    if facts.unread:
        return Cause(name="cannot-unpickle", support=(f"{UNPICKLES}: {facts.unread}", WHAT_IS_SENT))
    if facts.asked:
        return Cause(name="asked-to-end", support=(f"its log says that it was asked to shut down, {facts.asked}",))
    return _crash_kill(facts) or Cause(name="unknown", support=(f"the kernel killed nobody for memory {_counted(facts)}",))


def _counted(facts: Facts) -> str:
    return f"{facts.oom_counted} during the trial".lstrip()


def _of_broker(facts: Facts) -> Cause | None:
    if not facts.broker_answers:
        return Cause(name="broker-lost", support=("the broker does not answer a PING",))
    if facts.consumers == 0 and not (facts.held and facts.pool in ONE_THREAD):
        text = "the broker answers, and has heard nothing from this worker's connections for seconds"
        return Cause(name="broker-lost", support=(text,))
    return None


def _of_stall(facts: Facts) -> Cause:
    if lost := _of_broker(facts):
        return lost
    if facts.in_broker is not None and facts.in_broker < facts.waiting:
        text = f"{facts.waiting} requests wait for a worker, and the broker holds only {facts.in_broker}"
        return Cause(name="lost-message", support=(text,))
    if facts.held_back:
        return Cause(name=ACKNOWLEDGED_LATE, support=(facts.held_back, *((HUB_WAITS,) if facts.pool in HUB_POOLS else ())))
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
    simple = {How.SPIN: "native-spin", How.GIL: "gil-held", How.STOPPED: "stopped", How.FROZEN: "stopped"}
    if facts.how in simple:
        return Cause(name=simple[facts.how], support=_where(facts))
    if facts.serial_waits and facts.how in (How.FUTEX, How.BEREFT, How.GREENLET):
        name = "deadlock" if facts.lock or is_at_lock(facts.frames) or not facts.frames else "unknown"
        return Cause(name=name, support=("the serial calls wait as well, without Celery and without a fork", *_where(facts)))
    if facts.how is How.OWNER:
        forked = facts.pool == FORKED
        whose = "a thread of the parent held it at the fork" if forked else "the thread that held it has ended"
        support = (f"the lock itself names its holder, which is no thread of this process: {whose}", *_where(facts))
        return Cause(name="fork-held-lock" if forked else "deadlock", support=support)
    if facts.how in OF_KERNEL and facts.pool in GREEN and not facts.serial_waits:
        return Cause(name="hub-blocked", support=(OF_KERNEL[facts.how], *_where(facts)))
    if facts.how in ACROSS:
        beside = (BESIDE,) if facts.how is How.PROCESSES and facts.kept else ()
        return Cause(name="deadlock", support=(ACROSS[facts.how], *beside, *_where(facts)))
    if facts.how is How.FUTEX and facts.pool in GREEN:
        support = ("the thread of the hub itself waits in a futex, so no greenlet can run", *_where(facts))
        return Cause(name="hub-blocked", support=support)
    if (
        facts.pool == FORKED
        and facts.how in (How.FUTEX, How.BEREFT)
        and any(map(IMPORT_FRAMES.search, innermost(facts.frames)))
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
    if facts.lock or is_at_lock(facts.frames):
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
    return any(map(LOCK_FRAMES.search, innermost(frames)))


def innermost(frames: Sequence[str]) -> list[str]:
    """The innermost LOCK_DEPTH frames that have a name: a library without symbols shows an address for each of its own.

    >>> innermost(["0x7f978c023efe (libc.so.6)", "wait (threading.py:3)"])
    ['wait (threading.py:3)']
    """
    return [frame for frame in frames if not frame.startswith("0x")][:LOCK_DEPTH]


def _where(facts: Facts) -> tuple[str, ...]:
    return (f"the stack ends in {engine_frame(facts.frames)}",) if facts.frames else ()


def engine_frame(frames: Sequence[str]) -> str:
    """The two innermost frames that say what is waited for: without the C library's and a wait's own insides.

    >>> engine_frame(["syscall (libc.so.6)", "nsync::nsync_cv_wait (tf.so)", "Session::WaitForNotification (tf.so)"])
    'Session::WaitForNotification (tf.so)'
    >>> engine_frame(["0x7fcf61710823 (libgomp.so.1.0.0)", "0x7fcf6170f2fd (libgomp.so.1.0.0)", "Booster::Predict (lgbm.so)"])
    'libgomp.so.1.0.0 < Booster::Predict (lgbm.so)'
    """
    telling = [frame for frame in frames if not SYSTEM_FRAMES.search(frame) and not WAIT_INSIDES.search(frame)]
    named = [NAMELESS.sub(r"\1", frame) for frame in telling or frames]  # an address differs from trial to trial
    return " < ".join([name for name, _ in groupby(named)][:2])
