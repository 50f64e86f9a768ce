"""Which releases of a package there are, as the package index that pip is set up for says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

from harness.environments.uvtool import variables
from harness.errors import BadInput, HarnessError
from harness.machine import processes

LIMIT_S = 120.0
LEAD = "Available versions:"


def releases(package: str, python: str) -> list[str]:
    """All final releases that have something for this Python ('3.7'), oldest first.

    Raises HarnessError where the index cannot be asked.
    """
    argv = [sys.executable, "-m", "pip", "index", "versions", package, "--python-version", python]
    try:
        done = processes.run(argv, cwd=Path.cwd(), env=variables(), limit_s=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise _unknown(package, f"no answer within {LIMIT_S:g} s") from error
    line = next((line for line in done.stdout.splitlines() if line.startswith(LEAD)), "")
    if not line:
        raise _unknown(package, (done.stderr.strip().splitlines() or ["pip said nothing"])[-1])
    return in_order(text.strip() for text in line.removeprefix(LEAD).split(","))


def in_order(texts: Iterable[str]) -> list[str]:
    """Final releases among these versions, oldest first.

    >>> in_order(["5.10.0", "5.4.0", "5.6.0rc1", "5.4.0"])
    ['5.4.0', '5.10.0']
    """

    return [text for text in named(texts) if not version_of(text).is_prerelease]


def named(texts: Iterable[str]) -> list[str]:
    """These versions and no others, oldest first.

    >>> named(["5.6.0rc1", " 5.4.0", "5.4"])
    ['5.4', '5.6.0rc1']
    """
    found = {version_of(text): text.strip() for text in texts}
    return [found[version] for version in sorted(found)]


def between(known: list[str], good: str, bad: str) -> list[str]:
    """The releases from `good` to `bad`, both included, in the direction from good to bad. Raises BadInput."""
    places = {version_of(text): place for place, text in enumerate(known)}
    for text in (good, bad):
        if version_of(text) not in places:
            raise BadInput(f"there is no release {text}", remedy=f"there are {', '.join(known)}; --versions names others")
    first, last = places[version_of(good)], places[version_of(bad)]
    if first == last:
        raise BadInput(f"{good} and {bad} are the same release", remedy="name two releases that differ")
    return known[first : last + 1] if first < last else known[last : first + 1][::-1]


def version_of(text: str) -> Version:
    """Raises BadInput.

    >>> version_of("5.4") == version_of("5.4.0")
    True
    """
    try:
        return Version(text)
    except InvalidVersion as error:
        raise BadInput(f"{text!r} is no version", remedy="write such as 5.4.0") from error


def _unknown(package: str, why: str) -> HarnessError:
    return HarnessError(
        f"the releases of {package} cannot be listed: {why}", remedy="name them yourself: --versions 5.4.0,5.5.0,5.5.3"
    )
