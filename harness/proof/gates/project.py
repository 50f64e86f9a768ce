"""A small project in a git repository of its own: a Celery application that computes, its next commit slower or stuck.

What is planted is in the source and nowhere else, so a gate has to find it as it would find a user's own.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

LOOPS = 60_000  # of a multiplication and an addition: some milliseconds of a core
LOOPS_SHARE = 0.5  # of the CPU time of a request, that the loops take; the rest is Celery's
WAITING = "-waiting"  # after a share: the time goes into a wait
FILE, APP, TASK = "jobs.py", "jobs:app", "jobs.price"
SOURCE = '''"""A price that takes some milliseconds of arithmetic."""

from celery import Celery

app = Celery("jobs")


@app.task(name="jobs.price")
def price(amount):
    {before}total = amount
    for number in range({loops}):
        total = (total * 31 + number) % 1000003
    {after}return {{"price": total}}
'''
#: it waits for this share of what the loops took, whatever else the machine does
BEGINS = "import time; begun = time.perf_counter()\n    "
WAITS = "time.sleep({share:.4f} * (time.perf_counter() - begun))\n    "
#: it waits for a lock that nobody gives back, from the first request on
STUCK = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()\n    "
SAME, STUCK_NAME = "same", "stuck"


@dataclass(frozen=True, kw_only=True)
class Project:
    """`rows`: the arguments, for --args. The commit before what was planted is HEAD~1."""

    folder: Path
    rows: Path


def made(folder: Path, planted: str) -> Project:
    """The project in `folder`, which is made; `planted`: 'same', 'stuck', or by how much the pace falls, such as '0.1', if it
    computes that much longer, or '0.1-waiting'."""
    folder.mkdir(parents=True)
    _git(folder, "init", "--quiet")
    _commit(folder, SOURCE.format(before="", loops=LOOPS, after=""), "a price")
    slower = 0.0 if planted in (SAME, STUCK_NAME) else float(planted.removesuffix(WAITING))
    more = slower / (1 - slower) / LOOPS_SHARE  # of the loops
    before, loops, after = STUCK if planted == STUCK_NAME else "", LOOPS, ""
    if planted.endswith(WAITING):
        before, after = BEGINS, WAITS.format(share=more)
    else:
        loops = round(LOOPS * (1 + more))
    text = SOURCE.format(before=before, loops=loops, after=after)
    _commit(folder, f"{text}\n# another commit\n", f"planted: {planted}")
    rows = folder / "rows.json"
    rows.write_text("[[1], [2], [3], [4]]")
    return Project(folder=folder, rows=rows)


def _commit(folder: Path, text: str, subject: str) -> None:
    (folder / FILE).write_text(text)
    commit(folder, FILE, subject)


def commit(folder: Path, name: str, subject: str) -> None:
    """Commit this file as it is now."""
    _git(folder, "add", name)
    _git(folder, "-c", "user.name=gate", "-c", "user.email=gate@localhost", "commit", "--quiet", "--message", subject)


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)
