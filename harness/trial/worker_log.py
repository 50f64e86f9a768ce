"""What a worker's log says: its last line, its last exception, and how it ends if there is none; how many jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.texts import portable
from harness.worker.contract import PHASES

LINE_LENGTH = 300  # of a log's line that is kept
LAST_WORDS = 3  # lines
#: Celery's banner (celery/apps/worker.py, BANNER)
BANNER = re.compile(r"^(\s|-|\*)*(-{4,}|\*{3})|^-- \*|\.> |\[(config|queues|tasks)\]|^\s+exchange=|key=\S+$")
FRAME = re.compile(r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+)')
LIBRARY = re.compile(r"/(site|dist)-packages/|/lib(64)?/python\d|^<")
#: joblib, if its processes or threads may not be started where it is called (joblib/_parallel_backends.py, effective_n_jobs)
#: (bounded: a line may be millions of signs long, and is tried from each of them)
SERIAL = re.compile(r"\w{1,40}-backed parallel loops cannot be [^,]{1,200}, setting n_jobs=1")
OWN = frozenset(f"phase {name}" for name in PHASES)  # what our own loop of serial calls writes (`worker.in_process.phase`)
FATAL = "Fatal Python error: "  # faulthandler's first line (Python/pylifecycle.c); the stacks of all threads follow:
AFTER_FATAL = re.compile(r"Python runtime state: |Current thread |Thread 0x|<no Python frame>")


#: how Celery's refusal to run as root ends (celery/platforms.py, ROOT_DISALLOWED), and what it says, with what helps
AFTER_ROOT = "User information: uid="
NO_ROOT = (
    "Celery starts no worker as root (uid 0) that accepts pickle: run the harness as another user, or put C_FORCE_ROOT=1 into "
    "--env-file"
)


def last_line(log: Path) -> str:
    """The last line of the log that says something."""
    lines = _lines(log)
    if lines is None:
        return "no log"
    if lines and lines[-1].startswith(AFTER_ROOT):
        return NO_ROOT
    return portable(lines[-1].strip())[:LINE_LENGTH] if lines else "the log is empty"


def last_error(log: Path) -> str:
    """The last exception in the log, 'ValueError: …', with the last line of its traceback that is no library's, or the last
    fatal error; '' if there is none.

    A traceback's frames are indented; the first line after them names the exception (Lib/traceback.py).
    """
    found, inside, place = "", False, ""
    lines = _lines(log) or ()
    for at, line in enumerate(lines):
        if line.startswith(FATAL) and AFTER_FATAL.match("".join(lines[at + 1 : at + 2])):
            found, inside, place = line.strip(), False, ""
        elif inside and not line[0].isspace():
            found, inside, place = line.strip() + place, False, ""
        elif inside and (frame := FRAME.match(line)) and not LIBRARY.search(frame["file"]):
            place = f" ({frame['file'].rpartition('/')[2]}:{frame['line']})"
        inside = inside or line.startswith("Traceback (most recent call last):")
    return portable(found)[:LINE_LENGTH]


def last_words(log: Path) -> str:
    """Its last lines on one, without Celery's banner: what a library says before it ends the process. '' if there are none."""
    said = [line.strip() for line in _lines(log) or () if not BANNER.search(line)]
    return " / ".join(portable(line)[:LINE_LENGTH] for line in said[-LAST_WORDS:])


def serial(log: Path) -> str:
    """What a library says of going on with one job; '' if none does."""
    found = (SERIAL.search(line) for line in _lines(log) or ())
    return next((portable(one[0])[:LINE_LENGTH] for one in found if one), "")


def _lines(log: Path) -> Sequence[str] | None:
    """The lines that are not empty, nor ours; None if there is no log."""
    try:
        return [line for line in log.read_text(errors="replace").splitlines() if line.strip() and line not in OWN]
    except OSError:
        return None
