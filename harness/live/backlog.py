"""Causes in what waits and what is handed out: pure functions over facts. Each gives one finding, or None.

poison-unacked         messages are handed out, at no executor, and keep the worker from asking for more
prefetched-behind      messages wait in a busy worker while another one asks for work
redelivery-loop        one request runs in two executors at once
nobody-consumes-queue  messages wait in a queue that no connected worker asks for
saturated              every executor is at work, and messages wait

What waits is counted at each moment in one transaction with the list of clients. A client that is blocked in a BRPOP does not
ask for a queue in which a message lies at that moment: Redis would have served it (https://redis.io/commands/brpop).
"""

from __future__ import annotations

from harness.live.executor import State
from harness.live.facts import Facts
from harness.live.finding import Finding
from harness.live.join import (
    ASKS,
    all_busy,
    asks,
    backlog,
    consumes_here,
    counted,
    counted_handed,
    has_others,
    keeps,
    long_enough,
    named,
    others,
    own_backlog,
    reserved,
)
from harness.live.tasks import Task
from harness.live.versions import known
from harness.live.wording import duration
from harness.observe.roles import Role
from harness.texts import few

OLD_S = 10.0  # so long a message is handed out before anybody wonders
VISIBILITY = "the broker's visibility timeout (an hour, if it is not set)"


def poison_unacked(facts: Facts) -> Finding | None:
    if not facts.brokers or asks(facts) is not False or facts.busy or not facts.idle or facts.role is not Role.MAIN:
        return None
    left = [one for one in reserved(facts) if (one.age_s or 0.0) >= OLD_S and not keeps(facts, one)]
    waits = own_backlog(facts)
    if not left or not waits or not consumes_here(facts) or has_others(facts) is not False:
        return None
    oldest = max(left, key=lambda one: one.age_s or 0.0)
    return Finding(
        cause="poison-unacked", state=State.UNKNOWN,
        reason=(
            f"{counted_handed(left)}, {named(oldest)} for {duration(oldest.age_s)}, and no executor is at them; "
            f"meanwhile {counted(waits)}"
        ),
        support=(
            "its executors are idle, and no other worker is connected", *known("poison-unacked", facts.versions),
            f"not proved: {'a rate limit of their task could not be read, and ' if facts.kept.limited is None else ''}"
            "a worker that died leaves such, too",
        ),
        since_s=oldest.age_s,
        now=(
            "restart the worker: what it holds goes back to its queue and runs again, and holds the worker up again if it ends "
            f"the same way. Otherwise it goes back after {VISIBILITY}"
        ),
        for_good="find out how that task ended: a MemoryError, or an acknowledgement that failed, is in the worker's log",
    )  # fmt: skip


def prefetched_behind(facts: Facts) -> Finding | None:
    if not facts.brokers or not facts.busy or facts.idle != 0:
        return None
    behind = reserved(facts)
    if not behind or not _another_asks(facts) or not long_enough(facts):
        return None
    return Finding(
        cause="prefetched-behind", state=State.WORKS,
        reason=(
            f"{all_busy(facts)}, and {counted_handed(behind)} and run nowhere that can be seen, "
            f"while another worker asks for work"
        ),
        support=("what one worker has prefetched no other one can take", "they are with this worker, or with a third one"),
        now="they run when this worker gets to them; a warm restart of it gives them to others",
        for_good=(
            "worker_prefetch_multiplier=1 with task_acks_late, or worker_disable_prefetch (Celery 5.6, Redis), or a queue of "
            "their own for long tasks"
        ),
    )  # fmt: skip


def _another_asks(facts: Facts) -> bool:
    """Whether another worker asked at most looks. Not at each: it asks anew every second, and on a full machine not at once."""
    free = [any(one.blocked for one in others(look, moment)) for look, moment in zip(facts.brokers, facts.moments, strict=True)]
    return 2 * sum(free) > len(free)


def may_be_behind(facts: Facts) -> bool:
    """Whether a longer look may show messages that wait behind this worker's tasks."""
    return bool(facts.busy) and facts.idle == 0 and bool(reserved(facts)) and bool(has_others(facts))


def redelivery_loop(facts: Facts) -> Finding | None:
    ids = [task.id for task in facts.tasks if task.id]
    twice = [task for task in facts.tasks if task.id and (ids.count(task.id) > 1 or task.id in facts.elsewhere)]
    if not twice:
        return None
    task = twice[0]
    copies = [one for one in twice if one.id == task.id]
    ages = [_ran_s(facts, one) for one in copies]
    came_back = any(one.id == task.id and one.redelivered for look in facts.brokers for one in look.handed)
    places = [f"process {one.pid} for {duration(age)}" for one, age in zip(copies, ages, strict=True)]
    places += ["another worker of this machine" for _ in [0] if task.id in facts.elsewhere]
    return Finding(
        cause="redelivery-loop", state=State.WORKS,
        reason=f"a request runs twice at once: {task.name}[{task.id}]",
        support=(
            f"it runs in {few(places)}",
            *("its message is marked as one that was handed out before (redelivered)" for _ in [0] if came_back),
            f"a message that is not acknowledged within {VISIBILITY} is handed out again",
        ),
        since_s=min((age for age in ages if age is not None), default=None),
        now="let one of both end; ending a worker hands its unacknowledged messages out again",
        for_good="broker_transport_options: a visibility_timeout that is longer than the longest task, or no acks_late for it",
    )  # fmt: skip


def _ran_s(facts: Facts, task: Task) -> float | None:
    """For how long it has run; None if that is not known."""
    return facts.looks[-1].at_s - task.since_s if facts.looks and task.since_s is not None else None


def nobody_consumes(facts: Facts) -> Finding | None:
    """A queue that grows, or stands, beside consumers that were each seen blocked: none of them asks for it."""
    if not long_enough(facts) and len(facts.moments) > 1:
        return None
    consumers = [[one for one in look.connections if one.near and one.command in ASKS] for look in facts.brokers]
    blocked = {one.address for each in consumers for one in each if one.blocked}
    for name, count in backlog(facts).items():
        if (
            name in facts.queues
            or not asks(facts)
            or not all(each and {one.address for one in each} <= blocked for each in consumers)
        ):
            continue
        told = f"it was told to consume {few(list(facts.queues))}" if facts.queues else "the command line names no queue"
        return Finding(
            cause="nobody-consumes-queue", state=State.WORKS,
            reason=f"{counted({name: count})}, and no connected worker asks for that queue",
            support=(f"every consumer ({len(consumers[-1])}) waited for a message, and got none of {name}", told),
            now=f"start a worker for it: celery worker -Q {name}; or celery control add_consumer {name}",
            for_good="let task_routes and the -Q of the workers name the same queues",
        )  # fmt: skip
    return None


def saturated(facts: Facts) -> Finding | None:
    """What waits cannot be taken: the worker does not ask, for every executor is busy."""
    if not facts.brokers or facts.idle != 0 or not facts.busy or asks(facts) is not False:
        return None
    waits = own_backlog(facts) if consumes_here(facts) else {}
    first, last = (sum(look.queues.get(name, 0) for name in waits) for look in (facts.brokers[0], facts.brokers[-1]))
    if sum(waits.values()) < facts.busy or last < first:
        return None
    return Finding(
        cause="saturated", state=State.WORKS,
        reason=f"{all_busy(facts)}, and {counted(waits)}",
        support=(f"none was taken away in {facts.span_s:.0f} s",),
        for_good="more workers or executors, or shorter tasks",
    )  # fmt: skip


#: the worst and the best supported first
ALL = (poison_unacked, redelivery_loop, prefetched_behind, nobody_consumes, saturated)
