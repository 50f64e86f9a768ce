"""The contracts, as data: what each is called, which verdicts a user would hope for, and what measures it (`measures`)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from harness.experiment.brokers import RABBITMQ, VALKEY
from harness.studies.contracts import fates, measures, outages, rabbit, reconnect
from harness.studies.contracts.bench import Stand
from harness.studies.contracts.measures import IN_FLIGHT_S, STOP_LIMIT_S, ContractAnswer
from harness.studies.contracts.outages import Outage
from harness.studies.contracts.rows import Column


@dataclass(frozen=True, kw_only=True)
class Contract(Column):
    """`alone`: is not measured beside busy or starting workers; `broker`: what it is about."""

    measure: Callable[[Stand], ContractAnswer]
    alone: bool = False
    children_only: bool = False
    broker: str = VALKEY


#: its name and title, what goes away, for how many seconds, and how often in a row from an idle worker
Way = tuple[str, str, Callable[[Stand], AbstractContextManager[Outage]], float, int]
LATE: dict[str, object] = {"task_acks_late": True}
REJECT: dict[str, object] = {**LATE, "task_reject_on_worker_lost": True}
TO_ANSWER = "from the request's begin to its answer"
TO_END = "from the signal to the worker's end"
TO_FATE = "from the kill to the request's answer"
TO_TAKEN = "from the broker's return to the first request that the worker takes from it"
BUSY_TO_TAKEN = f"{TO_TAKEN}; the one in flight ends some 7 s after the return, so that more says that it had to end first"
SOCKET_LIMIT_S = 5.0  # more than the second for which kombu lets the server wait for a message
IN_A_ROW = 3  # a consumer that is lost was lost at the second or third restart, as people tell (airflow#26542)
AFTER_CALL = "from the end of the call to the first request that the worker takes from the broker after it"
VISIBLE_S, VISIBLE_CALL_S = 2, 20.0
FURTHER_S = 10.0  # that the request in flight goes on when the broker is back


def _contracts() -> Iterator[Contract]:
    for word, option in (("hard", "--time-limit"), ("soft", "--soft-time-limit")):
        for kind in ("python", "native"):
            yield Contract(
                id=f"{word}-limit-{kind}", title=f"{word} limit, {kind}", seconds=TO_ANSWER, kept=("cut off",),
                measure=partial(measures.limit, option=option, kind=kind),
            )  # fmt: skip
    revokes = (("python", "python", "SIGTERM"), ("native", "native", "SIGTERM"), ("kill", "native", "SIGKILL"))
    for name, kind, with_signal in revokes:
        yield Contract(
            id=f"revoke-{name}", title=f"revoke, {kind}, {with_signal}", seconds="from the revoke to the request's answer",
            kept=("ended",), measure=partial(measures.revoke, kind=kind, with_signal=with_signal), children_only=name == "kill",
        )  # fmt: skip
    stops: tuple[tuple[str, signal.Signals, str, float, tuple[str, ...], dict[str, object]], ...] = (
        ("warm-shutdown", signal.SIGTERM, f"sleep:{IN_FLIGHT_S}", IN_FLIGHT_S + STOP_LIMIT_S, ("finishes",), {}),
        ("warm-shutdown-hung", signal.SIGTERM, "deadlock", STOP_LIMIT_S, ("requeues", "ends with an error"), {}),
        ("cold-shutdown", signal.SIGQUIT, "sleep:60", STOP_LIMIT_S, ("requeues", "ends with an error"), {}),
        ("cold-shutdown-late", signal.SIGQUIT, "sleep:60", STOP_LIMIT_S, ("requeues", "ends with an error"), LATE),
    )
    for name, number, fault, limit_s, kept, settings in stops:
        yield Contract(
            id=name, title=name.replace("-", " ").replace(" late", ", acks late").replace(" hung", ", hung"), seconds=TO_END,
            kept=kept, measure=partial(measures.shutdown, number=number, fault=fault, limit_s=limit_s, settings=settings),
        )  # fmt: skip
    for name, settings, kept in (
        ("kill", {}, ("error to the caller", "redelivered")),
        ("kill-late", LATE, ("redelivered", "error to the caller")),
        ("kill-late-reject", REJECT, ("redelivered",)),
    ):
        yield Contract(
            id=name, title={"kill": "kill", "kill-late": "kill, acks late"}.get(name, "kill, acks late, reject on lost"),
            seconds=TO_FATE, kept=kept, measure=partial(measures.killed, settings=settings),
            children_only=name == "kill-late-reject",
        )  # fmt: skip
    for name, fault in (("sleep", "sleep"), ("spin", "spin"), ("gil", "native-sleep")):
        yield Contract(
            id=f"ping-{name}", title={"gil": "ping, GIL held"}.get(name, f"ping, {name}"), seconds="median of the replies",
            kept=("answered",), measure=partial(measures.ping, fault=fault), alone=True,
        )  # fmt: skip
    yield from _reconnects()
    yield Contract(
        id="visibility-late", title=f"a call of {VISIBLE_CALL_S:g} s, visibility_timeout of {VISIBLE_S} s, acks late",
        seconds=TO_TAKEN, kept=(fates.AGAIN,), measure=partial(
            reconnect.busy, outage=partial(outages.undisturbed, seconds=VISIBLE_CALL_S), run_s=VISIBLE_CALL_S, forgets=False,
            settings={**LATE, "broker_transport_options": {"visibility_timeout": VISIBLE_S}},
        ),
    )  # fmt: skip
    for one in _on_rabbitmq():
        yield replace(one, broker=RABBITMQ)


def _on_rabbitmq() -> Iterator[Contract]:
    """The same with RabbitMQ, and what only RabbitMQ does."""
    yield from _outages("rabbitmq-", "idle: ", (
        ("blip", "connections closed", rabbit.blip, 0.0, IN_A_ROW),
        ("restart-kept", "restart, data kept", partial(rabbit.restart, keeps=True), rabbit.RESTART_S, 1),
        ("restart-lost", "restart, data lost", partial(rabbit.restart, keeps=False), rabbit.RESTART_S, 1),
        ("partition", f"silent for {outages.PARTITION_S:g} s", rabbit.partition, outages.PARTITION_S, 1),
        ("half-open", "connections forgotten", rabbit.half_open, 0.0, 1),
    ))  # fmt: skip
    for name, title, more, beats in (
        ("ack-timeout", "call longer than consumer_timeout", rabbit.PATIENCE, {}),
        ("heartbeat", f"call longer than {rabbit.LONG_CALL_S / rabbit.HEARTBEAT_S:g} heartbeats", "", rabbit.BEATS),
    ):
        for suffix, words, settings in (("", "", {}), ("-late", ", acks late", LATE)):
            yield Contract(
                id=f"rabbitmq-{name}{suffix}", title=f"{title}{words}", seconds=AFTER_CALL, kept=(fates.AGAIN,),
                measure=partial(
                    reconnect.busy, outage=partial(rabbit.undisturbed, more=more), run_s=rabbit.LONG_CALL_S - 1.0,
                    settings={**settings, **beats}, forgets=False, fault="native-sleep" if beats else "sleep",
                ),
            )  # fmt: skip
    for name, settings, kept in (
        ("kill", {}, ("error to the caller", "redelivered", "back in the queue")),
        ("kill-late", LATE, ("redelivered", "error to the caller", "back in the queue")),
        ("kill-late-reject", REJECT, ("redelivered",)),
    ):
        yield Contract(
            id=f"rabbitmq-{name}", title=name.replace("-", ", acks ", 1).replace("-reject", ", reject on lost"),
            seconds=TO_FATE, kept=kept, measure=partial(rabbit.on, measure=partial(measures.killed, settings=settings)),
            children_only=name == "kill-late-reject",
        )  # fmt: skip
    for name, quorum in (("eta", False), ("quorum-eta", True)):
        yield Contract(
            id=f"rabbitmq-{name}", title=f"{'quorum queue: ' if quorum else ''}a request behind others that are put off",
            seconds="from the sending of the request that is not put off to its answer", kept=("passes them",),
            measure=partial(rabbit.put_off, quorum=quorum),
        )  # fmt: skip


def _outages(prefix: str, idle: str, ways: Iterable[Way]) -> Iterator[Contract]:
    """Each way to go away, for an idle worker, and for a busy one that acknowledges early or late. `prefix`: of ids; `idle`:
    how the titles of an idle worker's begin."""
    for name, title, outage, away_s, in_a_row in ways:
        forgets = name == "restart-lost"
        yield Contract(
            id=f"{prefix}idle-{name}", title=f"{idle}{title}", seconds=TO_TAKEN, kept=(fates.AGAIN,),
            measure=partial(reconnect.idle, outage=outage, in_a_row=in_a_row, forgets=forgets, settings={}),
        )  # fmt: skip
        for suffix, words, settings in (("", "", {}), ("-late", ", acks late", LATE)):
            yield Contract(
                id=f"{prefix}{name}{suffix}", title=f"{title}{words}", seconds=BUSY_TO_TAKEN, kept=(fates.AGAIN,),
                measure=partial(
                    reconnect.busy, outage=outage, run_s=away_s + FURTHER_S, settings=settings, forgets=forgets
                ),
            )  # fmt: skip


def _reconnects() -> Iterator[Contract]:
    """The broker goes away and comes back."""
    yield from _outages("", "", (
        ("blip", "connections closed", outages.blip, 0.0, IN_A_ROW),
        ("restart-kept", "restart, data kept", partial(outages.restart, keeps=True), outages.DOWN_S, IN_A_ROW),
        ("restart-lost", "restart, data lost", partial(outages.restart, keeps=False), outages.DOWN_S, IN_A_ROW),
        ("partition", f"silent for {outages.PARTITION_S:g} s", outages.partition, outages.PARTITION_S, 1),
        ("half-open", "connections forgotten", outages.half_open, 0.0, 1),
    ))  # fmt: skip
    yield Contract(
        id="idle-half-open-limit", title=f"connections forgotten, socket timeouts of {SOCKET_LIMIT_S:g} s", seconds=TO_TAKEN,
        kept=(fates.AGAIN,), measure=partial(
            reconnect.idle, outage=outages.half_open, in_a_row=1, forgets=False,
            settings={
                "broker_transport_options": {"socket_timeout": SOCKET_LIMIT_S}, "redis_socket_timeout": SOCKET_LIMIT_S,
            },
        ),
    )  # fmt: skip


CONTRACTS: dict[str, Contract] = {item.id: item for item in _contracts()}
