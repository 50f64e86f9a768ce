"""The stacks of a process, as py-spy sees them: a glance without stopping it, or all frames, native ones too."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.machine import procfs
from harness.machine.native_ids import native_ids
from harness.machine.processes import run
from harness.observe import placed
from harness.observe.roles import Role, is_own, role, tracing
from harness.texts import portable

STACK_LIMIT_S = 20.0  # native stacks of a TensorFlow process need its symbols: seconds
GLANCE_LIMIT_S = 5.0
LOOKS = 4  # of a process that computes: a quarter of those without a stop come to nothing (Python 3.11, 27 % of 200)
TORN = "Failed to get stack traces"  # of a process that went on while its stacks were read
BARE = re.compile(r"^Thread .*\(active.*\n(?!    )", re.MULTILINE)  # a thread that runs, without a frame, in its text
HEAD = re.compile(r"^Thread (0x)?([0-9A-F]+) ", re.MULTILINE)  # of a thread in py-spy's text


def py_spy() -> str:
    return str(Path(sys.executable).with_name("py-spy"))


def _ask(argv: Sequence[str], limit_s: float) -> tuple[str, str]:
    """(output, complaint) of a command that may hang or be missing."""
    try:
        done = run(argv, env={"PATH": os.environ.get("PATH", "")}, limit_s=limit_s)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {limit_s:g} s"
    return done.stdout, done.stderr.strip() if done.returncode else ""


def _seen(argv: Sequence[str], limit_s: float, is_torn: Callable[[str], object]) -> str:
    """What py-spy tells of a process; '' if it cannot. Without a stop it looks anew if the process went on meanwhile, so that
    nothing came of it, or of a thread that runs."""
    found = ""
    for _ in range(LOOKS if "--nonblocking" in argv else 1):
        text, complaint = _ask(argv, limit_s)
        found = text if text and not complaint else found
        if (complaint and TORN not in complaint) or (text and not is_torn(text)):
            break
    return found


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


def glance(pid: int, ids: Mapping[int, int] | None = None, *, ours: bool = False, is_main: bool = True) -> Glance | None:
    """Look at the Python stacks without stopping the process; None if it cannot be done.

    Before Python 3.11 an interpreter does not keep the native ids of its threads; they are read from its memory (`dumped`). If
    that cannot be done, py-spy finds them by stopping the process for a moment, which wakes each of its waits: only one of
    `ours` is stopped, once for each new thread, and `ids` brings what was found so. `is_main`: see `roles.role`.
    """
    known = dict(ids or {})
    threads = dumped(pid, "--nonblocking")
    if threads and _lacks(threads, known):  # a thread may have begun or ended meanwhile
        threads = dumped(pid, "--nonblocking")
    if threads and ours and _lacks(threads, known):
        threads = dumped(pid)
    if not threads:
        return None
    known |= {thread["thread_id"]: thread["os_thread_id"] for thread in threads if thread.get("os_thread_id")}
    if _lacks(threads, known):
        return None
    frames = placed.settled(
        {known[thread["thread_id"]]: [(frame["name"], frame["filename"]) for frame in thread["frames"]] for thread in threads}
    )
    does = role(pid, frames, is_main=is_main)
    return Glance(
        foreign=frozenset(tid for tid, stack in frames.items() if not is_own(stack)),
        own=frozenset(tid for tid, stack in frames.items() if is_own(stack)),
        gil_owner=next((known[thread["thread_id"]] for thread in threads if thread.get("owns_gil")), None),
        functions={tid: f"{stack[0][0]} ({stack[0][1]})" for tid, stack in frames.items() if stack},
        ids=known,
        role=does,
        tracing=tracing(frames) if is_main or does is not Role.UNKNOWN else frozenset(),
    )


def _lacks(threads: Sequence[Mapping[str, Any]], known: Mapping[int, int]) -> bool:
    """Whether the native id of any thread is not known."""
    return any(not thread.get("os_thread_id") and thread["thread_id"] not in known for thread in threads)


def dumped(pid: int, *options: str, limit_s: float = GLANCE_LIMIT_S) -> list[dict[str, Any]] | None:
    """What py-spy shows of the threads of a process; None if it cannot. Their native ids are those that they have here: py-spy
    tells those of the process's own PID namespace, and none where Python keeps none; these are None if memory does not tell."""
    argv = [py_spy(), "dump", "--pid", str(pid), "--json", *options]
    threads = _read(_seen(argv, limit_s, lambda text: any(map(_is_bare, _read(text) or ()))))
    if threads is None:
        return None
    here = procfs.numbers_here(pid)
    kept = native_ids(pid, [thread["thread_id"] for thread in threads if not thread.get("os_thread_id")])
    for thread in threads:
        own = thread.get("os_thread_id")
        thread["os_thread_id"] = kept.get(thread["thread_id"]) if not own else here.get(own) if here else own
    return threads


def _is_bare(thread: Mapping[str, Any]) -> bool:
    return bool(thread.get("active")) and not thread["frames"]


def _read(text: str) -> list[dict[str, Any]] | None:
    try:
        threads: list[dict[str, Any]] = json.loads(text)
    except ValueError:
        return None
    return threads


def frames_of(text: str, tid: int) -> tuple[str, ...]:
    """The frames of one thread in py-spy's text, innermost first.

    >>> frames_of('Thread 7 (idle): "MainThread"\\n    sem_wait (libc.so.6)\\n    acquire (x.py:3)\\n', 7)
    ('sem_wait (libc.so.6)', 'acquire (x.py:3)')
    """
    _, _, rest = text.partition(f"Thread {tid} ")
    lines = rest.partition("\nThread ")[0].splitlines()[1:]
    return tuple(line.strip() for line in lines if line.startswith("    "))


def text(pid: int) -> str:
    """The Python frames of all threads as py-spy writes them; '' if it cannot be had."""
    found = _seen([py_spy(), "dump", "--pid", str(pid), "--nonblocking"], GLANCE_LIMIT_S, BARE.search)
    return portable(_with_ids(pid, found))


def native(pid: int) -> list[dict[str, Any]] | None:
    """The native frames, too, which stops the process for some milliseconds; None if they cannot be had.

    py-spy looks for native frames under a thread's own number, which in a container is another one than here, and may be
    somebody else's. Of a process that is stopped it would wait for its own stop.
    """
    stat = procfs.process(pid)
    if stat is None or stat.state in "Tt" or procfs.is_inside(pid):
        return None
    return dumped(pid, "--native", limit_s=STACK_LIMIT_S)


def frames_in(threads: Iterable[Mapping[str, Any]], tid: int) -> tuple[str, ...]:
    """The frames of one thread as py-spy writes them in its text, innermost first.

    >>> frames = [{"name": "read", "short_filename": "libc.so.6", "line": 0}, {"name": "ask", "filename": "x.py", "line": 3}]
    >>> frames_in([{"os_thread_id": 7, "frames": frames}], 7)
    ('read (libc.so.6)', 'ask (x.py:3)')
    """
    found: Sequence[Mapping[str, Any]] = next((one["frames"] for one in threads if one.get("os_thread_id") == tid), ())
    return tuple(
        portable(f"{one['name']} ({one.get('short_filename') or one['filename']}{_line(one['line'])})") for one in found
    )


def _line(number: int) -> str:
    return f":{number}" if number else ""  # of native code none is known


def _with_ids(pid: int, text: str) -> str:
    """py-spy's text, with the native id that each thread has here: it writes Python's own where Python keeps no other."""
    here = procfs.numbers_here(pid)
    kept = native_ids(pid, [int(found[2], 16) for found in HEAD.finditer(text) if found[1]])

    def head(found: re.Match[str]) -> str:
        number = kept.get(int(found[2], 16)) if found[1] else here.get(int(found[2]))
        return f"Thread {number} " if number else found[0]

    return HEAD.sub(head, text)


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
