"""Where the package and its checkout lie, and where environments are kept. Nobody else counts the parents of a path."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
#: the folder that holds the package: the checkout, or an installed wheel's site-packages
CHECKOUT = PACKAGE.parent
LOCKS = PACKAGE / "backends" / "locks"
#: beside the package in a checkout, within it in a wheel
EXPERIMENTS = next(
    (path for path in (CHECKOUT / "experiments", PACKAGE / "experiments") if (path / "quick.toml").exists()), PACKAGE
)


def home() -> Path:
    """Where environments live: $HARNESS_HOME, else `.environments` of this checkout, else the user's cache folder."""
    if chosen := os.environ.get("HARNESS_HOME"):
        return Path(chosen).expanduser().resolve()
    if (CHECKOUT / "pyproject.toml").is_file():
        return CHECKOUT / ".environments"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).resolve() / "keras-celery-harness"


@contextmanager
def only_writer(path: Path, waits: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Be the only one who writes at `path`, which all runs share; `waits` is called if somebody else is at it.

    The lock is a file beside it. The kernel lets go of it whatever way we end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
