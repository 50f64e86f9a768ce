"""Causes in the pool's own machinery: pure functions over facts. Each gives one finding, or None.

ipc-stuck           the main process and its children wait for each other at pipes
main-blocked        the main process waits at a connection, outside of its loop
main-spins          the main process computes, and no child gets anything to do
respawn-loop        children end before they serve, and are replaced
pool-short          fewer children live than the command line asks for
limit-not-enforced  a task's time limit has passed, and nothing struck
shutting-down       the worker was told to end, and waits
"""

from __future__ import annotations

from harness.judge import closed
from harness.judge.closed import Scene
from harness.live.executor import State
from harness.live.facts import Facts, Frames
from harness.live.finding import Finding
from harness.live.join import address, in_loop, moves, stopping
from harness.live.tasks import Task
from harness.live.wording import duration
from harness.machine.procfs import Thread
from harness.machine.wires import Wire
from harness.observe.looks import agree_long_enough, window
from harness.observe.roles import Role
from harness.texts import few

LIMIT_GRACE_S = 5.0  # a limit strikes when Celery's main process looks, once a second, and its error has to be stored
SPIN_CORES, STILL_CORES = 0.9, 0.03
START_S = 10.0  # a worker that is younger is still starting its children
STARTING_LOOKS = 3
MANY_ENDED = 3  # children that nobody saw serving, in some seconds
POLL = "eventio.py"  # kombu's wait for anything to happen
IGNORES_LIMITS = ("threads", "solo")
ENDED = "ZX"


def ipc_stuck(facts: Facts) -> Finding | None:
    """A ring of pipes: nobody in it is woken by anybody but others of it, over the whole window."""
    thread = _main_thread(facts)
    if thread is None or thread.waits_in not in ("read", "write", "recv", "send") or thread.timed or not thread.wakers:
        return None
    if not thread.wakers - {facts.main} or not agree_long_enough(facts.looks, facts.looks[-1].at_s):
        return None
    ring, doubt = ring_of(closed.scene_of(window(facts.looks)), facts.main)
    others = sorted(ring - {facts.main})
    return Finding(
        cause="ipc-stuck", state=State.WAITING if doubt else State.STUCK,
        reason=(
            f"its main process waits at a pipe that {few([f'process {pid}' for pid in others])} "
            f"{'has' if len(others) == 1 else 'have'}, and {'that one' if len(others) == 1 else 'they'} in turn for it"
        ),
        support=(*_at(facts.frames), *((f"not proved: {doubt}",) if doubt else ())),
        now=(
            f"kill -9 {' '.join(map(str, others))}: the pool starts others, and the main process goes on; what ran there is "
            f"lost, unless it has acks_late and reject_on_worker_lost"
        ),
        for_good="upgrade celery and billiard; results and arguments of megabytes belong in a store, not in a message",
    )  # fmt: skip


def ring_of(scene: Scene, main: int) -> tuple[frozenset[int], str]:
    """(the processes that could end the main thread's wait and each other's, why one of them may still do it)."""
    left, ring = {main}, set[int]()
    while left := left - ring:
        ring.add(pid := min(left))
        process = scene.processes.get(pid)
        if process is None:
            return frozenset(ring), f"process {pid} was not seen all the time"
        if doubt := closed.alarms(process.last):
            return frozenset(ring), doubt
        for history in process.histories.values():
            if doubt := closed.helper_doubt(history, None, pid, bereft=False):
                return frozenset(ring), doubt
            left |= {waker for thread in history for waker in thread.wakers}
    return frozenset(ring), ""


def main_blocked(facts: Facts) -> Finding | None:
    """At a connection, in the same call at each look, and not in the loop's own wait."""
    if facts.role is not Role.MAIN or not facts.frames or any(not stack or _polls(stack) for stack in facts.frames):
        return None
    at = {moment.main_at for moment in facts.moments}
    wire = next((one for one in facts.last.wires if at == {one.descriptor}), None)
    thread = _main_thread(facts)
    if wire is None or thread is None:
        return None
    return Finding(
        cause="main-blocked", state=State.WAITING,
        reason=(
            f"its main process waits for TCP {address(wire.remote)} ({wire.state}), outside of its loop: "
            f"it hands out no task, and answers no command"
        ),
        support=(*_at(facts.frames), f"at {len(facts.moments)} looks in {facts.span_s:.0f} s", *_queues(wire)),
        now=f"look at that server; if it answers others, {facts.restart}",
        for_good="socket_timeout in broker_transport_options, redis_socket_timeout of the result backend: they end such a wait",
    )  # fmt: skip


def main_spins(facts: Facts) -> Finding | None:
    """It computes all the while, and no child does."""
    looks = facts.looks
    if facts.pool != "prefork" or facts.role is not Role.MAIN or len(looks) < STARTING_LOOKS or facts.busy or moves(facts):
        return None
    seconds = looks[-1].at_s - looks[0].at_s
    used = {
        pid: (_cpu_s(facts, pid, -1) - _cpu_s(facts, pid, 0)) / seconds
        for pid in (one.pid for one in looks[-1].processes)
    }  # fmt: skip
    cores = used.pop(facts.main, 0.0)
    if seconds <= 0 or cores < SPIN_CORES or sum(used.values()) > STILL_CORES:
        return None
    return Finding(
        cause="main-spins", state=State.WAITING,
        reason=f"its main process computes ({cores:.1f} cores), and no child gets anything to do",
        support=_at(facts.frames), now="restart the worker; what waits stays in the broker",
        for_good="upgrade kombu and celery: loops over dead connections were mended",
    )  # fmt: skip


def respawn_loop(facts: Facts) -> Finding | None:
    """Children that were seen starting, and ended before anybody saw them serve."""
    if facts.pool != "prefork" or facts.age_s < START_S or moves(facts) or facts.begun:
        return None  # a child that has done its number of tasks ends, too (worker_max_tasks_per_child)
    roles: dict[int, list[Role]] = {}
    for look in facts.looks:
        for one in look.processes:
            roles.setdefault(one.pid, []).append(one.role)
    roles.pop(facts.main, None)
    starting = [pid for pid, seen in roles.items() if seen.count(Role.STARTING) >= STARTING_LOOKS and not _served(seen)]
    living = {pid for pid, state in facts.last.children.items() if state not in ENDED}
    ended = {pid for pid in starting if pid not in living}
    serve = sum(_served(seen) for pid, seen in roles.items() if pid in living)
    if facts.brokers and not any(map(_served, roles.values())):  # they may end too soon to be seen starting
        passed = ({*roles} | {pid for moment in facts.moments for pid in moment.children}) - living
        ended |= passed if len(passed) >= MANY_ENDED else set()
    if not ended and (not starting or len(facts.moments) > 1):
        return None
    return Finding(
        cause="respawn-loop", state=State.WORKS if serve else State.WAITING,
        reason=f"{len(ended)} of its children ended before they served, and were replaced; {serve} serve",
        support=(
            f"seen in {facts.span_s + facts.looks[-1].at_s - facts.looks[0].at_s:.0f} s",
            "Celery ends a child that is not up within worker_proc_alive_timeout (4 s, if it is not set)",
        ),
        now="read the worker's log for their last words; what worker_process_init waits for has to come first",
        for_good="raise worker_proc_alive_timeout above what worker_process_init takes, or do that work in the first task",
    )  # fmt: skip


def pool_short(facts: Facts) -> Finding | None:
    if facts.pool != "prefork" or not facts.concurrency or facts.age_s < START_S or any(map(stopping, facts.frames)):
        return None
    living = [frozenset(pid for pid, state in moment.children.items() if state not in ENDED) for moment in facts.moments]
    most = len(living[0])
    if most >= facts.concurrency or len(set(living)) > 1:  # children that come and go are being replaced
        return None
    dead = sum(state in ENDED for state in facts.last.children.values())
    return Finding(
        cause="pool-short", state=State.WORKS if most else State.WAITING,
        reason=f"{most} of the {facts.concurrency} children live that its command line asks for",
        support=(
            f"at {len(facts.moments)} looks in {facts.span_s:.0f} s",
            f"{dead} have ended, and were not waited for" if dead else "celery control pool_shrink would do that, too",
            *_at(facts.frames),
        ),
        now="restart the worker: a warm shutdown lets the others end their tasks",
        for_good="look in the kernel's log for kills for memory, and in the worker's for 'exited prematurely'",
    )  # fmt: skip


def limit_not_enforced(facts: Facts) -> Finding | None:
    now_s = facts.looks[-1].at_s if facts.looks else 0.0
    late = [
        one
        for one in facts.tasks
        if one.limit_s and one.since_s is not None and now_s - one.since_s > one.limit_s + LIMIT_GRACE_S
    ]
    if not late:
        return None
    one = min(late, key=lambda task: task.since_s or 0.0)
    ran_s = now_s - (one.since_s or now_s)
    ignores = facts.pool in IGNORES_LIMITS
    return Finding(
        cause="limit-not-enforced", state=State.WORKS,
        reason=f"{one.name}[{one.id}] has a time limit of {one.limit_s:g} s, and has run for {duration(ran_s)}",
        support=(
            f"pool {facts.pool} ignores time limits" if ignores else
            "the main process strikes with a hard limit; a soft one is an exception, which code in C, or an except, may keep",
        ),
        now="" if ignores else f"{_unless_it_cleans_up(one)}kill -9 {one.pid} ends it, and its child",
        for_good="prefork enforces limits; else give each wait one of its own" if ignores else "set a hard limit, too",
    )  # fmt: skip


def _unless_it_cleans_up(task: Task) -> str:
    return "" if task.hard_s else "if it is not at what it does once the limit has struck (a clean-up, say): "


def ends(facts: Facts) -> bool:
    """Whether it was told to end."""
    return bool(facts.frames) and all(map(stopping, facts.frames))


def shutting_down(facts: Facts) -> Finding | None:
    if not ends(facts):
        return None
    left = sum(state not in ENDED for state in facts.last.children.values())
    waits = [f"{facts.busy} task{'s' if facts.busy > 1 else ''}" for _ in [0] if facts.busy]
    waits += ["1 child" if left == 1 else f"{left} children" for _ in [0] if left]
    return Finding(
        cause="shutting-down", state=State.WAITING,
        reason=f"it was told to end, and waits for {few(waits) or 'its own machinery'}",
        support=_at(facts.frames),
        now=(
            f"wait for the tasks; {_at_once(facts)}{facts.restart}: then what it runs is lost, "
            "unless it has acks_late. What is not acknowledged comes back"
        ),
        for_good="worker_soft_shutdown_timeout (Celery 5.5) or a time limit for each task",
    )  # fmt: skip


def _at_once(facts: Facts) -> str:
    """What ends it without them; a cold shutdown does not end threads (`harness contracts`)."""
    return "" if facts.pool in IGNORES_LIMITS else f"kill -QUIT {facts.main} ends it at once, and what it runs is lost; else "


def _served(roles: list[Role]) -> bool:
    return Role.IDLE in roles or Role.RUNNING in roles


def _main_thread(facts: Facts) -> Thread | None:
    """The main thread at the last look, if it was switched to at none of them."""
    seen = [
        thread for look in facts.looks for process in look.processes if process.pid == facts.main
        for thread in process.threads if thread.tid == facts.main
    ]  # fmt: skip
    if not seen or seen[0].switches != seen[-1].switches or len({one.waits_in for one in seen}) != 1:
        return None
    return seen[-1]


def _cpu_s(facts: Facts, pid: int, place: int) -> float:
    return next((one.cpu_s for one in facts.looks[place].processes if one.pid == pid), 0.0)


def _polls(stack: Frames) -> bool:
    """Whether it stands in the wait of the loop itself."""
    return in_loop(stack) and stack[0][1].endswith(POLL)


def _at(frames: tuple[Frames, ...]) -> tuple[str, ...]:
    """Where the main thread stands, in functions."""
    stack = frames[-1] if frames else ()
    return (f"its main thread stands in {' < '.join(name for name, _ in stack[:4])}",) if stack else ()


def _queues(wire: Wire) -> tuple[str, ...]:
    found = [f"{wire.unsent} bytes unacknowledged" for _ in [0] if wire.unsent]
    return tuple(found + [f"{wire.unread} bytes unread" for _ in [0] if wire.unread])


#: the worst and the best supported first
ALL = (ipc_stuck, main_blocked, shutting_down, main_spins, respawn_loop, pool_short, limit_not_enforced)
