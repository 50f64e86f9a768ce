"""Which broker and which result back end serve an application in a trial, by what its settings ask for. Pure.

Its own kind, where that can be started here; else Valkey, and it is said what that does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.texts import visible
from harness.worker.own_broker import BY_VARIABLE, NONE

VALKEY, RABBITMQ = "valkey", "rabbitmq"
REDIS, RPC, STORED_NOWHERE = "redis", "rpc", ("disabled", "none", "None")
REDIS_KINDS = ("redis", "redis+socket", "valkey", "unix")
AMQP_KINDS = ("amqp", "pyamqp", "amqps", "librabbitmq")
WITHOUT = {  # kinds that are nearly as they are asked for: what is not shown of each
    "rediss": "its encryption",
    "sentinel": "a failover between its servers",
    "rediscluster": "a cluster of several servers",
}
LOST = "how it hands out messages, its acknowledgement time-out, heartbeats, and what a late or lost connection does"
HOSTED = "its pace, and how it hands out and repeats messages"


@dataclass(frozen=True, kw_only=True)
class Served:
    """`broker`: VALKEY or RABBITMQ; `results`: REDIS (in the Valkey) or RPC (over the broker); `said`: a line for each that is
    otherwise than the application asks for, and for each broker that is not Valkey."""

    broker: str
    results: str
    said: tuple[str, ...] = ()

    @property
    def needs_redis(self) -> bool:
        """Whether the application's environment has to speak Redis."""
        return self.broker == VALKEY or self.results == REDIS


def of(asked: Mapping[str, Any], no_rabbitmq: str) -> Served:
    """`asked`: see `worker.own_broker.asked`; `no_rabbitmq`: why no RabbitMQ can be started, '' if one can."""
    kind, lines = visible(str(asked["broker"])), []
    broker = RABBITMQ if kind in AMQP_KINDS and not no_rabbitmq else VALKEY
    if line := _of_broker(kind, broker, no_rabbitmq):
        lines.append(f"broker: {line}")
    if asked["quorum"] and broker == VALKEY:
        lines.append("broker: the application's quorum queues are ordinary ones here: their delivery limit is not shown")
    results = _results(visible(str(asked["backend"])), broker, bool(asked["no_redis"]))
    if line := _of_results(visible(str(asked["backend"])), results):
        lines.append(f"results: {line}")
    return Served(broker=broker, results=results, said=tuple(lines))


def _of_broker(kind: str, broker: str, no_rabbitmq: str) -> str:
    if broker == RABBITMQ:
        encrypted = ", without encryption" if kind == "amqps" else ""
        return f"a private RabbitMQ serves, as the application asks for {kind}://{encrypted}"
    if kind in REDIS_KINDS:
        return ""
    if kind == NONE:
        return "no setting names one (Celery then takes a RabbitMQ on this machine): a private Valkey serves"
    if kind == BY_VARIABLE:
        return (
            "the application reads CELERY_BROKER_URL itself, so its own kind is not known: a private Valkey serves; put that "
            "variable into --env-file if it is another kind"
        )
    instead = f"the application asks for {kind}://, and a private Valkey serves instead"
    if kind in AMQP_KINDS:
        return f"{instead}, for {no_rabbitmq}; not shown of RabbitMQ: {LOST}"
    return f"{instead}; not shown: {WITHOUT.get(kind, HOSTED)}"


def _results(kind: str, broker: str, lacks_redis: bool) -> str:
    if broker == VALKEY:
        return REDIS
    return REDIS if kind in (*REDIS_KINDS, *WITHOUT) and not lacks_redis else RPC


def _of_results(kind: str, results: str) -> str:
    where = "a private Valkey" if results == REDIS else "messages of the RabbitMQ (rpc://)"
    if (kind in REDIS_KINDS and results == REDIS) or kind == RPC == results or kind == BY_VARIABLE:
        return ""
    if kind == NONE or kind in STORED_NOWHERE:
        return f"the application stores no answers; in the trial they go into {where}: one that is not stored cannot be checked"
    named = f"{kind}://" if kind not in ("django-db", "django-cache") and "." not in kind else kind
    if kind == RPC:
        return f"the application's answers come as messages (rpc://), and in the trial they go into {where}"
    instead = f"the application stores its answers in {named}, and in the trial they go into {where}"
    return f"{instead}; not shown: {WITHOUT.get(kind, 'what storing costs there, and what it waits for')}"
