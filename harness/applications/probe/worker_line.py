"""A worker's own command line, pasted as it is: what of it a probe takes over, and what not, in words. Pure.

    OMP_NUM_THREADS=1 /srv/venv/bin/celery -A proj worker --pool gevent -c 50 -Q a,b --max-tasks-per-child 100

What a probe has options for becomes these: the application, the interpreter, the folder, the pool and the concurrency. Every
other option of the worker is handed on as the variable that Celery 5 reads it from (`harness.worker.own_variables`), so that
it beats the settings as it does on the line; what becomes of such a variable in a trial stands there, in one table.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

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
NUMBERS = {
    "--prefetch-multiplier", "--time-limit", "--soft-time-limit", "--max-tasks-per-child", "--max-memory-per-child",
    "--heartbeat-interval", "--concurrency",
}  # fmt: skip
POOL_NAMES = {"processes": "prefork", **{name: name for name in POOLS if not POOLS[name].spawned}}
#: variables that are not called like the option (celery/bin/celery.py, 5.0 to 5.7)
CALLED = {"--loader": "LOADER", "--config": "CONFIG_MODULE"}
#: why an option is left out that is none of the worker's variables
WHY = {
    "--broker": "each trial has a private broker", "--result-backend": "each trial has a private broker",
    "--pool": "it is none that Celery brings", "--pool-start-method": "children are forked or spawned here",
    "--schedule-filename": "no beat runs", "--scheduler": "no beat runs", "--umask": "it is of a worker that is detached",
    "--executable": "it is of a worker that is detached", "--autoscale": "the number of executors is not scaled",
}  # fmt: skip
SERVERS = {"broker": "--broker", "backend": "--result-backend"}  # of which the kind is taken
OF_NO_MATTER = ("--no-color", "--quiet", "--skip-checks", "--without-mingle")  # of the last, each trial has it anyway
RUNNERS = ("uv", "poetry", "pipenv", "pdm", "hatch", "rye")  # `uv run celery …`
FORERUNNERS = ("exec", "nohup", "env", "command", "time")  # `exec celery …`: they change nothing that is measured
ASSIGNED = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)
EXEC_START = re.compile(r"\s*(?:\$\s+|ExecStart\s*=\s*)?[-@:+!]*")  # a prompt, or a unit of systemd
SUBSTITUTED, QUOTED = re.compile(r"\$\(|`"), re.compile(r"'[^']*'")  # what a shell would run; but for this
UNFILLED = re.compile(r"\$[{(]?\w+|%[a-zA-Z]")  # by a shell, or by systemd
PYTHON = re.compile(r"(?:python|pypy)\d*(?:\.\d+)?")
SIGNS = "&|;<>()"  # of a shell: a word of them alone is no argument
EXAMPLE = (
    "such as --worker 'celery -A proj worker --pool gevent -c 50'; 'ps -ww -o args= -p PID' prints that of a worker that runs"
)


@dataclass(frozen=True, kw_only=True)
class WorkerLine:
    """`python`: the interpreter beside the program, `folder`: where it is started; '' if the line does not say. `pool`: as we
    call it, '' if it is none of ours. `concurrency`: None for as many as cores. `assigned`: variables in front of the line;
    `options`: what is kept, by name, flags with ''; `left_out`: what is not, a sentence each."""

    app: str = ""
    python: str = ""
    folder: str = ""
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
    def queues(self) -> list[str]:
        """Those that the worker consumes; none if the line does not say."""
        return [each.strip() for each in self.options.get("--queues", "").split(",") if each.strip()]

    def without(self, option: str) -> WorkerLine:
        return replace(self, options={name: value for name, value in self.options.items() if name != option})


def variable(option: str) -> str:
    """
    >>> variable("--max-tasks-per-child"), variable("--config")
    ('CELERY_WORKER_MAX_TASKS_PER_CHILD', 'CONFIG_MODULE')
    """
    return CALLED.get(option) or own_variables.PREFIX + option.strip("-").replace("-", "_").upper()


def parse(text: str) -> WorkerLine:
    """Read the line. Raises BadInput."""
    *before, words = _commands(text)
    line = WorkerLine()
    for command in before:
        line = _entered(line, command)
    words, line = _after_assignments(words, line)
    words, line = _after_program(words, line)
    return _settled(line, list(_options(words)))


def _commands(text: str) -> list[list[str]]:
    """The words of each command of `cd proj && celery …`."""
    if SUBSTITUTED.search(QUOTED.sub("", text)):
        raise BadInput(
            "--worker: the line has a command in it, as $(nproc), and no shell fills that in",
            remedy="write what your shell puts there: 'echo' prints it",
        )
    bare = EXEC_START.sub("", text.replace("\\\n", " "), count=1)
    lexer = shlex.shlex(bare, posix=True, punctuation_chars=SIGNS)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise BadInput(f"--worker: a quotation mark is not closed in {text!r}", remedy=EXAMPLE) from error
    if words and words[-1] == "&":
        words.pop()
    found: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            found.append([])
        elif word and set(word) <= set(SIGNS):
            raise BadInput(
                f"--worker: the line holds {word!r}", remedy="leave out what does not belong to the worker's own command"
            )
        else:
            found[-1].append(word)
    if not all(found):
        raise BadInput("--worker: there is no command line", remedy=EXAMPLE)
    return found


def _entered(line: WorkerLine, command: Sequence[str]) -> WorkerLine:
    """With what a command before the worker's says: `cd DIR`, `source venv/bin/activate`, `export NAME=value`."""
    first, rest = command[0], command[1:]
    if first == "cd" and len(rest) == 1:
        return replace(line, folder=str(PurePosixPath(line.folder, rest[0])))
    if first in ("source", ".") and len(rest) == 1 and rest[0].endswith("/bin/activate"):
        return replace(line, python=_below(line.folder, str(PurePosixPath(rest[0]).with_name("python"))))
    if first == "export" and rest and all(ASSIGNED.fullmatch(word) for word in rest):
        return _after_assignments(rest, line)[1]
    raise BadInput(f"--worker: {shlex.join(command)!r} is not understood", remedy=f"leave it out; {EXAMPLE}")


def _after_assignments(words: Sequence[str], line: WorkerLine) -> tuple[list[str], WorkerLine]:
    """What follows the variables in front, and the line with these."""
    rest, found = list(words), dict(line.assigned)
    while rest:
        told = ASSIGNED.fullmatch(rest[0])
        if told is None and PurePosixPath(rest[0]).name not in FORERUNNERS:
            break
        if told is not None:
            found[told["name"]] = told["value"]
        rest.pop(0)
    return rest, replace(line, assigned=found)


def _after_program(words: Sequence[str], line: WorkerLine) -> tuple[list[str], WorkerLine]:
    """What follows `celery`, `python -m celery` or `uv run celery`, and the line with its interpreter."""
    rest, said = list(words), line.left_out
    if len(rest) > 1 and PurePosixPath(rest[0]).name in RUNNERS and rest[1] == "run":
        said = (*said, f"{shlex.join(rest[:2])} chooses an interpreter: name that one by --python")
        rest = rest[2:]
    program = rest[0] if rest else ""
    name, python = PurePosixPath(program).name, line.python
    if name == "celery":
        python = _below(line.folder, str(PurePosixPath(program).with_name("python"))) if "/" in program else python
        rest = rest[1:]
    elif PYTHON.fullmatch(name) and rest[1:3] == ["-m", "celery"]:
        python, rest = _below(line.folder, program) if "/" in program else python or program, rest[3:]
    else:
        raise BadInput(f"--worker: the line does not begin with celery, but with {program or 'nothing'!r}", remedy=EXAMPLE)
    return rest, replace(line, python=python, left_out=said)


def _below(folder: str, path: str) -> str:
    return str(PurePosixPath(folder, path)) if folder else path


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, value) of each option, flags with ''. Raises BadInput unless the verb is `worker`, and for an unknown option."""
    rest, verbs = list(words), list[str]()
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            verbs.append(word)
            continue
        if word in ("--help", "--version", "--"):
            raise BadInput(f"--worker: the line holds {word}", remedy=EXAMPLE)
        yield from _one(word, rest)
    if verbs != ["worker"]:
        what = f"calls celery {' '.join(verbs)}" if verbs else "names no verb of celery"
        raise BadInput(f"--worker: the line {what}, and is to call celery worker", remedy=EXAMPLE)


def _one(word: str, rest: list[str]) -> Iterator[tuple[str, str]]:
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
            yield from _one(f"-{value}", rest)
        elif equals:
            raise BadInput(f"--worker: {head} takes no value", remedy=EXAMPLE)
        return
    if not value and not equals:
        if not rest:
            raise BadInput(f"--worker: {head} lacks its value", remedy=EXAMPLE)
        value = rest.pop(0)
    if unfilled := UNFILLED.search(value) if name not in ("--hostname", "--logfile", "--pidfile", "--statedb") else None:
        raise BadInput(
            f"--worker: nobody has filled in {unfilled[0]} of {head} {value}",
            remedy="paste the line as it runs: ps -ww -o args= -p PID",
        )
    if name in NUMBERS and not re.fullmatch(r"\d+(\.\d+)?", value):
        raise BadInput(f"--worker: {head} {value!r} is no number", remedy=EXAMPLE)
    yield name, value


def _settled(line: WorkerLine, options: Sequence[tuple[str, str]]) -> WorkerLine:
    """The line with its options; the last one of a name counts."""
    given, said = dict(options), list(line.left_out)
    line = replace(line, app=given.pop("--app", ""), folder=_below(line.folder, given.pop("--workdir", "")))
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
        count = count or scaled.partition(",")[0]
        said.append(_left("--autoscale", scaled, WHY["--autoscale"]))
    if count and chosen == "solo":
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
