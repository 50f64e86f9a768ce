"""Make a defect happen, up to so many times, and ask `harness why` what it is: a record for each."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import Exit, HarnessError, NotPermitted
from harness.machine import processes
from harness.places import CHECKOUT
from harness.studies.defects import bench, evidence, setting
from harness.studies.defects.defect import Defect, Expected
from harness.texts import portable

NAMES = (
    "lost_consumer", "half_open", "full_pipe", "own_subtasks", "poison_message", "lock_at_fork", "second_run", "deaf_control",
)  # fmt: skip
TRIES = 50
WHY_LIMIT_S = 120.0
ANSWERS = (Exit.DONE, Exit.STUCK, Exit.WAITS, Exit.CANNOT_SAY)
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What `why` said: `said` is the worker's part of its JSON, `took_s` from the command to the answer."""

    deep: bool
    took_s: float
    said: Mapping[str, Any]
    right: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one defect. `symptom`: '' if it did not happen within the `tries`."""

    name: str
    #: of all that is installed with the worker, by name, and of Python
    versions: Mapping[str, str]
    tries: int
    symptom: str
    #: why the last try could not even begin
    trouble: str = ""
    answers: tuple[Answer, ...] = ()
    #: what could be seen from outside meanwhile, see `evidence`
    seen: Mapping[str, Any] | None = None

    @property
    def right(self) -> bool:
        """Whether `why` named it, with --deep or without."""
        return any(one.right for one in self.answers)


def defect(name: str) -> Defect:
    """The one in the folder of that name."""
    found: Defect = importlib.import_module(f"{__package__}.{name}.defect").DEFECT
    return found


def study(name: str, *, home: Path, tries: int = TRIES, python: Path | None = None, say: Callable[[str], None]) -> Outcome:
    """Try one defect until it happens. `home`: where environments are; `python`: one that is there already."""
    one, app = defect(name), HERE / name
    interpreter = python or setting.environment(app / "requirements.txt", home)
    outcome = Outcome(name=one.name, versions=_versions(interpreter), tries=0, symptom="")
    for number in range(1, tries + 1):
        say(f"{one.name}: try {number} of at most {tries}")
        outcome = _once(one, app, interpreter, replace(outcome, tries=number))
        if outcome.symptom:
            break
    return outcome


def _versions(python: Path) -> dict[str, str]:
    return {"python": setting.version(python), **setting.installed(python)}


def _once(one: Defect, app: Path, python: Path, outcome: Outcome) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="harness-defect-") as folder,
        bench.ready(python=python, app=app, folder=Path(folder), options=one.options, variables=one.variables) as stand,
    ):
        try:
            symptom = one.provoke(stand)
        except NotPermitted:
            raise
        except HarnessError as error:  # of a machine that was too busy, say: the next try may do
            return replace(outcome, trouble=portable(str(error)))
        if not symptom or not stand.alive():
            return outcome
        answers = tuple(_asked(one, stand, deep=deep) for deep in (False, True))
        return replace(outcome, symptom=symptom, answers=answers, seen=evidence.gathered(stand))


def _asked(one: Defect, stand: bench.Bench, *, deep: bool) -> Answer:
    """Run the command as a user would. It reads the broker's URL from the worker's own variables."""
    argv = [sys.executable, "-m", "harness.cli", "why", str(stand.main), "--json"]
    begin = time.monotonic()
    variables = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(CHECKOUT), "HOME": str(stand.folder)}
    done = processes.run([*argv, *(["--deep"] if deep else [])], env=variables, limit_s=WHY_LIMIT_S, cwd=stand.folder)
    took_s = round(time.monotonic() - begin, 1)
    if done.returncode not in ANSWERS:
        raise HarnessError(f"harness why failed: {done.stderr[-500:]}")
    said: dict[str, Any] = json.loads(done.stdout)["workers"][0]
    return Answer(deep=deep, took_s=took_s, said=said, right=is_right(one.expected, said))


def is_right(expected: Expected, said: Mapping[str, Any]) -> bool:
    """Whether an answer names state and cause, and says each of the words.

    >>> expected = Expected(states=frozenset({"stuck"}), causes=frozenset({"deadlock"}), words=("held by",))
    >>> is_right(expected, {"state": "stuck", "cause": "deadlock", "support": ["held by thread 7"]})
    True
    >>> is_right(expected, {"state": "works", "cause": "deadlock", "support": ["held by thread 7"]})
    False
    """
    text = json.dumps(said)
    return (
        said["state"] in expected.states and said["cause"] in expected.causes and all(word in text for word in expected.words)
    )


def machine() -> str:
    """Of the record: the kernel and the processor's kind."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"
