"""The stacks of a process, as py-spy sees them: a glance without stopping it, or all frames, native ones too."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.machine import procfs
from harness.machine.processes import run
from harness.observe.roles import Role, is_own, role, tracing
from harness.texts import portable

STACK_LIMIT_S = 20.0  # native stacks of a TensorFlow process need its symbols: seconds
GLANCE_LIMIT_S = 5.0


def py_spy() -> str:
    return str(Path(sys.executable).with_name("py-spy"))


def _ask(argv: Sequence[str], limit_s: float) -> tuple[str, str]:
    """(output, complaint) of a command that may hang or be missing."""
    try:
        done = run(argv, env={"PATH": os.environ.get("PATH", "")}, limit_s=limit_s)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {limit_s:g} s"
    return done.stdout, done.stderr.strip() if done.returncode else ""


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What py-spy saw of a process's Python threads, by native id: those that run other code than Celery's own, those that
    run Celery's alone, the one that holds the GIL, and the innermost frame of each; the `role` of the process, and the threads
    that Celery's tracer runs in. `ids` maps Python's thread ids to native ones."""

    foreign: frozenset[int]
    gil_owner: int | None
    functions: dict[int, str]
    own: frozenset[int]
    ids: dict[int, int]
    role: Role = Role.UNKNOWN
    tracing: frozenset[int] = frozenset()


def glance(pid: int, ids: Mapping[int, int] | None = None) -> Glance | None:
    """Look at the Python stacks without stopping the process; None if it cannot be done.

    Before Python 3.11 an interpreter does not keep the native ids, and py-spy has to stop the process for a moment to
    find them; that is done once for each new thread, and `ids` brings what was found so.
    """
    known = dict(ids or {})
    threads = dumped(pid, "--nonblocking")
    if threads and any(not thread.get("os_thread_id") and thread["thread_id"] not in known for thread in threads):
        threads = dumped(pid)
    if not threads:
        return None
    known |= {thread["thread_id"]: thread["os_thread_id"] for thread in threads if thread.get("os_thread_id")}
    if any(thread["thread_id"] not in known for thread in threads):
        return None
    frames = {
        known[thread["thread_id"]]: [(frame["name"], frame["filename"]) for frame in thread["frames"]] for thread in threads
    }
    return Glance(
        foreign=frozenset(tid for tid, stack in frames.items() if not is_own(stack)),
        own=frozenset(tid for tid, stack in frames.items() if is_own(stack)),
        gil_owner=next((known[thread["thread_id"]] for thread in threads if thread.get("owns_gil")), None),
        functions={known[thread["thread_id"]]: _top(thread["frames"]) for thread in threads if thread["frames"]},
        ids=known,
        role=role(pid, frames),
        tracing=tracing(frames),
    )


def dumped(pid: int, *options: str) -> list[dict[str, Any]] | None:
    """What py-spy shows of the threads of a process; None if it cannot."""
    text, complaint = _ask([py_spy(), "dump", "--pid", str(pid), "--json", *options], GLANCE_LIMIT_S)
    if complaint or not text:
        return None
    try:
        threads: list[dict[str, Any]] = json.loads(text)
    except ValueError:
        return None
    return threads


def _top(frames: Sequence[Mapping[str, Any]]) -> str:
    return f"{frames[0]['name']} ({frames[0]['filename']})"


def frames_of(text: str, tid: int) -> tuple[str, ...]:
    """The frames of one thread in py-spy's text, innermost first.

    >>> frames_of('Thread 7 (idle): "MainThread"\\n    sem_wait (libc.so.6)\\n    acquire (x.py:3)\\n', 7)
    ('sem_wait (libc.so.6)', 'acquire (x.py:3)')
    """
    _, _, rest = text.partition(f"Thread {tid} ")
    lines = rest.partition("\nThread ")[0].splitlines()[1:]
    return tuple(line.strip() for line in lines if line.startswith("    "))


def text(pid: int, *, native: bool) -> str:
    """The frames of all threads as py-spy writes them; Python's alone unless native ones are asked for, which stops the process
    for some milliseconds. '' if it cannot be had."""
    found, complaint = _ask([py_spy(), "dump", "--pid", str(pid), "--native"], STACK_LIMIT_S) if native else ("", "not asked")
    if complaint:
        found, _ = _ask([py_spy(), "dump", "--pid", str(pid), "--nonblocking"], GLANCE_LIMIT_S)
    return portable(found)


def stacks(pid: int, told: Path) -> str:
    """Python and native frames of all threads; Python frames alone where the native ones cannot be had in time; and what
    the process itself tells (into `told`, at SIGWINCH) where py-spy may not look."""
    stat = procfs.process(pid)
    if stat is not None and stat.state in "Tt":  # py-spy would wait for its own stop of it
        text, complaint = _ask([py_spy(), "dump", "--pid", str(pid), "--nonblocking"], GLANCE_LIMIT_S)
        return portable(f"process {pid} is stopped by a signal; its Python frames:\n{text or complaint}\n")
    text, complaint = _ask([py_spy(), "dump", "--pid", str(pid), "--native"], STACK_LIMIT_S)
    if text:
        return portable(text)
    fallback, second = _ask([py_spy(), "dump", "--pid", str(pid)], GLANCE_LIMIT_S)
    if not fallback:
        fallback = f"py-spy: {second}\nIts own faulthandler:\n{_own_stacks(pid, told)}"
    return portable(f"native stacks of process {pid}: {complaint}\n{fallback}\n")


def _own_stacks(pid: int, told: Path) -> str:
    if not told.exists():
        return "it has none"
    before = told.stat().st_size
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGWINCH)
    until = time.monotonic() + GLANCE_LIMIT_S
    while told.stat().st_size == before and time.monotonic() < until:
        time.sleep(0.02)
    return told.read_text(errors="replace")[before:] or "no answer"
