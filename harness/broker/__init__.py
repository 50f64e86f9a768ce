"""The message broker of a run: one that is private to it, or the user's own. See `facts` for what is asked of either.

facts       what a broker is, and what it is asked, whatever its kind
valkey      an embedded Valkey, or a Redis or Valkey of the user's own
rabbitmq    an embedded RabbitMQ, if one is installed, or the user's own; rabbitmq_view: what is asked of it. Imported where it
            is needed: looking at running workers does without its client
"""

from harness.broker.facts import OUR_NAME, Backlog, Broker, Census, Server, View, free_port, shown
from harness.broker.valkey import (
    PRIORITY_MARK,
    SCHEMES,
    backlog,
    census,
    check,
    client,
    depth,
    embedded,
    emptied,
    external,
    forget,
    redis_server,
    restarted,
    server_binary,
    unacknowledged,
)
from harness.broker.valkey import View as ValkeyView

__all__ = [
    "OUR_NAME", "PRIORITY_MARK", "SCHEMES", "Backlog", "Broker", "Census", "Server", "View", "backlog", "census", "check",
    "client", "depth", "embedded", "emptied", "external", "forget", "free_port", "redis_server", "restarted", "server_binary",
    "shown", "unacknowledged", "view",
]  # fmt: skip


def view(server: Broker, prefix: str = "") -> View:
    """What a trial asks of this broker; `prefix`: of all keys of its application. Raises nothing if the broker is lost."""
    if server.url.startswith("amqp://"):
        from harness.broker import rabbitmq, rabbitmq_view

        assert isinstance(server, rabbitmq.RabbitMQ)
        return rabbitmq_view.View(server)
    return ValkeyView(client(server.url), prefix)
