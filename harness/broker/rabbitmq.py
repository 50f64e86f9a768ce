"""An embedded RabbitMQ that is private to a run, from a server that is installed on this machine, or one of the user's own.

The embedded one has a node name, data, a password and ports of its own, all on loopback, and so has Erlang's port mapper
(epmd), which it starts: both are below the keeper, and end with the run whatever way the run ends. What is asked of it is in
`rabbitmq_view`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import amqp

from harness.broker.facts import OUR_NAME, free_port, shown
from harness.errors import BrokerUnreachable
from harness.machine.processes import OwnedProcess

SCRIPTS = Path("/usr/lib/rabbitmq/bin")  # of Debian, whose program on PATH is for root alone
ELSEWHERE = "/usr/sbin:/usr/local/sbin:/opt/rabbitmq/sbin"
START_LIMIT_S = 120.0  # 5 s on an idle machine
CONNECT_LIMIT_S = 5.0
STATS_EVERY_S = 0.5  # how old the numbers of unacknowledged messages may be
USER = "harness"
PORT, HTTP_PORT = 5672, 15672  # RabbitMQ's own, of AMQP and of its management API
#: nothing of delivery, acknowledgement or heartbeats is otherwise than usual
CONFIGURATION = """\
listeners.tcp.local = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {http_port}
default_user = {user}
default_pass = {password}
collect_statistics_interval = {stats_ms:.0f}
management_agent.disable_metrics_collector = true
disk_free_limit.absolute = 50MB
"""
DISTRIBUTION = "-start_epmd false -erl_epmd_port {port} -kernel inet_dist_use_interface {{127,0,0,1}}"


@dataclass(frozen=True, kw_only=True)
class Command:
    """What an embedded server is started with."""

    script: Path
    folder: Path
    environment: Mapping[str, str]

    def run(self) -> OwnedProcess:
        log = self.folder / "rabbitmq.log"
        return OwnedProcess([str(self.script)], log=log, env=dict(self.environment), cwd=self.folder)


class RabbitMQ:
    """`url`: for AMQP; `process`: None for a server of the user's own; `http_port`: of its management API, on the same host;
    `version`: as it says itself; `command`: how an embedded one was started."""

    def __init__(
        self, url: str, process: OwnedProcess | None = None, *, http_port: int = HTTP_PORT, version: str = "",
        command: Command | None = None,
    ) -> None:  # fmt: skip
        self.url, self.process, self.http_port, self.version, self.command = url, process, http_port, version, command
        self.at = at(url)

    def connect(self) -> amqp.Connection:
        """A connection of ours that gives up instead of hanging. Raises OSError or amqp.AMQPError."""
        return connected(self.url)


@dataclass(frozen=True, kw_only=True)
class At:
    """What a URL of AMQP says. `vhost`: the virtual host."""

    host: str
    port: int
    user: str
    password: str
    vhost: str


def at(url: str) -> At:
    """As Celery reads it (kombu.utils.url): no path is the virtual host `/`.

    >>> at("amqp://me:s%2Fx@mq/shop")
    At(host='mq', port=5672, user='me', password='s/x', vhost='shop')
    >>> at("amqp://localhost//").vhost
    '/'
    """
    parts = urlsplit(url)
    return At(
        host=parts.hostname or "localhost", port=parts.port or PORT, user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"), vhost=unquote(parts.path[1:]) or "/",
    )  # fmt: skip


def connected(url: str) -> amqp.Connection:
    """Connected to such a server; it sends no heartbeats, for a reader may be busy. Raises OSError or amqp.AMQPError."""
    place = at(url)
    connection = amqp.Connection(
        host=f"{place.host}:{place.port}", userid=place.user, password=place.password, virtual_host=place.vhost, heartbeat=0,
        connect_timeout=CONNECT_LIMIT_S, client_properties={"connection_name": OUR_NAME}, confirm_publish=False,
    )  # fmt: skip
    connection.connect()
    return connection


def external(url: str) -> RabbitMQ:
    """The user's own server, which is only spoken to. Raises BrokerUnreachable with the reason, never showing the password."""
    try:
        with contextlib.closing(connected(url)) as connection:
            return RabbitMQ(url, version=str(connection.server_properties.get("version", "unknown")))
    except (OSError, amqp.AMQPError, ValueError) as error:
        raise BrokerUnreachable(
            f"the broker at {shown(url)} does not answer: {error}",
            remedy="start it, or check host, port, password and virtual host in --broker; without it a private one is used",
        ) from error


def program() -> Path | None:
    """The script that starts a server, of whatever user; None if there is none, or no Erlang."""
    found = shutil.which("rabbitmq-server", path=f"{SCRIPTS}:{os.environ.get('PATH', '')}:{ELSEWHERE}")
    return Path(found) if found and shutil.which("erl", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin") else None


def lacking() -> str:
    """Why none can be started here, as a part of a sentence; '' if one can."""
    return "" if program() else "no rabbitmq-server is installed here"


@contextmanager
def embedded(folder: Path, stopped: Callable[[], bool] = lambda: False, *, more: str = "") -> Iterator[RabbitMQ]:
    """A RabbitMQ for the length of the block; its log, configuration and data stand in `folder`. `more`: further settings, as
    Erlang's terms: '{consumer_timeout, 1000}'. Raises BrokerUnreachable, also if it is `stopped` before it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    server = _start(folder.resolve(), more)
    try:
        _await(server, folder, stopped)
        yield server
    finally:
        if server.process is not None:
            server.process.kill()  # it keeps nothing that anybody wants


def restarted(server: RabbitMQ, stopped: Callable[[], bool] = lambda: False, *, keeps: bool = True) -> None:
    """Start an embedded server again, which has been killed: as it was, and without its data unless it `keeps` them. Raises
    BrokerUnreachable."""
    assert server.command is not None
    folder = server.command.folder
    if not keeps:
        shutil.rmtree(folder / "data", ignore_errors=True)
    server.process = server.command.run()
    _await(server, folder, stopped)


def _await(server: RabbitMQ, folder: Path, stopped: Callable[[], bool]) -> None:
    server.version = _version(server, stopped)
    if not server.version:
        raise BrokerUnreachable(
            f"the RabbitMQ that is installed here did not answer within {START_LIMIT_S:.0f} s, or ended",
            remedy="read its log",
            evidence=str(folder / "rabbitmq.log"),
        )


def _start(folder: Path, more: str) -> RabbitMQ:
    script = program()
    if script is None:
        raise BrokerUnreachable(lacking(), remedy="install it: apt-get install rabbitmq-server")
    port, http_port, node_port, mapper_port = (free_port() for _ in range(4))
    password = secrets.token_urlsafe(24)
    configuration = folder / "rabbitmq.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        CONFIGURATION.format(port=port, http_port=http_port, user=USER, password=password, stats_ms=STATS_EVERY_S * 1e3)
    )
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (folder / "env.conf").touch()  # instead of the machine's own
    (folder / "advanced.config").write_text(f"[{{rabbit, [{more}]}}].\n")
    environment = {
        "PATH": f"{script.parent}:{os.environ.get('PATH', '')}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder),
        "RABBITMQ_NODENAME": f"{OUR_NAME}-{port}@localhost", "RABBITMQ_DIST_PORT": str(node_port),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"), "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"), "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder), "RABBITMQ_LOGS": "-", "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": DISTRIBUTION.format(port=node_port),
        "ERL_EPMD_PORT": str(mapper_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the server, instead of waiting for it
    }  # fmt: skip
    command = Command(script=script, folder=folder, environment=environment)
    return RabbitMQ(f"amqp://{USER}:{password}@127.0.0.1:{port}//", command.run(), http_port=http_port, command=command)


def _version(server: RabbitMQ, stopped: Callable[[], bool]) -> str:
    """As it says itself, once it takes connections; '' if it does not in time."""
    from harness.broker.rabbitmq_view import answers

    until = time.monotonic() + START_LIMIT_S
    assert server.process is not None
    while server.process.poll() is None and time.monotonic() < until and not stopped():
        with contextlib.suppress(OSError, amqp.AMQPError), contextlib.closing(server.connect()) as connection:
            if answers(server):
                return str(connection.server_properties.get("version", "unknown"))
        time.sleep(0.1)
    return ""
