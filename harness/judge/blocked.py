"""Whether an overdue request is blocked for ever: what its thread or greenlet waits in, and who could still end that.

Pure functions over looks. The thread that runs the request is blocked if, over the whole window,

* it waits without a time limit for what only known processes could end (a private futex, shared memory, a lock on a file, a
  pipe, a child), and was not switched to once. Or it waits for the GIL, and the thread that holds the GIL waits so. Or it runs
  in a greenlet that waits for a lock without a time limit. Or its process is stopped by a signal, or frozen with its control
  group, and was not continued once (`observe.halts`);
* nothing of all that could end its wait can go on itself, in its process or in another: see `closed`. A time limit of the
  application's own that is still to strike may end it, too. A *native* thread on a timer may be a library's own poller, which
  ends the wait; only in a child that lost threads of its parent at the fork it passes for an engine's housekeeping (a hung
  TensorFlow 2 child has one that wakes every few tens of seconds), and then the proof is watched for longer (`How.BEREFT`).

A lock of the C library's names its holder. If that is a thread of the process's parent, nobody will release it, whatever else
runs.

Where other requests of the same process go on meanwhile (one thread of eight is blocked), what they and the engine's
threads do says nothing of the blocked one; then pace has to carry more: SHARED_FACTOR times the usual duration.

A request whose thread computes in the same function for SPIN_FACTOR times its usual duration, at least SPIN_S and
COLD_FACTOR times the slowest answer of any row, *spins*; at least BLIND_SPIN_S if no serial calls have shown what the rows
cost. The first request of a process, which may compile, gets COLD_FACTOR times what the baseline's first one took.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from harness.judge.closed import (
    Scene,
    Views,
    alarms,
    closed,
    furniture,
    helper_doubt,
    own_loop,
    scene_of,
    thread_doubt,
    waits_for_gil,
)
from harness.machine.procfs import Thread
from harness.machine.syscalls import FILE_LOCKS
from harness.observe.halts import Halt, halt, halt_of
from harness.observe.looks import IDLE_CPU, WINDOW_S, Look, agree_long_enough, computes, window
from harness.observe.progress import OpenStage

GREEN_CPU = 0.25  # cores; telling its greenlets costs a process some
SHARED_FACTOR, SHARED_S = 50.0, 5.0
TOLD_LOOKS = 2  # of a window, at which a green process has to tell of its greenlets
LIMIT_GRACE_S = 5.0  # a limit strikes when Celery's main process looks, once a second, and its error has to be stored
SPIN_FACTOR, SPIN_S, SPIN_CORES, SPIN_GLANCES = 100.0, 20.0, 0.6, 4
COLD_FACTOR, COLD_SPIN_S = 10.0, 120.0
BLIND_SPIN_S = 60.0  # where no serial calls have shown what each row costs


class How(Enum):
    """What a hang looks like, for the words of the verdict and for `diagnosis`."""

    FUTEX = "wait in a private futex that no thread of theirs will release, without using CPU"
    BEREFT = "wait in a private futex that no thread of theirs will release, and lack threads that their parent has"
    PIPE = "wait at a pipe or a pair of sockets whose other end no process but theirs has"
    SHARED = "wait for a lock in shared memory that no process which has it can release"
    FILE = "wait for a lock on a file that no process which has it open can release"
    PROCESSES = "wait for other processes, none of which can go on"
    OWNER = "wait for a lock whose holder is a thread that their process does not have"  # their parent has it
    GIL = "wait in C, for ever, with the GIL held"
    SUBTASK = "wait for the results of tasks that their own worker was given, and none of its executors is left to run these"
    GREENLET = "wait, in green code, for a lock, an event or a child that nothing will release, set or end"
    STOPPED = "are stopped by a signal"
    FROZEN = "are frozen with their control group"
    SPIN = "compute in one and the same function"
    LOST = "have answers that never came, though the worker was done with them"


TOO_FEW = "it was not looked at for long enough"
IN_TURNS = "is stopped and continued in turns, as cpulimit does it"


class Answer(NamedTuple):
    """How an overdue stage is blocked; None, and why that cannot be said. `others`: the other processes that could have ended
    its wait, and stand still as well."""

    how: How | None
    doubt: str = ""
    others: frozenset[int] = frozenset()


def blocked(looks: Sequence[Look], stage: OpenStage) -> Answer:
    """How an overdue stage is blocked, if it is."""
    now = looks[-1]
    since = [look for look in looks if look.at_s > stage.since_s]
    if not agree_long_enough(since, now.at_s):
        return Answer(None, TOO_FEW)
    scene = scene_of(window(since))
    process = scene.processes.get(stage.pid)
    if process is None:
        return Answer(None, f"process {stage.pid} was not seen all the time")
    if any(thread.state == "t" for thread in process.last.threads):
        return Answer(None, f"a debugger holds process {stage.pid}")
    if halted := _halted(since, process):
        return halted
    limit_s = stage.limit_s or now.limit_s
    if limit_s and now.at_s - stage.since_s < limit_s + LIMIT_GRACE_S:
        if stage.kind == "start" and stage.limit_s:
            return Answer(None, f"its pool may end a child that takes longer than {limit_s:g} s to start")
        if math.isinf(limit_s):
            return Answer(None, "whether it has time limits, which would end it, could not be read")
        return Answer(None, f"the application's own time limit of {limit_s:g} s is still to strike")
    if _spins(now, stage, process):
        return Answer(How.SPIN)
    if doubt := alarms(process.last):
        return Answer(None, doubt)
    if process.told and thread_doubt(process.histories.get(stage.tid, []), stage.tid, len(process.seen)):
        return _greenlet_blocked(scene, stage, process)
    return _thread_blocked(scene, stage, process)


def _halted(since: Sequence[Look], process: Views) -> Answer | None:
    """Whether its process is halted for good; None if it was not halted at all. What went on within two windows is in turns."""
    pid, end_s = process.last.pid, since[-1].at_s
    if halt_of(pid, (look.processes for look in since if look.at_s >= end_s - 2 * WINDOW_S)) is Halt.TURNS:
        return Answer(None, f"process {pid} {IN_TURNS}")
    found = halt(process.seen)
    if found is Halt.NEW:
        return Answer(None, f"process {pid} was stopped only a moment ago")
    halted = {Halt.STOPPED: How.STOPPED, Halt.FROZEN: How.FROZEN}
    return Answer(halted[found]) if found in halted else None


def _thread_blocked(scene: Scene, stage: OpenStage, process: Views) -> Answer:
    now, key, owner = scene.now, stage.tid, process.last.gil_owner
    doubt = thread_doubt(process.histories.get(key, []), key, len(process.seen))
    if owner is not None and owner != key and doubt and waits_for_gil(process, key):
        key = owner  # what matters is whether the thread that holds the GIL will ever let go
        doubt = thread_doubt(process.histories.get(key, []), key, len(process.seen))
    if doubt:
        return Answer(None, doubt)
    if _holder_is_gone(scene, process, key):
        return Answer(How.OWNER)
    how = How.GIL if owner == key else _how(process.histories[key][-1], stage.pid)
    others = {other.tid for other in now.stages if other.pid == stage.pid and other.tid != stage.tid}
    shared = {tid for tid in others if not _is_overdue(now, tid)}
    if shared and how is not How.GIL:
        return _among_others(now, stage, process, how)
    if how is not How.GIL and process.cores > IDLE_CPU:
        return Answer(None, f"process {stage.pid} computes ({process.cores:.2f} cores)")
    ignored = {key, stage.tid, *others}
    found = closed(scene, process, key, ignored, gil=how is How.GIL)
    last = process.last
    bereft = last.lost_threads if last.lost_native is None else last.lost_native
    if found.doubt and how is How.FUTEX and bereft:
        found, how = closed(scene, process, key, ignored, bereft=True), How.BEREFT
    return Answer(None, found.doubt) if found.doubt else Answer(how, "", found.others)


def _how(thread: Thread, pid: int) -> How:
    if thread.waits_in == "futex":
        return How.FUTEX if thread.private else How.SHARED
    if thread.waits_in in FILE_LOCKS:
        return How.FILE
    return How.PIPE if thread.wakers == {pid} else How.PROCESSES


def _holder_is_gone(scene: Scene, process: Views, tid: int) -> bool:
    """Whether the lock's own word names a holder that is a thread of its parent, and none of this process: it was held at the
    fork. Then it does not matter who else runs. A number that no thread of either has may be that of one that has ended, or no
    number of a thread at all: what waits as a mutex does need not be one.
    """
    holders = {thread.owner for thread in process.histories[tid]}
    pid, elders = process.last.pid, set[int]()
    while pid := next((one for one, other in scene.processes.items() if pid in other.last.children and one not in elders), 0):
        elders.add(pid)
    theirs = {one for elder in elders for one in scene.processes[elder].histories}
    return len(holders) == 1 and holders <= theirs and not holders & set(process.histories)


def _is_overdue(now: Look, tid: int) -> bool:
    """Whether the youngest request of this thread is."""
    return now.overdue(max((stage for stage in now.stages if stage.tid == tid), key=lambda stage: stage.since_s))


def _among_others(now: Look, stage: OpenStage, process: Views, how: How) -> Answer:
    """One thread of many, of which others go on: pace has to carry more, and only Python threads that run no request may still
    hold what it waits for.
    """
    usual_s = now.pace_of(stage).usual_s
    if usual_s is None or now.at_s - stage.since_s < max(SHARED_S, SHARED_FACTOR * usual_s):
        return Answer(None, f"other requests of process {stage.pid} go on")
    if process.last.children or how in (How.SHARED, How.FILE, How.PROCESSES):
        return Answer(None, f"other requests of process {stage.pid}, or other processes, may end the wait")
    runners = {other.tid for other in now.stages} | {stage.tid}
    for tid, history in sorted(process.histories.items()):
        foreign = process.last.python_tids is None or tid in process.last.python_tids
        if foreign and tid not in runners and len(history) == len(process.seen):
            doubt = helper_doubt(history, furniture(now, process, tid), stage.pid, bereft=False)
            if doubt and "computes" not in doubt:
                return Answer(None, doubt)
    return Answer(How.FUTEX)


def _spins(now: Look, stage: OpenStage, process: Views) -> bool:
    """Whether the thread has computed in one function for far longer than any request of this trial took."""
    pace = now.pace_of(stage)
    if pace.usual_s is None:
        return False
    floor_s = SPIN_S if pace.first_s is not None else BLIND_SPIN_S
    least_s = max(floor_s, SPIN_FACTOR * pace.usual_s, COLD_FACTOR * (pace.slowest_s or 0.0))
    if stage.cold:  # the first request of a process may compile
        least_s = max(least_s, COLD_SPIN_S if pace.first_s is None else COLD_FACTOR * pace.first_s)
    # a thread of greenlets that computes may do so for another request: then nothing at all may have come meanwhile
    since_s = now.last_progress_s if now.executor_kind == "greenlets" else stage.since_s
    if now.at_s - since_s < least_s:
        return False
    history = process.histories.get(stage.tid, [])
    if len(history) < len(process.seen):
        return False
    _, glances = process.last.functions.get(stage.tid, ("", 0))
    return glances >= SPIN_GLANCES and computes(history, process.seconds, SPIN_CORES)


def _greenlet_blocked(scene: Scene, stage: OpenStage, process: Views) -> Answer:
    """Whether the greenlet that runs this request may still go on."""
    doubt = own_loop(process) or _greenlet_doubt(scene.now, stage, process)
    found = closed(scene, process, stage.tid, {stage.tid}, reaps=True) if not doubt else None
    if found is None or found.doubt:
        return Answer(None, found.doubt if found else doubt)
    return Answer(How.GREENLET, "", found.others)


def _greenlet_doubt(now: Look, stage: OpenStage, process: Views) -> str:
    """Why the greenlet itself, or another one, may go on; '' if none can."""
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
    overdue = {other.number for other in now.stages if now.overdue(other)}
    for greenlet in process.told[-1]:
        runs_a_younger_request = greenlet.request is not None and greenlet.request not in overdue
        if greenlet.foreign and not greenlet.on_lock and not runs_a_younger_request:
            return "another greenlet may still end its wait"
    return ""
