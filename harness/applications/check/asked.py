"""The application's own interpreter, asked what a fork would lose; and, with a task, made to call it with and without a fork.

What runs there is `harness.worker.fork_look`. It ends when this does, and at the time limit, whatever it does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import broker
from harness.applications.check.static.limits import Line
from harness.applications.probe.remedies import remedy_of
from harness.errors import BadInput, HarnessError
from harness.machine.processes import OwnedProcess, signal_name
from harness.texts import visible, without_secrets
from harness.trial.application import Application
from harness.worker import spec

LOOK_EVERY_S = 0.1
MODULE = "harness.worker.fork_look"
#: the seed: alike in all processes, so that an order by hashes is alike, too. Celery makes no worker with pickle for root
FIXED = {"PYTHONHASHSEED": "0", "C_FORCE_ROOT": "1"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """`variables`: all that the application is started with. `task`: '' if none is to be called. `limit_s`: of the import, and
    of all calls; `call_s`: of one call without a fork."""

    app: str
    python: Path
    folder: Path
    variables: Mapping[str, str]
    task: str = ""
    rows: Sequence[Any] = ()
    limit_s: float = 60.0
    call_s: float = 10.0
    line: Line = field(default_factory=Line)  # what the worker's own line says


@dataclass(kw_only=True)
class Answers:
    """The lines of one process so far. `process`: while it may run."""

    process: OwnedProcess
    path: Path
    log: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    _read: int = 0

    def read(self) -> None:
        """Take what has come since."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self.lines += [json.loads(line) for line in whole[self._read :].splitlines()]
        self._read = len(whole)

    def first(self, key: str) -> dict[str, Any] | None:
        return next((line for line in self.lines if key in line), None)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        ended = self.process.poll() is not None
        self.read()
        return ended


@contextmanager
def asking(question: Question, scratch: Path, forks: Sequence[int]) -> Iterator[list[Answers]]:
    """A process for each number of forks (0: it calls without a fork), all with one private broker; ended with the block."""
    with ExitStack() as stack:
        server = stack.enter_context(broker.embedded(scratch / "broker"))
        application = Application(
            app=question.app, tasks=(question.task,), python=question.python, folder=question.folder,
            own_variables=question.variables, rows=Path(),
        )  # fmt: skip
        variables = {**application.variables(server.url), **FIXED}
        yield [
            stack.enter_context(_started(question, scratch / f"{place}", count, variables)) for place, count in enumerate(forks)
        ]


@contextmanager
def _started(question: Question, folder: Path, forks: int, variables: Mapping[str, str]) -> Iterator[Answers]:
    folder.mkdir()
    asked, out, log = folder / "question.json", folder / "answers.jsonl", folder / "log"
    asked.write_text(json.dumps(spec.for_check(app=question.app, task=question.task, rows=question.rows, forks=forks)))
    argv = [str(question.python), "-m", MODULE, str(asked), str(out)]
    with OwnedProcess(argv, log=log, env=variables, cwd=question.folder) as process:
        yield Answers(process=process, path=out, log=log)


def until(answers: Sequence[Answers], done: Callable[[], bool], limit_s: float) -> bool:
    """Read until this is so, or all of them are over; whether it is so before the time limit."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        over = [one.over for one in answers]
        if done() or all(over):
            return done()
        time.sleep(LOOK_EVERY_S)
    return False


def imported(one: Answers, question: Question) -> dict[str, Any]:
    """What the application says of itself. Raises BadInput if it cannot be imported, HarnessError if that does not end."""
    until([one], lambda: bool(one.first("imported") or one.first("failed")), question.limit_s)
    one.read()
    told, failed, evidence = one.first("imported"), one.first("failed"), _last(one.log)
    if told is not None:
        found: dict[str, Any] = told["imported"]
        return found
    if failed is not None:
        said = shown(str(failed["failed"]))
        named = said.startswith("LookupError: the ")  # about a name: what the log ends with is of something else
        remedy = remedy_of(said, question.app, question.python, question.folder)
        raise BadInput(said, remedy=remedy, evidence="" if named else evidence)
    if one.process.poll() is None:
        raise HarnessError(
            f"the application was not imported within {question.limit_s:g} s",
            remedy="a longer --limit-s, or --static, which imports nothing", evidence=evidence,
        )  # fmt: skip
    raise BadInput(
        f"the application's interpreter ended with {signal_name(one.process.poll())} before it told anything",
        remedy="is Celery 4.4 or later installed there, and does --app import in --cwd?", evidence=evidence,
    )  # fmt: skip


def was_imported(one: Answers, question: Question) -> bool:
    """Whether the application was imported there, once that is known."""
    return until([one], lambda: bool(one.first("imported")), question.limit_s)


def looked(one: Answers, limit_s: float) -> dict[str, Any]:
    """What the fork showed. Raises HarnessError if it did not come to that."""
    until([one], lambda: bool(one.first("threads") or one.first("failed")), limit_s)
    found = one.first("threads")
    if found is None:
        told = one.first("failed") or {"failed": f"nothing was told within {limit_s:g} s"}
        raise HarnessError(f"the look at a fork did not end: {shown(str(told['failed']))}", evidence=_last(one.log))
    return found


def _last(log: Path) -> str:
    """The end of its log: the folder that it stands in is gone by the time one could read it."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "its last lines:\n    " + "\n    ".join(map(shown, lines[-4:])) if lines else ""


def shown(text: str) -> str:
    """What an application says, without passwords and signs that act on a terminal."""
    return visible(without_secrets(text))
