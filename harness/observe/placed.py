"""Where Celery and what it brings lie in a process, also outside of site-packages: in a folder of the application's, a wheel in
an archive, a checkout. Told by the files in its own stacks that nobody else has: then all of that folder counts as installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Frames = Sequence[tuple[str, str]]  # (function, file) each, innermost first
PACKAGES = "celery|kombu|billiard|redis|amqp|vine|gevent|eventlet|click"
KNOWN = re.compile(r"/(site|dist)-packages/")
#: files by which Celery and a green library show where they lie; a project's own folder may be called celery, too, and have a
#: worker or an app in it, but hardly these
LANDMARK = re.compile(
    r"^(?P<folder>.*)/(celery/(bootsteps|apps/worker|worker/(loops|consumer/consumer)|concurrency/(asynpool|prefork|solo|thread)|"
    r"app/trace|utils/(timer2|threads))|kombu/(asynchronous/\w+|utils/eventio|transport/redis)|"
    r"billiard/(pool|process|spawn|forkserver|popen_\w+|connection|queues)|gevent/(hub|greenlet|threadpool)|"
    r"eventlet/(hubs/\w+|greenthread))\.py$"
)
TRACED = re.compile(r"(^|\.)(trace_task|fast_trace_task|_?trace_task_ret|__protected_call__|build_tracer)$")
WHEEL = re.compile(rf"^(?P<folder>.*\.whl)/(?=({PACKAGES})/)")


def settled(stacks: Mapping[int, Frames]) -> dict[int, Frames]:
    """The stacks of one process, with the files of these packages as if they lay in site-packages.

    >>> stack = [("recv", "/srv/lib/redis/connection.py"), ("start", "/srv/lib/celery/bootsteps.py"), ("main", "/srv/a.py")]
    >>> [file for _, file in settled({7: stack})[7]]
    ['/srv/lib/site-packages/redis/connection.py', '/srv/lib/site-packages/celery/bootsteps.py', '/srv/a.py']
    """
    folders = {folder for stack in stacks.values() for frame in stack if (folder := _folder(*frame))}
    theirs = re.compile(f"^(?P<folder>{'|'.join(map(re.escape, sorted(folders)))})/(?=({PACKAGES})/)") if folders else None
    return {tid: [(name, _settled(file, theirs)) for name, file in stack] for tid, stack in stacks.items()}


def _folder(name: str, file: str) -> str:
    """Where a landmark lies, if that is no usual place."""
    found = LANDMARK.match(file) if not KNOWN.search(file) else None
    if found is None or (file.endswith("/celery/app/trace.py") and not TRACED.search(name)):
        return ""
    return found["folder"]


def _settled(file: str, theirs: re.Pattern[str] | None) -> str:
    if KNOWN.search(file):
        return file
    found = (theirs.match(file) if theirs else None) or WHEEL.match(file)
    return f"{found['folder']}/site-packages{file[found.end('folder') :]}" if found else file
