"""The brokers that a cell may name, where each has its answers by default, and what cannot be. Plain data, nothing else."""

from __future__ import annotations

VALKEY, REDIS, RABBITMQ, QUORUM = "valkey", "redis", "rabbitmq", "rabbitmq-quorum"
BROKERS = (VALKEY, REDIS, RABBITMQ, QUORUM)
AMQP = (RABBITMQ, QUORUM)
RPC = "rpc"
#: answers are stored (`redis://`), or come as messages (`rpc://`): what each has if a cell does not say
RESULTS = {VALKEY: REDIS, REDIS: REDIS, RABBITMQ: RPC, QUORUM: RPC}
FIRST_CELERY_WITH_QUORUM = (5, 5)


def refuses(broker: str, result_backend: str, celery: tuple[int, int]) -> str | None:
    """Why there is no such cell, or None."""
    if result_backend == RPC and broker not in AMQP:
        return "answers that come as messages (rpc) are read from RabbitMQ alone; Valkey and Redis store them"
    if broker == QUORUM and celery < FIRST_CELERY_WITH_QUORUM:
        have = ".".join(map(str, celery))
        return f"Celery {have} asks for a prefetch of the whole channel, which a quorum queue refuses; 5.5 and later do not"
    return None


def queue_type(broker: str) -> str:
    """What Celery's `task_default_queue_type` has to be; '' for its own choice."""
    return "quorum" if broker == QUORUM else ""
