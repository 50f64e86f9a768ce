"""The Celery workers of this machine, by their command lines in /proc. Nothing is asked of a process."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.live import broker_urls
from harness.machine import containers, procfs
from harness.machine.procfs import ProcessStat

#: as setproctitle shows a worker and its children (celery/platforms.py, set_process_title)
TITLE = re.compile(r"^\[celeryd: (?P<name>[^\]]*?):(?P<part>[^\]:]+)\].*?(?:\((?P<arguments>(?:.* )?worker(?: .*)?)\))?$")
PYTHON = re.compile(r"^(python|pypy)[\d.]*$")
WITH_VALUE = ("-W", "-X")  # options of Python's own
#: Celery's options that may stand before its command, with a value (celery/bin/celery.py), which may be a command's name
CELERYS = ("-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir")
COMMANDS = frozenset(
    ("worker", "beat", "events", "flower", "inspect", "control", "status", "multi", "shell", "purge", "list", "call", "migrate",
     "graph", "report", "result", "upgrade", "logtool", "amqp", "help")
)  # fmt: skip
NAMES = {"processes": "prefork", "prefork": "prefork", "threads": "threads", "solo": "solo", "gevent": "gevent",
         "eventlet": "eventlet"}  # fmt: skip
LOOPBACK = re.compile(r"^[\w+]+://([^@/]*@)?(localhost|127\.[\d.]+|\[::1\])?([:/]|$)")  # also of no host at all
URLS, RESULTS = ("CELERY_BROKER_URL", "BROKER_URL"), ("CELERY_RESULT_BACKEND", "RESULT_BACKEND")


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker as its command line describes it: '' and 0 for what that does not say. `broker` and `results`: URLs, with their
    passwords. `first`: it is process 1 of its PID namespace; `apart`: it is in another network namespace than we."""

    main: int
    known: bool = False  # it is one by its command line
    pool: str = ""
    concurrency: int = 0
    hostname: str = ""
    app: str = ""
    broker: str = ""
    results: str = ""
    first: bool = False
    apart: bool = False

    @property
    def restart(self) -> str:
        """How it is restarted if it does not end when it is asked to."""
        if not self.first:
            return "restart the worker with kill -9"
        inside = self.main == 1  # then it is we who are in there with it
        return (
            "restart the worker's container, whose process 1 it is "
            f"({'kill -9 does nothing to that from inside' if inside else f'kill -9 {self.main} from here does that, too'})"
        )

    @property
    def nodes(self) -> tuple[str, ...]:
        """What its node may be called, 'celery@box': by its title, else by -n and the machine's name, as it is here or in the
        container, see celery/utils/nodenames.py."""
        hosts = dict.fromkeys((os.uname().nodename, procfs.variables(self.main).get("HOSTNAME", "")))
        return tuple(node_of(self.hostname, host) for host in hosts if host)

    @property
    def broker_here(self) -> str:
        """The URL of its broker, of several the one that it is connected to, if that leads to the same place from here."""
        url = broker_urls.of(self.broker, self.main)
        return "" if self.apart and LOOPBACK.search(url) else url

    def tree(self) -> list[ProcessStat]:
        """Its processes now, the main one first; none once it has ended."""
        main = procfs.process(self.main)
        return [main, *procfs.tree(self.main)] if main else []


def workers() -> list[Worker]:
    """All that can be seen from here."""
    mains = {main for pid in procfs.numbers("/proc") if (main := main_of(pid))}
    return [described(pid) for pid in sorted(mains)]


def main_of(pid: int) -> int:
    """The main process of the worker that this process belongs to; 0 if it belongs to none that is recognised."""
    found, seen = 0, 0
    while pid > 0 and seen < 8:  # a child, or something that a task has started
        if is_worker(command(pid)):
            found = pid
        elif found:
            break
        stat = procfs.process(pid)
        pid, seen = (stat.parent if stat else 0), seen + 1
    return found


def described(pid: int) -> Worker:
    """What the command line of a main process says."""
    argv, words = command(pid), words_of(pid)
    title = TITLE.match(argv[0]) if argv else None
    own = words[_command_at(words) + 1 :]  # the same letters may stand before it, too
    concurrency = option(own, "-c", "--concurrency")
    return Worker(
        main=pid,
        known=is_worker(argv),
        pool=NAMES.get(option(own, "-P", "--pool"), ""),
        concurrency=int(concurrency) if concurrency.isdigit() else 0,
        hostname=title["name"] if title else option(own, "-n", "--hostname"),
        app=option(words, "-A", "--app"),
        broker=option(words, "-b", "--broker") or _url(pid, URLS),
        results=option(words, "--result-backend", "--result-backend") or _url(pid, RESULTS),
        first=containers.is_first(pid),
        apart=containers.is_apart(pid),
    )


def words_of(pid: int) -> list[str]:
    """Celery's part of a worker's command line, also if it shows that in its title alone."""
    return celerys_of(command(pid))


def celerys_of(argv: Sequence[str]) -> list[str]:
    """What stands behind Python, its own options and the program, for those have the same letters.

    >>> celerys_of("python -P -m celery -A shop worker -P gevent".split())
    ['-A', 'shop', 'worker', '-P', 'gevent']
    >>> celerys_of(["[celeryd: celery@box:MainProcess] -active- (-A shop worker -P gevent)"])
    ['-A', 'shop', 'worker', '-P', 'gevent']
    """
    title = TITLE.match(argv[0]) if argv else None
    if not title:
        return _program(argv)[1] if argv and PYTHON.match(PurePosixPath(argv[0]).name) else list(argv[1:])
    try:
        return shlex.split(title["arguments"] or "")
    except ValueError:  # a title is cut off where there is no more room
        return (title["arguments"] or "").split()


def node_of(given: str, host: str) -> str:
    """The name of a node, as Celery makes it of `-n` and of the machine's name.

    >>> node_of("", "box.lan"), node_of("web@%h", "box.lan"), node_of("web", "box"), node_of("%n@%d", "box.lan")
    ('celery@box.lan', 'web@box.lan', 'celery@web', 'box@lan')
    """
    machine, _, domain = host.partition(".")
    name, at, where = given.rpartition("@")
    whole = f"{name or 'celery'}@{where or host}" if at else f"celery@{given or host}"
    for short, full in (("%h", host), ("%n", machine), ("%d", domain)):
        whole = whole.replace(short, full)
    return whole


def gossips(argv: Sequence[str], environ: str) -> bool:
    """Whether it is known that nothing switches a worker's gossip off: Celery takes that from its command line, or from the
    variable that stands for the option (celery/bin/celery.py, auto_envvar_prefix), and from no setting. A process that shows a
    title has written it over its variables.

    >>> gossips(["python", "-m", "celery", "worker"], "A=b"), gossips(["celery", "worker", "--without-gossip"], "A=b")
    (True, False)
    >>> gossips(["celery", "worker"], "CELERY_WORKER_WITHOUT_GOSSIP=1"), gossips(["celery", "worker"], "")
    (False, False)
    >>> gossips(["[celeryd: a@b:MainProcess] -active- (worker -c 2)"], "PATH=/bin"), gossips(["python", "run.py"], "PATH=/bin")
    (False, False)
    """
    told = "worker" in argv and "--without-gossip" not in argv
    return told and bool(environ) and "CELERY_WORKER_WITHOUT_GOSSIP=" not in environ


def command(pid: int) -> list[str]:
    """The command line of a process; [] if it has none, or may not be read."""
    return (procfs.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0")


def is_worker(argv: Sequence[str]) -> bool:
    """Whether a command line starts a Celery worker, and is not that of a program which starts one.

    >>> is_worker(["/v/bin/python", "-m", "celery", "-A", "shop", "worker"]), is_worker(["python3", "/v/bin/celery", "worker"])
    (True, True)
    >>> is_worker(["timeout", "60", "celery", "worker"]), is_worker(["/v/bin/python", "-m", "celery", "-A", "shop", "beat"])
    (False, False)
    >>> [is_worker(["python", "celery", "-A", *words.split()]) for words in ("worker beat", "beat worker")]
    [False, True]
    """
    if not argv:
        return False
    if title := TITLE.match(argv[0]):
        return title["part"] == "MainProcess" or title["part"].startswith(("ForkPoolWorker", "SpawnPoolWorker"))
    if not PYTHON.match(PurePosixPath(argv[0]).name):
        return False
    program, words = _program(argv)
    return PurePosixPath(program).name == "celery" and command_of(words) == "worker"


def is_another(argv: Sequence[str]) -> bool:
    """Whether a command line is that of another program of Celery's than a worker.

    >>> [is_another(["python", "celery", "-A", "shop", *words.split()]) for words in ("beat", "events --dump", "worker -B")]
    [True, True, False]
    >>> is_another(["python", "run.py", "beat"])
    False
    """
    if not argv or not PYTHON.match(PurePosixPath(argv[0]).name):
        return False
    program, words = _program(argv)
    return PurePosixPath(program).name == "celery" and command_of(words) not in ("", "worker", "multi")


def _program(argv: Sequence[str]) -> tuple[str, list[str]]:
    """What a Python runs, and the words that it gives to that."""
    rest = list(argv[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        rest = rest[2:] if rest[0] in WITH_VALUE else rest[1:]
    return (rest[1], rest[2:]) if rest[:1] == ["-m"] and len(rest) > 1 else ((rest or [""])[0], rest[1:])


def command_of(words: Sequence[str]) -> str:
    """Celery's command in its command line; '' if there is none."""
    place = _command_at(words)
    return words[place] if place >= 0 else ""


def _command_at(words: Sequence[str]) -> int:
    """Where Celery's command stands; -1 if there is none."""
    values = {place + 1 for place, word in enumerate(words) if word in CELERYS}
    return next((place for place, word in enumerate(words) if word in COMMANDS and place not in values), -1)


def option(words: Sequence[str], short: str, long: str) -> str:
    """The value of an option in a command line, in any of its spellings; '' if it is not there.

    >>> [option(words.split(), "-P", "--pool") for words in ("-P solo", "-Psolo", "--pool=solo", "--pool solo", "-A solo")]
    ['solo', 'solo', 'solo', 'solo', '']
    """
    for place, word in enumerate(words):
        if word in (short, long):
            return words[place + 1] if place + 1 < len(words) else ""
        if word.startswith(f"{long}="):
            return word.partition("=")[2]
        if word.startswith(short) and not word.startswith("--") and len(word) > len(short):
            return word[len(short) :]
    return ""


def _url(pid: int, names: Sequence[str]) -> str:
    variables = procfs.variables(pid)
    return next((variables[name] for name in names if variables.get(name)), "")
