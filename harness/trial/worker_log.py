"""What a worker's log says: its last line, its last exception, and how it ends if there is none; how many jobs.

A task may log a megabyte for each request. The log is read once, its two ends only, and of a line only its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.machine import holes
from harness.records.ends import ends
from harness.texts import portable
from harness.worker.contract import PHASES

FIRST_BYTES, LAST_BYTES = 1 << 20, 4 << 20  # of a log that are read
ROOM_BYTES = 64 << 20  # that a log may take on the disk before its middle is given back
LOOKED_AT = 2000  # characters of a line that are looked at
GAP = "(the middle of the log was not read)"  # stands for it among the lines; no traceback goes on behind it
LINE_LENGTH = 300  # of a log's line that is kept
LAST_WORDS = 3  # lines
#: Celery's banner (celery/apps/worker.py, BANNER)
BANNER = re.compile(r"^(\s|-|\*)*(-{4,}|\*{3})|^-- \*|\.> |\[(config|queues|tasks)\]|^\s+exchange=|key=\S+$")
FRAME = re.compile(r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+)(, in (?P<function>\S+))?')
LIBRARY = re.compile(r"/(site|dist)-packages/|/lib(64)?/python\d|^<")
#: joblib, if its processes or threads may not be started where it is called (joblib/_parallel_backends.py, effective_n_jobs)
#: (bounded, and only tried if SERIAL_SIGN is there: a pattern that begins anew at each character of a long line takes long)
SERIAL_SIGN = "-backed parallel"
SERIAL = re.compile(r"\w{1,40}-backed parallel loops cannot be [^,]{1,200}, setting n_jobs=1")
OWN = frozenset(f"phase {name}" for name in PHASES)  # what our own loop of serial calls writes (`worker.in_process.phase`)
FATAL = "Fatal Python error: "  # faulthandler's first line (Python/pylifecycle.c); the stacks of all threads follow:
AFTER_FATAL = re.compile(r"Python runtime state: |Current thread |Thread 0x|<no Python frame>")
RECORD = re.compile(r"\[[^\]]{1,80}: [A-Z]+/[^\]]{1,80}\] ")  # how a record of the worker's log begins (celery/app/defaults.py)
UNRECOVERABLE = "Unrecoverable error"  # Celery's worker logs this and stops (celery/worker/worker.py)
GIVEN_UP = re.compile(rf"\[[^\[\]]{{1,80}}: CRITICAL/MainProcess\] {UNRECOVERABLE}: ")  # not one that a task quotes
TRACEBACK = "Traceback (most recent call last):"
#: what its main process does with a message of a child's (celery/concurrency/asynpool.py, _recv_message)
RECEIVES, UNPICKLES = "_recv_message", "message = load("

#: how Celery's refusal to run as root ends (celery/platforms.py, ROOT_DISALLOWED), and what it says, with what helps
AFTER_ROOT, REFUSAL, REFUSAL_LINES = "User information: uid=", "C_FORCE_ROOT", 8
NO_ROOT = (
    "Celery starts no worker as root (uid 0) that accepts pickle: run the harness as another user, or put C_FORCE_ROOT=1 into "
    "--env-file"
)
#: what the worker says as it begins to shut down, by whom it was asked (celery/worker/control.py, celery/apps/worker.py)
ASKED = {
    re.compile(r"\[[^\[\]]{1,80}: WARNING/MainProcess\] Got shutdown from remote\s*"): (
        "by the control command 'shutdown' (app.control.shutdown, celery control shutdown)"
    ),
    re.compile(r"worker: Warm shutdown \(MainProcess\)\s*"): "by a signal (SIGTERM or SIGINT)",
}
#: its warning to whoever runs it as root all the same, which is no sign of why it ends (ROOT_DISCOURAGED, ASSUMING_ROOT)
ROOT_WARNING = re.compile(
    r"^.{0,500}platforms\.py:\d+: SecurityWarning: (?:.*\n){1,16}?User information: uid=.*\n(?:\s*\n)?(?:  \S.*\n?)?",
    re.MULTILINE,
)

#: what Eventlet says as it is imported, whatever becomes of the worker (eventlet/__init__.py, eventlet/patcher.py)
EVENTLET = re.compile(
    r"^.{0,500}EventletDeprecationWarning: (?:.*\n){1,12}?  import eventlet.*\n|^\d+ RLock\(s\) were not greened,.*\n?",
    re.MULTILINE,
)

#: what kombu says of a message that it is to give back, or may not give out (kombu/transport/virtual/base.py)
NOT_CONSUMED = re.compile(r"undeliverable message for queue '([^']*)': No consumers")

Lines = Sequence[str]


def read(log: Path) -> Lines | None:
    """The lines that say something: neither our own nor the warnings of root and of Eventlet, each up to LOOKED_AT characters.
    None if there is no log."""
    if not log.is_file():
        return None
    first, last = ends(log, first=FIRST_BYTES, last=LAST_BYTES)
    whole = len(first) + len(last) >= log.stat().st_size
    parts = [first + last] if whole else [first.rpartition(b"\n")[0] or first, GAP.encode(), last.partition(b"\n")[2] or last]
    text = EVENTLET.sub("", ROOT_WARNING.sub("", b"\n".join(parts).decode(errors="replace")))
    return [line[:LOOKED_AT] for line in text.splitlines() if line.strip() and line not in OWN]


def bound(log: Path) -> None:
    """What is never read of a log takes little of the disk, however much a task logs."""
    holes.keep_ends(log, first=FIRST_BYTES, last=LAST_BYTES, room=ROOM_BYTES)


def last_line(lines: Lines | None) -> str:
    """The last line of the log that says something."""
    if lines is None:
        return "no log"
    if lines and lines[-1].startswith(AFTER_ROOT):  # which its warning ends with, too, if the application makes that an error
        refused = any(REFUSAL in line for line in lines[-REFUSAL_LINES:])
        return NO_ROOT if refused else last_error(lines) or portable(lines[-1])[:LINE_LENGTH]
    return portable(lines[-1].strip())[:LINE_LENGTH] if lines else "the log is empty"


def last_error(lines: Lines | None) -> str:
    """The last exception in the log, 'ValueError: …', with the last line of its traceback that is no library's, or the last
    fatal error; '' if there is none. If the worker gave up, what it gave up for: whatever comes after that comes of it.

    A traceback's frames are indented; the first line after them names the exception (Lib/traceback.py).
    """
    lines = _given_up(lines or ()) or lines or ()
    found, inside, place = "", False, ""
    for at, line in enumerate(lines):
        if line == GAP:
            inside, place = False, ""
        elif line.startswith(FATAL) and AFTER_FATAL.match("".join(lines[at + 1 : at + 2])):
            found, inside, place = line.strip(), False, ""
        elif inside and not line[0].isspace():
            found, inside, place = line.strip() + place, False, ""
        elif inside and (frame := FRAME.match(line)) and not LIBRARY.search(frame["file"]):
            place = f" ({frame['file'].rpartition('/')[2]}:{frame['line']})"
        inside = inside or line.startswith(TRACEBACK)
    return portable(found)[:LINE_LENGTH]


def last_words(lines: Lines | None) -> str:
    """Its last lines on one, without Celery's banner: what a library says before it ends the process. '' if there are none."""
    said = [line.strip() for line in lines or () if not BANNER.search(line)]
    return " / ".join(portable(line)[:LINE_LENGTH] for line in said[-LAST_WORDS:])


def paused(lines: Lines | None) -> str:
    """The queue that the worker consumed no longer, for a while at least; '' if its log tells of none."""
    return next((told[1] for line in lines or () if (told := NOT_CONSUMED.search(line))), "")


def serial(lines: Lines | None) -> str:
    """What a library says of going on with one job; '' if none does."""
    found = (SERIAL.search(line) for line in lines or () if SERIAL_SIGN in line)
    return next((portable(one[0])[:LINE_LENGTH] for one in found if one), "")


def unread(lines: Lines | None) -> str:
    """The exception for which the worker gave up, if its main process unpickled what a child had sent; '' if it did not."""
    record = _given_up(lines or ())
    frames = (FRAME.match(line) for line in record[:-1])
    received = any(
        frame and frame["function"] == RECEIVES and after.strip().startswith(UNPICKLES)
        for frame, after in zip(frames, record[1:], strict=True)
    )
    return last_error(record) if received else ""


def asked(lines: Lines | None) -> str:
    """By whom the worker was asked to shut down, in words; '' if its log does not say that it was."""
    found = (words for line in lines or () for said, words in ASKED.items() if said.fullmatch(line))
    return next(found, "")


def _given_up(lines: Lines) -> Lines:
    """The last record of an error for which the worker stopped, with its traceback; empty if there is none."""
    begins = (at for at in reversed(range(len(lines) - 1)) if GIVEN_UP.match(lines[at]) and lines[at + 1].startswith(TRACEBACK))
    if (begin := next(begins, None)) is None:
        return ()
    end = next((at for at in range(begin + 1, len(lines)) if RECORD.match(lines[at])), len(lines))
    return lines[begin:end]
