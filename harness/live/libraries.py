"""The versions of the libraries that a running worker is made of, by what is installed beside the files of its stacks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

PACKAGES = re.compile(r"^.*/(?:site|dist)-packages/(?P<rest>[^/].*)$")
NAMES = ("amqp", "billiard", "celery", "eventlet", "gevent", "greenlet", "kombu", "redis", "vine")
INSTALLED = re.compile(rf"^(?P<name>{'|'.join(NAMES)})-(?P<version>[\w.+!-]+)\.dist-info$")


def installed(pid: int, filenames: Iterable[str]) -> dict[str, str]:
    """By name; {} if nothing can be told. The process may be in a container, with other folders than ours."""
    folders = {name[: found.start("rest")] for name in set(filenames) if (found := PACKAGES.match(name))}
    listed = [entry for folder in sorted(folders) for entry in _entries(f"/proc/{pid}/root{folder}")]
    return {found["name"]: found["version"] for entry in listed if (found := INSTALLED.match(entry))}


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
