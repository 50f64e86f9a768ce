"""Look at a worker that runs, for some seconds, and make of it what a trial's watcher sees: looks, with a stage for each task.

Nothing is asked of the worker. What it runs is told by the locals of Celery's tracer (`live.tasks`), also since when, and of a
green pool by what the worker keeps of it (`live.active`); a child that does not serve yet, and a main process in somebody's
handler, by their stacks. What the worker's own loop will call of the application's is read out of memory, if tasks run beside
it (`live.loop_calls`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.live import active, find, kept, limits, loop_calls, main_loop, tasks
from harness.live.eyes import Eyes
from harness.live.find import Worker
from harness.live.loop_calls import LoopCalls
from harness.live.tasks import Task
from harness.machine.since import last_ran_s, started_s
from harness.observe import children
from harness.observe.halts import Halt, halt_of
from harness.observe.looks import Look, ProcessLook
from harness.observe.progress import OpenStage
from harness.observe.roles import Role

LOOK_EVERY_S = 0.25
WATCH_S, LEAST_LOOKS, MOST_S = 2.0, 8, 9.0  # two windows of the judge, and as many looks: a full machine takes its time
SAYS = {Role.HELD: "main", Role.ENDING: "end"}  # the kind of stage that a process is at by itself, since it last ran
KIND_OF_POOL = {"prefork": "processes", "threads": "threads", "solo": "threads", "gevent": "greenlets", "eventlet": "greenlets"}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of one worker. `tasks`: those that ran all the while; `begun`: those that run at the last look, and did not
    at the first; `greenlets`: those that a green pool runs at the last look, None if that is not known; of another pool, those
    that stand on no thread's stack, in greenlets of their own; `stood`: ids of those that stood where they had
    stood at the first look; `moved`: whether tasks began or ended meanwhile; `blind`: processes whose
    Python stacks may not be read; `pool`: as it shows, '' if it cannot be told; `own_loop_aside`: the looks, as if the worker's
    own loop called nothing of the application's, and no task were yet to come."""

    worker: Worker
    pool: str
    looks: tuple[Look, ...]
    tasks: tuple[Task, ...]
    moved: bool
    blind: tuple[int, ...]
    begun: tuple[Task, ...] = ()
    greenlets: tuple[Task, ...] | None = None
    stood: frozenset[str] = frozenset()
    own_loop_aside: tuple[Look, ...] = ()

    @property
    def last(self) -> Look:
        return self.looks[-1]

    @property
    def is_worker(self) -> bool:
        """Whether anything of Celery shows in it: by its command line, or by its stacks, which a beat has, too: at any look,
        for what computes is not seen at each."""
        roles = {one.role for look in self.looks for one in look.processes}
        shows = bool(roles - {Role.UNKNOWN}) and not find.is_another(find.command(self.worker.main))
        return self.worker.known or shows

    @property
    def held(self) -> bool:
        """Whether its main process was in the application's own code at each look: since when, nobody can say."""
        roles = {one.role for look in self.looks for one in look.processes if one.pid == self.worker.main}
        return roles == {Role.HELD}

    @property
    def shows_nothing(self) -> bool:
        """Whether it is a worker by its command line, and nothing of Celery shows in its stacks."""
        main = [one for look in self.looks for one in look.processes if one.pid == self.worker.main]
        return self.worker.known and all(one.role is Role.UNKNOWN and not one.tracing for one in main) and not self.children

    @property
    def children(self) -> tuple[ProcessLook, ...]:
        """The pool's own, in prefork."""
        return main_loop.children(self.worker.main, self.last.processes)


def watched(
    worker: Worker, *, seconds: float = WATCH_S, sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic, meanwhile: Callable[[], object] = lambda: None,
) -> Seen | None:  # fmt: skip
    """Look at a worker for so long after a first look, which takes some of many processes; None if it has ended. `meanwhile`:
    what to do once between the first two looks."""
    eyes = Eyes(main=worker.main, tree=worker.tree, pool=lambda: _pool(worker), events=None)
    found: list[tuple[float, tuple[ProcessLook, ...]]] = []
    before, loop, green, next_s = None, None, None, clock()
    while not found or found[-1][0] < found[0][0] + (seconds if len(found) >= LEAST_LOOKS else MOST_S):
        sleep(max(0.0, next_s - clock()))
        next_s = clock() + LOOK_EVERY_S
        processes = eyes.look(closely=frozenset({worker.main, *_pool(worker)}))
        if not any(one.pid == worker.main for one in processes):
            return None
        found.append((clock(), processes))
        if before is None:
            worker = _told(worker, processes)
            before, loop, green = (
                running(processes, eyes.taken),
                loop_calls.begun(worker.main, processes),
                _greenlets(worker, processes),
            )
            meanwhile()
    after, own = limited(running(found[-1][1], eyes.taken), worker.main), {worker.main, *_pool(worker)}
    seen = seen_from(worker, found, before or {}, after, own, loop.ended() if loop else None)
    return with_greenlets(seen, green, _greenlets(worker, found[-1][1]))


def _told(worker: Worker, processes: Sequence[ProcessLook]) -> Worker:
    """With what its stacks and its memory tell of its pool, if its command line does not. Children tell by themselves."""
    pool = worker.pool or main_loop.green(worker.main, processes)
    if (pool and worker.concurrency) or main_loop.children(worker.main, processes):
        return replace(worker, pool=pool)
    keeps = kept.of(worker.main)
    pool = pool or keeps.pool or ""
    many = keeps.executors if pool == keeps.pool != "prefork" else None
    return replace(worker, pool=pool, concurrency=worker.concurrency or many or 0)


def _greenlets(worker: Worker, processes: Sequence[ProcessLook]) -> tuple[Task, ...] | None:
    """What a green pool runs now, or any other one in whose process a task uses greenlets of its own."""
    green = KIND_OF_POOL.get(worker.pool) == "greenlets" or main_loop.hides(worker.main, processes)
    return active.running(worker.main) if green else None


def with_greenlets(seen: Seen, before: tuple[Task, ...] | None, after: tuple[Task, ...] | None) -> Seen:
    """With what a green pool ran at the first look and at the last one, as far as that is known; of another pool, with what ran
    at both, and stands on no thread's stack."""
    if KIND_OF_POOL.get(seen.pool) != "greenlets":
        shown = {one.id for one in (*seen.tasks, *seen.begun)} | ({""} if before is None else set())
        stay = {one.id for one in before or ()} - shown
        return replace(seen, greenlets=tuple(one for one in after or () if one.id in stay))
    moved = before is not None and after is not None and {one.id for one in before} != {one.id for one in after}
    stands = {one.id: one.stand for one in before or ()}
    stood = frozenset(one.id for one in after or () if one.stand and one.stand == stands.get(one.id))
    return replace(seen, greenlets=after, stood=stood, moved=seen.moved or moved)


def _pool(worker: Worker) -> frozenset[int]:
    """The children of the main process that run Python of its own kind: the pool's, and not what tasks have started."""
    return children.of_pool(worker.main)


def running(processes: Sequence[ProcessLook], taken: Mapping[int, Task]) -> dict[tuple[int, int], Task]:
    """The tasks that run now, by process and thread. `taken`: by process, what its main one says of it."""
    found = {}
    for process in processes:
        told = tasks.running(process.pid) if process.tracing else ()
        known = {one.tid: one for one in told or ()}
        for tid in process.tracing:
            found[process.pid, tid] = known.get(tid, taken.get(process.pid, Task(pid=process.pid, tid=tid)))
    return found


def limited(found: Mapping[tuple[int, int], Task], main: int) -> dict[tuple[int, int], Task]:
    """These tasks, with the time limits that their pool has for them; if that cannot be read, also with the worker's own."""
    known = limits.of_jobs(main) if any(pid != main for pid, _ in found) else None
    told = {place: known.of(task.pid, task.id) if known else None for place, task in found.items()}
    own = None if all(told.values()) else limits.of_worker(main)
    return {place: _limited(task, told[place], own) for place, task in found.items()}


def _limited(task: Task, told: limits.Limits | None, own: limits.Limits | None) -> Task:
    """`told`: by its pool; `own`: the worker's; None for what is not known."""
    if told is not None:
        return replace(task, hard_s=told[0], soft_s=told[1], limited=False)
    hard, soft = limits.first((task.hard_s, task.soft_s), own or (0.0, 0.0))
    return replace(task, hard_s=hard, soft_s=soft, limited=task.limited or (own is None and not task.hard_s))


def seen_from(
    worker: Worker,
    found: Sequence[tuple[float, tuple[ProcessLook, ...]]],
    before: Mapping[tuple[int, int], Task],
    after: Mapping[tuple[int, int], Task],
    own: Collection[int],
    loop: LoopCalls | None = None,
) -> Seen:
    """`own`: the worker's processes whose stacks were to be seen; what a task has started is no executor. `loop`: what the
    worker's own loop will call; None if nobody has read it."""
    stay = {place: task for place, task in after.items() if _stays(task, before.get(place), found[0][0])}
    last = found[-1][1]
    pool = _shown_pool(worker, last)
    limited = KIND_OF_POOL.get(pool) == "processes"  # threads and solo ignore time limits
    stages = _stages(found, stay, limited, worker.main)
    since = max((stage.since_s for stage in stages), default=found[-1][0])
    looks = tuple(_look(at_s, processes, stages, since, worker, pool) for at_s, processes in found)
    aside = tuple(_beside_loop(look, worker.main, ()) for look in looks)
    if loop is not None:
        said = loop.beside([tid for pid, tid in stay if pid == worker.main])
        looks = tuple(_beside_loop(look, worker.main, said) for look in looks)
    seen = {one.pid for _, processes in found for one in processes if one.python_tids is not None}
    stayed = {one.pid for one in found[0][1]} & {one.pid for one in last}  # what begins or ends may be missed once
    executors = set(own) if pool == "prefork" else set(own) & {worker.main}
    blind = tuple(sorted((stayed - seen) & executors))
    return Seen(
        worker=worker, pool=pool, looks=looks, own_loop_aside=aside, tasks=tuple(stay.values()),
        moved=_ids(before) != _ids(after), blind=blind,
        begun=tuple(task for place, task in after.items() if place not in stay),
    )  # fmt: skip


def _stays(task: Task, before: Task | None, begin_s: float) -> bool:
    """Whether a task has run all the while: the first glance may have failed."""
    if before is None:
        return task.since_s is not None and task.since_s <= begin_s
    return before.id == task.id


def _ids(running: Mapping[tuple[int, int], Task]) -> dict[tuple[int, int], str]:
    return {place: task.id for place, task in running.items()}


def _shown_pool(worker: Worker, processes: Sequence[ProcessLook]) -> str:
    """The pool that runs: an application's setting may start another one than the command line names."""
    if main_loop.children(worker.main, processes):
        return "prefork"
    main = next(one for one in processes if one.pid == worker.main)
    if worker.main in main.tracing and KIND_OF_POOL.get(worker.pool) != "greenlets":  # there, a hub that is blocked
        return "solo"
    return worker.pool or main_loop.green(worker.main, processes) or ("threads" if main.tracing else "")


def _stages(
    looks: Sequence[tuple[float, tuple[ProcessLook, ...]]], running: Mapping[tuple[int, int], Task], limited: bool, main: int
) -> tuple[OpenStage, ...]:
    """What the executors are at: the tasks that ran all the while, and what leaves no task to be seen."""
    found, begin_s, processes = list[OpenStage](), looks[0][0], looks[-1][1]
    for place, task in enumerate(running.values()):
        since = task.since_s if task.since_s is not None else _since(task.pid, task.tid, begin_s)
        limit = (limits.UNKNOWN_S if task.limited else task.limit_s) if limited else 0.0
        found.append(OpenStage(kind="task", pid=task.pid, tid=task.tid, number=place, since_s=since, limit_s=limit))
    for process in processes:
        if process.role is Role.STARTING:
            started = started_s(process.pid)
            since = begin_s if started is None else started
            limit = limits.of_start(main) if limited and process.pid != main else 0.0
            found.append(OpenStage(kind="start", pid=process.pid, tid=process.pid, number=-1, since_s=since, limit_s=limit))
        elif process.role in SAYS:
            since, kind = _since(process.pid, process.pid, begin_s), SAYS[process.role]
            found.append(OpenStage(kind=kind, pid=process.pid, tid=process.pid, number=-1, since_s=since))
        elif process.pid == main and main_loop.is_in_a_call([seen for _, seen in looks], process):
            since = _since(process.pid, process.pid, begin_s)
            found.append(OpenStage(kind="loop", pid=process.pid, tid=process.pid, number=-1, since_s=since))
        elif process.pid not in {pid for pid, _ in running} and (kind := _halted(looks, process, main)):
            since = _since(process.pid, process.pid, begin_s)
            found.append(OpenStage(kind=kind, pid=process.pid, tid=process.pid, number=-1, since_s=since))
    return tuple(replace(stage, ran_s=last_ran_s(stage.pid, stage.tid)) for stage in found)


def _halted(looks: Sequence[tuple[float, tuple[ProcessLook, ...]]], last: ProcessLook, main: int) -> str:
    """How a process of the worker's own was halted all the while, between two tasks, too; '' if it was not. That may be read of
    anybody's process."""
    own = last.pid == main or last.role in main_loop.IN_CHILDREN or last.python_tids is None
    found = halt_of(last.pid, (processes for _, processes in looks)) if own else Halt.NONE
    return {Halt.STOPPED: "stopped", Halt.FROZEN: "frozen"}.get(found, "")


def _since(pid: int, tid: int, begin_s: float) -> float:
    """Since when it is at it, at the latest."""
    ran = last_ran_s(pid, tid)
    return begin_s if ran is None else min(ran, begin_s)


def _look(
    at_s: float, processes: tuple[ProcessLook, ...], stages: tuple[OpenStage, ...], since_s: float, worker: Worker, pool: str
) -> Look:
    children = len(main_loop.children(worker.main, processes))
    return Look(
        at_s=at_s,
        ready=True,
        last_progress_s=since_s,
        waiting=0,
        ended=0,
        stages=stages,
        processes=processes,
        executors=children or (1 if pool == "solo" else worker.concurrency) or max(1, len(stages)),
        executor_kind=KIND_OF_POOL.get(pool, "processes" if children else "threads"),
    )


def _beside_loop(look: Look, main: int, said: tuple[str, ...]) -> Look:
    """This look, if the loop that turns in process `main` calls nothing of the application's but what is said."""
    told = tuple(replace(one, hooks=said if one.pid == main else ()) for one in look.processes)
    return replace(look, processes=told, furniture=_furniture(told, main))


def _furniture(processes: Sequence[ProcessLook], main: int) -> dict[int, str]:
    """What Celery's own threads wait in, which ends no task's wait, once it is known what of the application's the worker's own
    loop calls. A child has none of these: a thread of Celery's code in it is a task's (a timer of `celery.utils.timer2`), or
    idles in a pool, without a time limit."""
    still = [thread for one in processes if one.pid == main for thread in one.threads if thread.tid in one.own_tids]
    return {thread.tid: thread.waits_in for thread in still}
