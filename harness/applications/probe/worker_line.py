"""A worker's own command line, pasted as it is: what of it a probe takes over, and what not, in words. Pure.

    OMP_NUM_THREADS=1 /srv/venv/bin/celery -A proj worker --pool gevent -c 50 -Q a,b --max-tasks-per-child 100

What a probe has options for becomes these: the application, the interpreter, the folder, the pool and the concurrency. Every
other option of the worker is handed on as the variable that Celery 5 reads it from (`harness.worker.own_variables`), so that
it beats the settings as it does on the line; what becomes of such a variable in a trial stands there, in one table.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from harness.applications.probe import launch, written
from harness.applications.probe.written import EXAMPLE
from harness.errors import BadInput
from harness.experiment.pools import POOLS
from harness.worker import own_variables
from harness.worker.own_broker import scheme

#: options of `celery` and of `celery worker`, 4.4 to 5.7, by the name that is the last of its spellings
VALUED = {
    "--app": ("-A",), "--broker": ("-b",), "--result-backend": (), "--loader": (), "--config": (), "--workdir": (),
    "--hostname": ("-n",), "--statedb": ("-S",), "--loglevel": ("-l",), "--optimization": ("-O",), "--prefetch-multiplier": (),
    "--concurrency": ("-c",), "--pool": ("-P",), "--time-limit": (), "--soft-time-limit": (),
    "--max-tasks-per-child": ("--maxtasksperchild",), "--max-memory-per-child": ("--maxmemperchild",),
    "--pool-start-method": (), "--queues": ("-Q",), "--exclude-queues": ("-X",), "--include": ("-I",),
    "--heartbeat-interval": (), "--autoscale": (), "--schedule-filename": ("-s", "--schedule"), "--scheduler": (),
    "--logfile": ("-f",), "--pidfile": (), "--uid": (), "--gid": (), "--umask": (), "--executable": (),
}  # fmt: skip
FLAGS = {
    "--no-color": ("-C",), "--quiet": ("-q",), "--skip-checks": (), "--detach": ("-D",), "--disable-prefetch": (),
    "--task-events": ("-E", "--events"), "--purge": ("--discard",), "--without-gossip": (), "--without-mingle": (),
    "--without-heartbeat": (), "--beat": ("-B",),
}  # fmt: skip
SPELT = {each: name for known in (VALUED, FLAGS) for name, others in known.items() for each in (name, *others)}
WHOLE, SECONDS = (re.compile(r"\d+"), "whole number"), (re.compile(r"\d+(\.\d+)?"), "number")
#: how Celery reads them; `_settled` tells that a concurrency is a whole one
NUMBERS = {
    "--prefetch-multiplier": WHOLE, "--time-limit": SECONDS, "--soft-time-limit": SECONDS, "--max-tasks-per-child": WHOLE,
    "--max-memory-per-child": WHOLE, "--heartbeat-interval": WHOLE, "--concurrency": SECONDS,
    "--autoscale": (re.compile(r"\d+(,\d+)?"), "number of executors, or two"),
}  # fmt: skip
DASHES = tuple("\u2010\u2011\u2012\u2013\u2014\u2212")  # as a word processor makes them of - and --
CHOICES = {"--optimization": ("default", "fair")}
POOL_NAMES = {"processes": "prefork", **{name: name for name in POOLS if not POOLS[name].spawned}}
#: variables that are not called like the option (celery/bin/celery.py, 5.0 to 5.7)
CALLED = {"--loader": "LOADER", "--config": "CONFIG_MODULE"}
#: why an option is left out that is none of the worker's variables
WHY = {
    "--broker": "each trial has a private broker", "--result-backend": "each trial has a private broker",
    "--pool": "it is none that Celery brings", "--pool-start-method": "children are forked or spawned here",
    "--schedule-filename": "no beat runs", "--scheduler": "no beat runs", "--umask": "it is of a worker that is detached",
    "--executable": "it is of a worker that is detached", "--autoscale": "each pool has the most that it names",
}  # fmt: skip
SERVERS = {"broker": "--broker", "backend": "--result-backend"}  # of which the kind is taken
OF_NO_MATTER = ("--no-color", "--quiet", "--skip-checks", "--without-mingle")  # of the last, each trial has it anyway
UNFILLED = re.compile(r"\$[{(]?\w+|%[a-zA-Z]")  # by a shell, or by systemd


@dataclass(frozen=True, kw_only=True)
class WorkerLine:
    """`python`: the interpreter beside the program, `folder`: where it is started; '' if the line does not say. `pool`: as we
    call it, '' if it is none of ours. `concurrency`: None for as many as cores. `assigned`: variables in front of the line;
    `options`: what is kept, by name, flags with ''; `left_out`: what is not, a sentence each."""

    app: str = ""
    python: str = ""
    folder: str = ""
    script: bool = False  # it calls the script `celery`, and not `python -m celery`
    pool: str = "prefork"
    names_pool: bool = False  # else it is Celery's own default, and the settings may say otherwise
    concurrency: int | None = None
    assigned: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    servers: dict[str, str] = field(default_factory=dict)  # kinds of "broker" and "backend" that it names

    @property
    def variables(self) -> dict[str, str]:
        """The assigned ones, and those that Celery reads the kept options from."""
        return {**self.assigned, **{variable(name): value or "true" for name, value in self.options.items()}}

    @property
    def arguments(self) -> list[str]:
        """The kept options, as they stand behind `worker`."""
        given = {name: value for name, value in self.options.items() if name not in CALLED}
        return [word for name, value in given.items() for word in ((name, value) if value else (name,))]

    @property
    def limits(self) -> dict[str, float]:
        """The time limits that it sets, in seconds, as the settings call them."""
        named = {"time_limit": "--time-limit", "soft_time_limit": "--soft-time-limit"}
        return {name: float(self.options[option]) for name, option in named.items() if float(self.options.get(option) or 0)}

    @property
    def queues(self) -> list[str]:
        """Those that the worker consumes; none if the line does not say."""
        return [each.strip() for each in self.options.get("--queues", "").split(",") if each.strip()]

    def without(self, *options: str) -> WorkerLine:
        return replace(self, options={name: value for name, value in self.options.items() if name not in options})


def variable(option: str) -> str:
    """
    >>> variable("--max-tasks-per-child"), variable("--config")
    ('CELERY_WORKER_MAX_TASKS_PER_CHILD', 'CONFIG_MODULE')
    """
    return CALLED.get(option) or own_variables.PREFIX + option.strip("-").replace("-", "_").upper()


def parse(text: str) -> WorkerLine:
    """Read the line. Raises BadInput."""
    start = launch.read(text)
    line = WorkerLine(
        python=start.python, folder=start.folder, script=start.script, assigned=start.assigned, left_out=start.left_out
    )
    return _settled(line, list(_options(start.words, start.doubled)))


def _options(words: Sequence[str], doubled: str) -> Iterator[tuple[str, str]]:
    """(name, value) of each option, flags with ''. Raises BadInput unless the verb is `worker`, and for an unknown option."""
    rest, verbs = list(words), list[str]()
    while rest:
        word = rest.pop(0)
        if word[:1] in DASHES:
            raise BadInput(f"--worker: {word!r} begins with a dash that is no hyphen", remedy="write - in its place, or --")
        if not word.startswith("-"):
            verbs.append(word)
            if verbs[0] != "worker":
                _of_other_verb([word, *itertools.takewhile(lambda each: not each.startswith("-"), rest)])
            continue
        if word in ("--help", "--version", "--"):
            raise BadInput(f"--worker: the line holds {word}", remedy=EXAMPLE)
        yield from _one(word, rest, doubled)
    if not verbs:
        raise BadInput("--worker: the line names no verb of celery, and is to call celery worker", remedy=EXAMPLE)
    if len(verbs) > 1:
        raise BadInput(
            f"--worker: the line holds {verbs[1]!r}, which is no option of celery worker", remedy=f"leave it out; {EXAMPLE}"
        )


def _of_other_verb(words: Sequence[str]) -> NoReturn:
    multi = "'celery multi show …' prints the line of each of its workers: paste one of these"
    raise BadInput(
        f"--worker: the line calls celery {' '.join(words)}, and is to call celery worker",
        remedy=multi if words[0] == "multi" else EXAMPLE,
    )


def _one(word: str, rest: list[str], doubled: str) -> Iterator[tuple[str, str]]:
    """What a word that begins with - says; it takes its value from the `rest`."""
    head, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
    name = SPELT.get(head)
    if name is None:
        near = difflib.get_close_matches(head, SPELT, n=1)
        instead = f"if it is to be {near[0]}, write that" if near else "leave it out"
        raise BadInput(f"--worker: {head} is no option of celery worker", remedy=f"{instead}; {EXAMPLE}")
    if name in FLAGS:
        yield name, ""
        if value and not equals:  # -BE
            yield from _one(f"-{value}", rest, doubled)
        elif equals:
            raise BadInput(f"--worker: {head} takes no value", remedy=EXAMPLE)
        return
    if not value and not equals:
        if not rest:
            raise BadInput(f"--worker: {head} lacks its value", remedy=EXAMPLE)
        value = rest.pop(0)
    _check(name, head, value, doubled)
    yield name, written.once(value, doubled)


def _check(name: str, head: str, value: str, doubled: str) -> None:
    """Raises BadInput if Celery would not take this value of an option, `head` on the line."""
    single = value
    for sign in doubled:
        single = single.replace(2 * sign, "")
    if unfilled := UNFILLED.search(single) if name not in ("--hostname", "--logfile", "--pidfile", "--statedb") else None:
        raise BadInput(
            f"--worker: nobody has filled in {unfilled[0]} of {head} {value}",
            remedy="paste the line as it runs: ps -ww -o args= -p PID",
        )
    if name in NUMBERS and not NUMBERS[name][0].fullmatch(value):
        raise BadInput(f"--worker: {head} {value!r} is no {NUMBERS[name][1]}", remedy=EXAMPLE)
    if name in CHOICES and value not in CHOICES[name]:
        known = " or ".join(CHOICES[name])
        raise BadInput(f"--worker: {head} {value!r} is not {known}", remedy="Celery would not take it")


def _settled(line: WorkerLine, options: Sequence[tuple[str, str]]) -> WorkerLine:
    """The line with its options; the last one of a name counts."""
    given, said = dict(options), list(line.left_out)
    line = replace(line, app=given.pop("--app", ""), folder=launch.below(line.folder, given.pop("--workdir", "")))
    named = "--pool" in given
    pool, method = given.pop("--pool", "prefork"), given.pop("--pool-start-method", "")
    chosen = POOL_NAMES.get(pool, "")
    if not chosen:
        said.append(_left("--pool", pool, WHY["--pool"]))
    elif chosen == "prefork" and method == "spawn":
        chosen = "prefork-spawn"
    elif method not in ("", "fork"):
        said.append(_left("--pool-start-method", method, WHY["--pool-start-method"]))
    count = given.pop("--concurrency", "")
    if scaled := given.pop("--autoscale", ""):
        said += [_left("--concurrency", count, "--autoscale wins over it")] if count else []
        count = scaled.partition(",")[0]  # the most, which Celery goes to
        said.append(_left("--autoscale", scaled, WHY["--autoscale"]))
    if count and chosen == "solo" and count != "1":
        said.append(_left("--concurrency", count, "solo has one executor, whatever it says"))
        count = ""
    if count and (not count.isdecimal() or int(count) < 1):
        raise BadInput(f"--worker: a concurrency of {count!r} is no number of executors", remedy=EXAMPLE)
    kept = {}
    for name, value in given.items():
        if why := WHY.get(name) or own_variables.LEFT_OUT.get(variable(name), ""):
            said.append(_left(name, "" if name in ("--broker", "--result-backend") else value, why))
        elif name not in OF_NO_MATTER:
            kept[name] = value
    servers = {kind: scheme(given[name]) for kind, name in SERVERS.items() if given.get(name)}
    return replace(
        line,
        pool=chosen,
        names_pool=named,
        concurrency=int(count) if count else None,
        options=kept,
        left_out=tuple(said),
        servers=servers,
    )


def _left(name: str, value: str, why: str) -> str:
    """'--logfile w.log is left out: the trial keeps the log'; a URL may hold a password, and is not shown."""
    return f"{f'{name} {value}'.strip()} is left out: {why}"
