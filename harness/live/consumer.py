"""Causes in the consumer's connection: pure functions over facts. Each gives one finding, or None.

consumer-cancelled  told to consume from its queues no more: its memory says so
consumer-lost       connected, executors idle, and nobody asks the broker for a message: after a reconnect, mostly
half-open           a connection that the broker does not know (any more), or that acknowledges nothing
control-plane-dead  as before, of the connection that hears `celery inspect` and `control`
broker-lost         the broker does not answer, or the worker tries to connect again and again
broker-refusing     it answers with an error: a wrong password, too many clients, still loading

Nobody is asked over the control channel: a broadcast would reach every worker of the broker. That the channel is dead shows in
its connection.
"""

from __future__ import annotations

from harness.live.executor import State
from harness.live.facts import Connection, Facts
from harness.live.finding import Finding
from harness.live.join import (
    ASKS,
    address,
    asks,
    connecting,
    connects_itself,
    consumes_here,
    counted,
    in_loop,
    kept_back,
    long_enough,
    own,
    own_backlog,
    stopping,
)  # fmt: skip
from harness.live.versions import known, older
from harness.machine.wires import Wire
from harness.observe.roles import Role
from harness.texts import few

GIVES_UP = "TCP gives up by itself, after up to 15 minutes"
NOTICES = "kombu may notice; 5.7 does within a minute, and connects again"
ELSEWHERE = "nothing shows that it consumes from this broker"
PREFIXED = "under which prefix (global_keyprefix) its queues lie cannot be told, and so not what waits and what it holds"
CANCELLED = "a worker whose consumer was cancelled (celery control cancel_consumer) looks the same"
WITHOUT = "a worker without remote control (worker_enable_remote_control) that has lost another connection looks the same"
DEAF = "it is subscribed to nothing either: with its consumer cancelled, it would still hear other workers (gossip)"
RETRIES = "its main process stands in kombu's retry"
GREEN = ("gevent", "eventlet")
NOTHING_BYTES = 5  # of Redis's answer that there is no message, '*-1\r\n', or '_\r\n' in RESP3


def consumer_cancelled(facts: Facts) -> Finding | None:
    """By its memory alone: which queues its application has selected."""
    gone = _cancelled(facts)
    if not gone:
        return None
    waits = own_backlog(facts) if facts.brokers and not any(look.prefixed for look in facts.brokers) else None
    all_ = not facts.kept.selected
    what = "it takes no new task: its consumer was cancelled" if all_ else f"its consumer of {few(gone)} was cancelled"
    return Finding(
        cause="consumer-cancelled", state=State.WAITING if all_ and not facts.busy else State.WORKS,
        reason=f"{what}, by celery control cancel_consumer or the like{'' if waits is None else f'; {counted(waits)}'}",
        support=(
            f"in its memory, {'no queue' if all_ else few(sorted(facts.kept.selected or ()))} is selected to be consumed, of "
            f"{few(sorted(facts.kept.declared or ()))}",
        ),
        now=f"celery -A … control add_consumer {gone[0] if len(gone) == 1 else 'QUEUE'} brings it back; a restart does, too",
        for_good="find out who cancelled it, and whether that is still wanted",
    )  # fmt: skip


def _cancelled(facts: Facts) -> list[str]:
    """The queues that it was to consume, and is not any more, as far as its memory tells. An application declares more queues
    than a worker consumes; so of some that are left, only those of the command line are missed."""
    declared, selected = facts.kept.declared, facts.kept.selected
    if declared is None or selected is None:
        return []
    if selected:
        return [name for name in facts.queues if name in declared and name not in selected]
    return sorted(declared.intersection(facts.queues) or declared)


def _keeps_consumer(facts: Facts, waits: dict[str, int]) -> bool:
    """Whether its memory has a consumer for what waits: then nobody has cancelled that."""
    consumed = facts.kept.consumed
    return bool(consumed and (consumed & set(waits) or not waits))


def consumer_lost(facts: Facts) -> Finding | None:
    if not facts.kept.selected and _cancelled(facts):
        return None
    if not facts.brokers or asks(facts) is not False or facts.idle == 0 or facts.role not in (Role.MAIN, Role.UNKNOWN):
        return None
    if any(connecting(stack) or stopping(stack) for stack in facts.frames) or _unknown(facts) or _silent(facts):
        return None  # it connects again, or may yet notice that it has to
    unread = [wire for wire in _standing(facts) if wire.unread and not wire.watched]
    left_alone = bool(unread) and older(facts.versions, "kombu", "5.7")  # later ones do that while nothing more may come
    waits, held = own_backlog(facts), 0 if left_alone else _held(facts)
    if held and kept_back(facts):
        return None
    if held and (not waits or facts.idle is None):
        return None  # what is handed out may be all that it may hold
    keeps = _keeps_consumer(facts, waits)
    doubts = [doubt for doubt in _doubts(facts, held) if doubt != CANCELLED or not keeps]
    unsure = bool(held) or facts.idle is None or bool({CANCELLED, ELSEWHERE, PREFIXED} & set(doubts))
    support = [
        f"at {len(facts.moments)} looks in {facts.span_s:.0f} s, none of its {len(own(facts.last))} connections that the "
        f"broker knows asked for a message",
        *(f"{facts.idle} {'executors are' if facts.idle > 1 else 'executor is'} idle" for _ in [0] if facts.idle),
        *(
            f"{wire.unread} bytes of the broker stand unread at port {wire.local[1]}, which its loop does not watch"
            for wire in unread
        ),
        *([DEAF] if _hears_nobody(facts) else []),
        *([f"its memory has a consumer of {few(sorted(facts.kept.consumed or ()))}: nobody has cancelled it"] if keeps else []),
        *known("consumer-lost", facts.versions),
        *(f"not proved: {doubt}" for doubt in doubts),
    ]
    sure = long_enough(facts) and not doubts
    asked = [connection.idle_s for _, connection in own(facts.last) if connection.command in ASKS]
    state = State.STUCK if sure and waits else State.UNKNOWN if unsure else State.WAITING
    return Finding(
        cause="consumer-lost", since_s=min(asked, default=None), state=state,
        reason=f"its consumer {'is' if sure else 'may be'} lost: it is connected and asks for no message; {counted(waits)}",
        support=tuple(support),
        now=(
            ("" if sure else "see in its log whether it still receives tasks; if not, ")
            + "restart the worker; what waits stays in the broker"
            + (", but a message that stands unread in its connection is lost" if _message(unread) else "")
            + ("" if keeps else ". If somebody has cancelled its consumer, celery control add_consumer brings it back")
        ),
        for_good="keep kombu up to date, and let something restart a worker whose queue grows while it is idle",
    )  # fmt: skip


def _held(facts: Facts) -> int:
    """Messages that are handed out, at every moment, and may be in this worker's hands: those that run elsewhere are not."""
    active = {task.id for task in facts.tasks} | facts.elsewhere
    return min(look.unacked - sum(one.id in active for one in look.handed) for look in facts.brokers)


def _standing(facts: Facts) -> list[Wire]:
    """Connections to the broker's port that are established now."""
    return [one for one in facts.last.wires if one.remote[1] == facts.port and one.state == "established"]


def _is_quiet(wire: Wire, connection: Connection) -> bool:
    """Whether it has asked for messages, got its last answer, and is watched for more."""
    return connection.command in ASKS and wire.watched and not wire.unread


def _message(unread: list[Wire]) -> bool:
    """Whether more than the answer that there is none stands unread."""
    return any(one.unread > NOTHING_BYTES for one in unread)


def _doubts(facts: Facts, held: int) -> list[str]:
    """Why it may still ask: what would keep a healthy worker from it."""
    found = []
    if held:
        found.append(f"{held} messages are handed out; with a rate limit or an ETA they may keep it from asking")
    if facts.pool in GREEN or facts.idle is None:
        found.append("what its executors do cannot be seen")
    elif not facts.frames or not all(map(in_loop, facts.frames)):
        found.append("its main process was not seen in its loop")
    elif facts.moments[0].switches == facts.last.switches:
        found.append("its loop did not turn in that time")
    if not consumes_here(facts):
        found.append(ELSEWHERE)
    if any(look.prefixed for look in facts.brokers):
        found.append(PREFIXED)
    if all(any(_is_quiet(*pair) for pair in own(moment)) for moment in facts.moments) and not _hears_nobody(facts):
        found.append(CANCELLED)
    if any(wire.unread and wire.watched for wire in _standing(facts)):
        found.append("an answer of the broker is there, which its loop has still to read")
    return found


def _hears_nobody(facts: Facts) -> bool:
    """Whether its loop does not even subscribe to what other workers tell. With its consumer cancelled it would: both are asked
    for in one place (kombu/transport/redis.py, on_poll_start)."""
    return facts.gossips and not any(one.subscribed for moment in facts.moments for _, one in own(moment))


def half_open(facts: Facts) -> Finding | None:
    """What is established for the main process, and not known to the broker; or what the broker does not acknowledge."""
    silent, unknown = _silent(facts), _unknown(facts)
    if not silent and not unknown:
        return None
    wire, held = (silent or unknown)[0], _held(facts) if facts.brokers else 0
    if unknown and asks(facts) and not any(one.subscribed for _, one in own(facts.last)):
        return Finding(
            cause="control-plane-dead", state=State.WORKS,
            reason="it consumes, but a connection of its is dead, and on no other one it hears 'celery inspect' and 'control'",
            support=(_dead(wire), *known("control-plane-dead", facts.versions), WITHOUT),
            now="restart it if you need inspect and control", for_good="upgrade kombu",
        )  # fmt: skip
    if not silent and (asks(facts) or facts.idle == 0 or held):
        return None  # what it does not consume on may be anything: a connection of the application's, say
    waits = own_backlog(facts)
    hears = any(connection.subscribed for _, connection in own(facts.last))  # else its next PING would show that all is lost
    nobody_ends_it = hears and not wire.timer and not wire.unsent and older(facts.versions, "kombu", "5.7")
    proved = bool(unknown and waits and nobody_ends_it) and long_enough(facts) and facts.role is Role.MAIN
    proved = proved and not silent and not _doubts(facts, held)
    what = "the broker acknowledges nothing that it sends" if silent else "the broker does not know its connection"
    return Finding(
        cause="half-open", state=State.STUCK if proved else State.WAITING,
        reason=f"{what}{f', and {counted(waits)}' if waits else ''}",
        support=(
            _dead(wire), f"at {len(facts.moments)} looks in {facts.span_s:.0f} s", *known("half-open", facts.versions),
            *([] if proved else [f"not proved: {GIVES_UP if silent else NOTICES}"]),
        ),
        now="restart the worker; what waits stays in the broker",
        for_good="set socket_keepalive and health_check_interval in broker_transport_options; upgrade kombu",
    )  # fmt: skip


def _dead(wire: Wire) -> str:
    state = f"{wire.unsent} bytes unacknowledged" if wire.unsent else "established"
    return f"its connection from {address(wire.local)} to {address(wire.remote)} ({state})"


def _silent(facts: Facts) -> list[Wire]:
    """Connections to the broker whose bytes were sent again and again at each moment."""
    each = [
        {one.local for one in moment.wires if one.remote[1] == facts.port and one.timer == "retransmit" and one.unsent}
        for moment in facts.moments
    ]
    stay = set.intersection(*each) if each and facts.port else set()
    return [one for one in facts.last.wires if one.local in stay]


def _unknown(facts: Facts) -> list[Wire]:
    """Established with the same server as others that it knows, and not known to it at any moment."""
    if not facts.brokers or not all(own(moment) for moment in facts.moments):
        return []
    servers = {wire.remote for moment in facts.moments for wire, _ in own(moment)}
    each = [
        {one.local for one in moment.wires if one.state == "established" and one.remote in servers}
        - {wire.local for wire, _ in own(moment)}
        for moment in facts.moments
    ]
    return [one for one in facts.last.wires if one.local in set.intersection(*each)]


def broker_lost(facts: Facts) -> Finding | None:
    """Lost, or refusing: it does not serve us with the worker's own URL, and the worker has no connection that it serves. One
    that is left over from before serves nobody while the worker tries to connect."""
    looks = [moment.broker for moment in facts.moments]
    last = looks[-1] if looks else None
    standing = _standing(facts)
    if last is None or not all(look is not None and look.answers is False for look in looks):
        return _reconnecting(facts)
    late = "imed out" in last.why or "imeout" in last.why
    elsewhere = any(one.watched and one.state == "established" for one in facts.last.wires if one not in standing)
    if not _tries(facts) and (elsewhere or (standing and (last.refused or not late or facts.apart))):
        return None  # we may have the wrong URL, or another way to it: the worker is connected
    name, what = ("broker-refusing", "refuses it") if last.refused else ("broker-lost", "does not answer")
    ports = f"it has {len(standing) or 'no'} connection{'s' if len(standing) > 1 else ''} to port {facts.port}"
    return Finding(
        cause=name, state=State.WAITING, reason=f"the broker {what}: {last.why}",
        support=(ports, *([RETRIES] if _tries(facts) else [])),
        now=(
            "mend what it says at the server (its maxclients, its memory), and the worker goes on by itself; if its own URL "
            "has to change (a new password), restart it with that"
            if last.refused
            else "start the broker, or mend the way to it; the worker tries again by itself"
        ),
        for_good="watch the broker itself; broker_connection_max_retries says when the worker gives up",
    )  # fmt: skip


def _tries(facts: Facts) -> bool:
    return bool(facts.frames) and all(map(connecting, facts.frames))


def _reconnecting(facts: Facts) -> Finding | None:
    if not facts.port and facts.frames and all(map(connects_itself, facts.frames)):
        return Finding(
            cause="broker-lost", state=State.WAITING, reason="it tries to connect to its broker, and takes no task meanwhile",
            support=(RETRIES, f"at {len(facts.frames)} looks in {facts.span_s:.0f} s"),
            now="its log says what it gets for an answer; --broker REDIS-URL looks from here; the worker tries again by itself",
            for_good="watch the broker itself; broker_connection_max_retries says when the worker gives up",
        )  # fmt: skip
    if not _tries(facts) or not facts.brokers or asks(facts):
        return None
    return Finding(
        cause="broker-lost", state=State.WAITING,
        reason="it tries to connect to its broker again and again, though this broker answers us",
        support=(RETRIES,),
        now="compare the worker's broker URL with this one; its log says what it gets for an answer",
    )  # fmt: skip


#: the worst and the best supported first
ALL = (broker_lost, half_open, consumer_cancelled, consumer_lost)
