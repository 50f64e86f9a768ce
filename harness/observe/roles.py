"""Whose thread it is: Celery's own, or anybody else's, told by the function at its root and the files of all its frames."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

Frames = Sequence[tuple[str, str]]  # (function, file) each, innermost first
INSTALLED = r"/(site|dist)-packages/"  # a project's own folder may be called celery, too
STANDARD = r"/python3[^/]*/"
CELERYS = re.compile(INSTALLED + "(celery|kombu|billiard)/")
#: what a thread of Celery's own may run besides, and '__init__', as py-spy shows a frame that Python 3.13 itself puts around
#: the call of a class; alone it may run anybody's: a listener of Redis, a timer
COMPANIONS = re.compile(
    f"{INSTALLED}(redis|amqp|vine|gevent|eventlet|click)/"
    f"|{STANDARD}((threading|queue|selectors|runpy)\\.py|concurrent/futures/)"
    "|/bin/celery$|^<frozen |^<string>$|^__init__$"
)
#: Where Celery's own threads begin: its program, also in a spawned child; its background threads and timers; billiard's
#: handlers. What begins elsewhere in Celery or kombu (a consumer, a receiver of events) was started by somebody else, and may
#: bring what a task waits for.
ROOTS = re.compile(
    f"{INSTALLED}(celery/(bin/[^:]*|__main__\\.py|utils/(threads|timer2)\\.py|beat\\.py|concurrency/prefork\\.py)"
    "|billiard/(pool|spawn|popen_[a-z_]*|forkserver)\\.py)$"
    f"|/bin/celery$|^<frozen runpy>$|{STANDARD}runpy\\.py$|^<string>$"
)
BOOTSTRAP = re.compile(STANDARD + r"threading\.py$")
PROGRAM = re.compile(f"{INSTALLED}celery/(bin/|__main__\\.py)|/bin/celery$")
#: a green pool's thread runs these alone at rest
HUB = re.compile(rf"{INSTALLED}(gevent|eventlet)/|{STANDARD}selectors\.py$|^__init__$")
#: what a thread of the worker's own stands in, whoever has started it or is wrapped around it (a script, a profiler, a tracer):
#: what lies below these says nothing of what it does; innermost first, it is what lies above that does
ANCHORS = tuple(
    (re.compile(rf"\b({names})$"), re.compile(f"{INSTALLED}{files}\\.py$"))
    for names, files in (
        ("start", "celery/worker/worker"), ("asynloop|synloop", "celery/worker/loops"), ("workloop", "billiard/pool"),
        ("run", "celery/utils/(threads|timer2)"), ("run|start", "celery/beat"),
    )
)  # fmt: skip
WORKER = ANCHORS[0]
CHILD = re.compile(f"{INSTALLED}billiard/(process|spawn|popen_[a-z_]*)\\.py$")
WORKLOOP = (re.compile(r"\bworkloop$"), re.compile(f"{INSTALLED}billiard/pool\\.py$"))  # py-spy says 'Worker.workloop'
#: where a child is once its loop has ended: its last words to the pool, its handlers of worker_process_shutdown, what is left
#: to do at its exit
LEAVES = (
    (re.compile(r"\b_do_exit$"), re.compile(f"{INSTALLED}billiard/pool\\.py$")),
    (re.compile(r"\bprocess_destructor$"), re.compile(f"{INSTALLED}celery/concurrency/prefork\\.py$")),
    (re.compile(r"\b_exit_function$"), re.compile(f"{INSTALLED}billiard/util\\.py$")),
)
TRACER = re.compile(r"/celery/app/trace\.py$")  # of a thread that is known to run it (`tracing`)
#: below this, a forked process has what its parent was at
FORKED = (re.compile(r"\b_bootstrap$"), re.compile(f"({INSTALLED}billiard|{STANDARD}multiprocessing)/process\\.py$"))
TRACERS = re.compile(INSTALLED[:-1] + TRACER.pattern)
POOL_QUEUE = re.compile(STANDARD + r"(queue|threading)\.py$")
POOL_THREAD = re.compile(STANDARD + r"concurrent/futures/thread\.py$")


def is_own(frames: Frames) -> bool:
    """Whether a thread is Celery's own. A client of Redis, a consumer of kombu's or a green library alone is not: they run
    listeners and timers of the application's. An idle thread of an executor is.
    """
    if not any(CELERYS.search(file) for _, file in frames) or _waits_in_a_pool(frames):
        return _waits_in_a_pool(frames)
    above = _above_anchor(frames)
    if above is not None:
        return _runs_celery(above)
    root = next((file for _, file in reversed(frames) if not BOOTSTRAP.search(file)), "")
    return bool(ROOTS.search(root)) and _runs_celery(frames)


def _runs_celery(frames: Frames) -> bool:
    return all(CELERYS.search(file) or COMPANIONS.search(file) for _, file in frames)


def _above_anchor(frames: Frames) -> Frames | None:
    """What the innermost of the worker's own loops has called; None if it stands in none of them."""
    return next((frames[:at] for at, frame in enumerate(frames) if any(_is(frame, anchor) for anchor in ANCHORS)), None)


def _is(frame: tuple[str, str], known: tuple[re.Pattern[str], re.Pattern[str]]) -> bool:
    return bool(known[0].search(frame[0]) and known[1].search(frame[1]))


class Role(StrEnum):
    """What a process of the worker does, as far as its Python stacks show."""

    UNKNOWN = ""  # nobody looked, or it is no process of a pool
    STARTING = "starting"  # a child that does not serve yet: it imports, or is being initialised
    ENDING = "ending"  # a child whose loop has ended, in a handler of worker_process_shutdown, say
    IDLE = "idle"  # a child in its known wait for a task
    MAIN = "main"  # the main process, which runs nothing but Celery: idle, if it is the one that runs tasks
    RUNNING = "running"  # Celery's tracer is in one of its stacks: whatever task it is, it is at it
    HELD = "held"  # the main process runs the application's code outside of any task: a handler of a signal, say


def role(pid: int, stacks: Mapping[int, Frames], *, is_main: bool = True) -> Role:
    """The role of a process, by the stacks of its threads. `is_main`: it is the worker's main one, or may be. Any other runs
    for the pool only if billiard has started it: a fork of anybody else's inherits stacks, also those of a task.
    """
    main = stacks.get(pid, ())
    child = any(CHILD.search(file) for _, file in main)
    if not child and not is_main:
        return Role.UNKNOWN
    if not child and main and all(HUB.search(file) for _, file in main):
        return Role.MAIN  # what greenlets do is not on a thread's stack
    if not child and not any(PROGRAM.search(frame[1]) or _is(frame, WORKER) for frame in main):
        return Role.UNKNOWN
    if tracing(stacks):
        return Role.RUNNING
    if not child:
        return Role.MAIN if is_own(main) else Role.HELD
    since = _since_fork(main)
    if any(_is(frame, leaves) for frame in since for leaves in LEAVES):
        return Role.ENDING
    serves = any(_is(frame, WORKLOOP) for frame in since)
    return Role.IDLE if serves and is_own(main) else Role.STARTING


def tracing(stacks: Mapping[int, Frames]) -> frozenset[int]:
    """The threads in which Celery's tracer runs, which is around every task."""
    return frozenset(tid for tid, stack in stacks.items() if any(TRACERS.search(file) for _, file in _since_fork(stack)))


def _since_fork(frames: Frames) -> Frames:
    return list(itertools.takewhile(lambda frame: not _is(frame, FORKED), frames))


def _waits_in_a_pool(frames: Frames) -> bool:
    """Whether it waits in the queue of a `concurrent.futures.ThreadPoolExecutor`; in Python 3.7 on, that wait is C code. What
    has started the thread, or is wrapped around it, does not matter.
    """
    above = list(itertools.takewhile(lambda frame: POOL_QUEUE.search(frame[1]), frames))
    worker = frames[len(above)] if len(above) < len(frames) else ("", "")
    return worker[0] == "_worker" and bool(POOL_THREAD.search(worker[1]))
