"""How a pasted worker is launched: all of its line that stands before the words of `celery` itself. Pure.

    cd /srv/p && sudo -u www env OMP_NUM_THREADS=1 /srv/venv/bin/python -m celery …

`written` has made words of the text, wherever it is from; what follows the program is read by `worker_line`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import NamedTuple

from harness.applications.probe import written
from harness.applications.probe.written import EXAMPLE, SHELLS
from harness.errors import BadInput


class Wrapper(NamedTuple):
    """What stands between a wrapper's name and the command that it starts: options with a value, and other words."""

    valued: str = ""
    words: int = 0


SILENT = ("exec", "nohup", "env", "command", "time")  # they change nothing that is measured
RUN = Wrapper("--with --python -p --env-file --extra --group --package --project --directory -n --name -m --app-id", 1)
OTEL = Wrapper("--traces_exporter --metrics_exporter --logs_exporter --service_name --resource_attributes")
RUNNERS = dict.fromkeys(("uv", "poetry", "pipenv", "pdm", "hatch", "rye", "conda", "mamba"), RUN)  # `uv run celery …`
WRAPPERS = {
    **dict.fromkeys(SILENT, Wrapper()), **RUNNERS,
    "exec": Wrapper("-a"), "env": Wrapper("-u --unset -C --chdir"),
    "sudo": Wrapper("-u -g -h -p -C -r -t -T -U -D -R --user --group --chdir"), "doas": Wrapper("-u -C"),
    "nice": Wrapper("-n --adjustment"), "ionice": Wrapper("-c -n --class --classdata"), "taskset": Wrapper("", 1),
    "chrt": Wrapper("", 1), "numactl": Wrapper("-C -N -m -i -l"), "stdbuf": Wrapper("-i -o -e"), "timeout": Wrapper("-s -k", 1),
    "setsid": Wrapper(), "setarch": Wrapper("", 1), "tini": Wrapper("-p -e"), "dumb-init": Wrapper("-r --rewrite"),
    "catatonit": Wrapper(), "gosu": Wrapper("", 1), "su-exec": Wrapper("", 1), "setuser": Wrapper("", 1),
    "chpst": Wrapper("-u -U -b -e -/ -n -m -d -o -p -f -c -t"), "envdir": Wrapper("", 1), "s6-setuidgid": Wrapper("", 1),
    "watchmedo": Wrapper("-d -p -i --directory --pattern --patterns --ignore-patterns --signal --kill-after", 1),
    "watchfiles": Wrapper("--filter --args --target-type", 0), "ddtrace-run": Wrapper(), "opentelemetry-instrument": OTEL,
    "newrelic-admin": Wrapper("", 1), "dotenv": Wrapper("-f --file", 1), "doppler": Wrapper("-p -c", 1), "op": Wrapper("", 1),
}  # fmt: skip
ASSIGNED = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)
PYTHON = re.compile(r"(?:python|pypy)\d*(?:\.\d+)?")
VALUED_OF_PYTHON = ("-W", "-X", "--check-hash-based-pycs")
OF_NO_MATTER = ("-u", "-b", "-B", "-q")  # of Python
RUNS = re.compile(r"-(?P<flags>[A-Za-z]*)[mc]")  # the last flag of Python, alone or behind others: -m, -um
FOLDER_ON_PATH = ("opentelemetry-instrument",)  # puts the folder into PYTHONPATH: there a script imports what a module does


@dataclass(frozen=True, kw_only=True)
class Launch:
    """`python`: the interpreter, `folder`: where it is started; '' if the line does not say. `script`: the program is `celery`,
    not `python -m celery`. `words`: what follows the program; `doubled`: characters that stand there twice, see
    `written.Written`."""

    python: str = ""
    folder: str = ""
    script: bool = False
    assigned: dict[str, str]
    left_out: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    doubled: str = ""


def read(text: str) -> Launch:
    """Raises BadInput."""
    found = written.read(text)
    launch = Launch(assigned={}, doubled=found.doubled)
    for command in found.commands[:-1]:
        launch = _entered(launch, command)
    return _started(found.commands[-1], launch)


def _entered(launch: Launch, command: Sequence[str]) -> Launch:
    """With what a command before the worker's says: `cd DIR`, `source venv/bin/activate`, `export NAME=value`."""
    first, rest = command[0], command[1:]
    if first in ("cd", "pushd") and len(rest) == 1:
        return replace(launch, folder=below(launch.folder, _filled(rest[0], "cd")))
    if first in ("source", ".") and len(rest) == 1 and rest[0].endswith("/bin/activate"):
        return replace(launch, python=below(launch.folder, str(PurePosixPath(_filled(rest[0], first)).with_name("python"))))
    if first == "set" and rest and all(word[0] in "+-" or word == "pipefail" for word in rest):
        return launch
    assigned = rest if first == "export" else command
    if assigned and all(ASSIGNED.fullmatch(word) for word in assigned):
        return _after_assignments(assigned, launch)[1]
    file = first in ("source", ".") and len(rest) == 1
    raise BadInput(
        f"--worker: {shlex.join(command)!r} is not understood",
        remedy=f"leave it out, and name the file: --env-file {rest[0]}" if file else f"leave it out; {EXAMPLE}",
    )


def _after_assignments(words: Sequence[str], launch: Launch) -> tuple[list[str], Launch]:
    """What follows the variables in front, and the launch with these."""
    rest, found = list(words), dict(launch.assigned)
    while rest and (told := ASSIGNED.fullmatch(rest[0])):
        found[told["name"]] = written.once(told["value"], launch.doubled)
        rest.pop(0)
    return rest, replace(launch, assigned=found)


def _started(words: Sequence[str], launch: Launch) -> Launch:
    """With the program, which is `celery` or an interpreter that runs it, behind variables and wrappers. Raises BadInput."""
    rest, launch = _after_assignments(words, launch)
    program = rest[0] if rest else ""
    name = PurePosixPath(program).name
    if name == "celery":
        python = below(launch.folder, str(PurePosixPath(_filled(program, name)).with_name("python"))) if "/" in program else ""
        return replace(launch, python=python or launch.python, script=True, words=tuple(rest[1:]))
    if PYTHON.fullmatch(name) and (found := _by_python(rest, launch)):
        return found
    if name in SHELLS and (inner := _of_shell(rest)):
        read = written.read(inner)
        for command in read.commands[:-1]:
            launch = _entered(launch, command)
        return _started(read.commands[-1], launch)
    if name in WRAPPERS or "--" in rest[:-1]:
        return _wrapped(rest, launch)
    later = next((word for word in rest[1:] if PurePosixPath(word).name == "celery"), "")
    raise BadInput(
        f"--worker: the line does not begin with celery, but with {program or 'nothing'!r}",
        remedy=f"paste it from {later!r} on, if what stands before changes nothing of the worker" if later else EXAMPLE,
    )


def _by_python(words: Sequence[str], launch: Launch) -> Launch | None:
    """`python [flags] -m celery …`, or `python [flags] venv/bin/celery …` as `ps` shows it; None if it runs something else."""
    rest, flags = list(words[1:]), list[str]()
    while rest and rest[0].startswith("-") and not RUNS.fullmatch(rest[0]):
        flags.append(rest.pop(0))
        if flags[-1] in VALUED_OF_PYTHON and rest:
            flags[-1] = f"{flags[-1]} {rest.pop(0)}"
    runs = RUNS.fullmatch(rest[0]) if rest else None
    module = runs is not None and rest.pop(0).endswith("m")
    flags += [f"-{letter}" for letter in runs["flags"]] if runs else []
    if not rest or (rest[0] if module else PurePosixPath(rest[0]).name) != "celery" or (runs and not module):
        return None
    program = _filled(words[0], "the interpreter")
    python = below(launch.folder, program) if "/" in program else launch.python or program
    said = [f"{flag} of Python is left out: a trial's worker has it not" for flag in flags if flag not in OF_NO_MATTER]
    return replace(launch, python=python, script=not module, words=tuple(rest[1:]), left_out=(*launch.left_out, *said))


def _of_shell(words: Sequence[str]) -> str:
    """The text of `sh -c 'TEXT'`; '' if it is none."""
    for number, word in enumerate(words[1:-1], start=1):
        if re.fullmatch(r"-[a-z]*c", word):
            return words[number + 1]
        if not word.startswith("-"):
            break
    return ""


def _wrapped(words: Sequence[str], launch: Launch) -> Launch:
    """Behind a wrapper, which is left out and named. Raises BadInput if it does not start what it is known to."""
    name = PurePosixPath(words[0]).name
    kind = WRAPPERS.get(name)
    rest, others = list(words[1:]), kind.words if kind else len(words)
    valued = kind.valued.split() if kind else ()
    while rest and (rest[0].startswith("-") or others > 0):
        word = rest.pop(0)
        if word == "--":
            break
        if not word.startswith("-"):
            others -= 1
        elif word in valued and rest:
            rest.pop(0)
    taken = shlex.join(words[: len(words) - len(rest)])
    if name in RUNNERS:
        said = [f"{taken} chooses an interpreter: name that one by --python"]
    else:
        said = [] if taken == words[0] and name in SILENT else [f"{taken} is left out: a trial's worker is started without it"]
    started = _started(rest, replace(launch, left_out=(*launch.left_out, *said)))
    return replace(started, script=started.script and name not in FOLDER_ON_PATH)


def _filled(path: str, what: str) -> str:
    if "$" in path:
        raise BadInput(f"--worker: nobody has filled in the $ of {what}: {path}", remedy="write what your shell puts there")
    return path


def below(folder: str, path: str) -> str:
    """
    >>> below("/srv", "venv/bin/python"), below("~/p", "~/venv/bin/python"), below("", "p")
    ('/srv/venv/bin/python', '~/venv/bin/python', 'p')
    """
    return path if not folder or path.startswith("~") else str(PurePosixPath(folder, path))
