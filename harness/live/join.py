"""The worker and the broker side by side: what several causes ask of the facts. Pure functions."""

from __future__ import annotations

import re

from harness.live.facts import BrokerLook, Connection, Facts, Frames, Message, Moment
from harness.machine.wires import Wire
from harness.texts import few

ASKS = ("brpop", "bzmpop", "blpop")
DEFAULT_QUEUE = "celery"
ASKED_S = 2.0  # so long ago a connection may have asked: BRPOP ends after a second, and is sent anew
LEAST_LOOKS, LEAST_S = 5, 3.0  # for what is said to be so all the time
LOOP = re.compile(r"/celery/worker/loops\.py$")
CONNECTING = re.compile(r"\b(retry_over_time|_?ensure_connection|ensure_connected|_establish_connection)$")
#: as before, in the worker's own consumer: what else connects is anybody's
CONSUMER = (re.compile(r"\b(connect|connection_for_read|ensure_connected)$"), re.compile(r"/celery/worker/consumer/\w+\.py$"))
STOPPING = (
    re.compile(r"\b(stop|terminate|_shutdown|wait_for_soft_shutdown|on_cold_shutdown)$"),
    re.compile(r"/celery/(worker|apps)/worker\.py$"),
)


def address(end: tuple[str, int]) -> str:
    """As Redis writes it."""
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"


def own(moment: Moment) -> list[tuple[Wire, Connection]]:
    """The worker's connections that the broker knows, joined by the worker's own end."""
    by_address = {one.address: one for one in moment.broker.connections} if moment.broker else {}
    return [(wire, by_address[end]) for wire in moment.wires if (end := address(wire.local)) in by_address]


def asks(facts: Facts) -> bool | None:
    """Whether the worker asked for a message at any moment; None if its connections cannot be told from others'."""
    joined = [own(moment) for moment in facts.moments]
    if not all(joined):
        return None
    return any(asking(connection) for each in joined for _, connection in each)


def asking(connection: Connection) -> bool:
    return connection.command in ASKS and (connection.blocked or connection.idle_s <= ASKED_S)


def in_loop(stack: Frames) -> bool:
    """Whether a stack of the main thread stands in Celery's loop, which consumes."""
    return any(LOOP.search(file) for _, file in stack)


def connecting(stack: Frames) -> bool:
    return any(CONNECTING.search(name) for name, _ in stack)


def connects_itself(stack: Frames) -> bool:
    """Whether it is the consumer that tries to connect, to the worker's own broker."""
    return connecting(stack) and any(CONSUMER[0].search(name) and CONSUMER[1].search(file) for name, file in stack)


def stopping(stack: Frames) -> bool:
    """Whether the worker shuts down."""
    return any(STOPPING[0].search(name) and STOPPING[1].search(file) for name, file in stack)


def long_enough(facts: Facts) -> bool:
    return len(facts.moments) >= LEAST_LOOKS and facts.span_s >= LEAST_S


def backlog(facts: Facts) -> dict[str, int]:
    """Messages that waited in each queue at every moment: the fewest."""
    looks = facts.brokers
    names = set.intersection(*(set(look.queues) for look in looks)) if looks else set()
    return {name: min(look.queues[name] for look in looks) for name in sorted(names)}


def own_backlog(facts: Facts) -> dict[str, int]:
    """Of the queues that this worker consumes, as far as that is known: those of its command line, Celery's own, and all of a
    broker that no other worker is connected to."""
    waits = backlog(facts)
    if facts.queues:
        return {name: count for name, count in waits.items() if name in facts.queues}
    if has_others(facts) is not False:
        return {name: count for name, count in waits.items() if name == DEFAULT_QUEUE}
    return waits


def moves(facts: Facts) -> bool:
    """Whether messages came, went or were handed out in that time."""
    shown = [(dict(look.queues), look.unacked, {one.id for one in look.handed}) for look in facts.brokers]
    return any(one != shown[0] for one in shown[1:])


def has_others(facts: Facts) -> bool | None:
    """Whether another worker was connected at any moment; None if nobody can tell whose a connection is."""
    if any(others(look, moment) for look, moment in zip(facts.brokers, facts.moments, strict=False)):
        return True
    return None if any(is_nameless(one) for look in facts.brokers for one in look.connections) else False


def is_nameless(one: Connection) -> bool:
    """Whether it consumes over a Unix socket: then Redis tells the socket's path alone, the same for the worker's own."""
    return one.near and one.command in ASKS and one.address.startswith("/")


def consumes_here(facts: Facts) -> bool:
    """Whether this is the worker's broker, and no store of results alone: it has asked for messages, or hears the control
    channel, which is a pattern in kombu."""
    return any(one.patterns or one.command in ASKS for moment in facts.moments for _, one in own(moment))


def others(look: BrokerLook, moment: Moment) -> list[Connection]:
    """Consumers of the same database that are none of this worker's, as far as that can be told."""
    ours = {address(wire.local) for wire in moment.wires}
    known = [one for one in look.connections if one.near and one.command in ASKS and not is_nameless(one)]
    return [one for one in known if one.address not in ours]


def reserved(facts: Facts) -> list[Message]:
    """What was handed out at each moment, was put off by nobody, and is at no executor that can be seen."""
    active = {task.id for task in facts.tasks} | facts.elsewhere
    looks = facts.brokers
    stay = set.intersection(*({one.id for one in look.handed} for look in looks)) if looks else set()
    return [one for one in looks[-1].handed if one.id in stay - active and not one.put_off] if looks else []


def kept_back(facts: Facts) -> bool:
    """Whether the worker's memory has all that is known to be handed out and at no executor, and may hold no more: it keeps
    that on purpose, for a rate limit or an ETA, and asks for nothing meanwhile."""
    active = {task.id for task in facts.tasks} | facts.elsewhere
    left = [one for one in facts.brokers[-1].handed if one.id not in active] if facts.brokers else []
    full = bool(facts.kept.most) and bool(facts.brokers) and facts.brokers[-1].unacked >= (facts.kept.most or 0)
    return full and bool(left) and all(keeps(facts, one) for one in left)


def keeps(facts: Facts, one: Message) -> bool:
    """Whether the worker has a message in its hands that has not ended, as far as its memory tells: among its requests, or in
    the bucket of a task that has a rate limit."""
    return one.id in (facts.kept.requests or ()) or one.task in (facts.kept.limited or ())


def counted(waits: dict[str, int]) -> str:
    """'3 messages wait in celery'."""
    many = sum(waits.values())
    return (
        f"{many} message{' waits' if many == 1 else 's wait'} in {few(list(waits))}" if waits else "nothing waits in its queues"
    )


def all_busy(facts: Facts) -> str:
    """'all its 3 executors are at work'."""
    return "its only executor is at work" if facts.busy == 1 else f"all its {facts.busy} executors are at work"


def counted_handed(messages: list[Message]) -> str:
    """'1 message is handed out (shop.price[a])'."""
    many = len(messages)
    return f"{many} message{' is' if many == 1 else 's are'} handed out ({few([named(one) for one in messages], 2)})"


def named(one: Message) -> str:
    return f"{one.task}[{one.id}]"
