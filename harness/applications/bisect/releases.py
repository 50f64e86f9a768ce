"""An environment that has another release of one package, and else what the user's own has, which is only read.

A venv of ours, from the user's interpreter, holds only what changes: the release, and other versions of what has to fit it. The
rest is imported from the user's site-packages, which come after it on the path: private and local packages too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.applications.bisect.candidate import CannotRun, Prepared
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.source import ApplicationSource
from harness.environments import normal, uvtool
from harness.environments.releases import version_of
from harness.errors import BadInput, BuildFailed
from harness.machine import processes
from harness.run.workflow import Screen

ASK = (
    "import json, sys; print(json.dumps({'python': '%d.%d' % sys.version_info[:2],"
    " 'sites': [one for one in sys.path if one.endswith(('site-packages', 'dist-packages'))]}))"
)
LIMIT_S, INSTALL_LIMIT_S = 60.0, 3600.0
PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;]+)")
MARKER = "harness.json"  # in a venv that is whole
BELOW = "harness_below.pth"


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """The user's environment. `python`: version of its interpreter, such as 3.11; `sites`: folders of its packages; `pins`:
    version by package, of those that come from an index."""

    python: str
    sites: tuple[str, ...]
    pins: Mapping[str, str]


def theirs(order: ProbeOrder) -> Theirs:
    """Ask the user's interpreter. Raises BadInput."""
    try:
        done = processes.run([str(order.python), "-c", ASK], cwd=order.folder, env=order.variables, limit_s=LIMIT_S)
        told = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise BadInput(f"{order.python} does not answer", remedy="--python names the application's own interpreter") from error
    frozen = uvtool.run(["pip", "freeze", "--python", str(order.python)], cwd=order.folder, limit_s=LIMIT_S)
    return Theirs(python=told["python"], sites=tuple(told["sites"]), pins=pins(frozen))


def pins(text: str) -> dict[str, str]:
    """Of lines such as pip freezes them; what has no version on an index is left out.

    >>> pins("celery==5.4.0\\n-e file:///srv/shop\\nown @ file:///srv/own.whl\\nPillow==9.1 ; python_version > '3'")
    {'celery': '5.4.0', 'pillow': '9.1'}
    """
    found = (PIN.match(line) for line in text.splitlines())
    return {normal(one["name"]): one["version"] for one in found if one}


def changes(had: Mapping[str, str], fit: Mapping[str, str]) -> dict[str, str]:
    """The versions to install: those that fit, and are not there already."""
    return {name: version for name, version in fit.items() if had.get(name) != version}


def prepare(order: ProbeOrder, known: Theirs, package: str, folder: Path, screen: Screen, version: str) -> Prepared:
    """The venv of a release; the order with its interpreter. Raises BuildFailed."""
    place = (folder / "environments" / f"{package}-{version}").absolute()
    told = {"package": package, "version": version, "theirs": vars(known) | {"sites": list(known.sites)}}
    python = place / "bin" / "python"
    if not python.exists() or _marker(place) != told:
        screen.say(f"{package} {version}: making an environment of it above {order.python.parent.parent}")
        _build(place, order, known, package, version, screen)
        (place / MARKER).write_text(json.dumps(told))
    path = os.pathsep.join([str(python.parent), order.variables.get("PATH", os.defpath)])
    return Prepared(
        order=replace(order, python=python, variables={**order.variables, "PATH": path}),
        fits=partial(check_version, package, version),
    )  # fmt: skip


def check_version(package: str, version: str, source: ApplicationSource) -> None:
    """Raises CannotRun if the application sees another release: one on its PYTHONPATH comes first."""
    seen = {normal(name): known for name, known in source.environment.installed.items()}.get(normal(package), "none")
    if seen == "none" or version_of(seen) != version_of(version):
        raise CannotRun(
            f"{package} {version} was asked for, and the application sees {seen}",
            remedy="take the other one off its PYTHONPATH, see --env-file",
        )


def _build(place: Path, order: ProbeOrder, known: Theirs, package: str, version: str, screen: Screen) -> None:
    if place.exists():
        if not (place / "pyvenv.cfg").exists():
            raise BadInput(f"{place} is in the way", remedy="move it, or name another --out")
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    log = place.with_name(f"{place.name}.log")
    log.unlink(missing_ok=True)
    new = changes(known.pins, _fitting(order.python, known.pins, package, version, log, screen))
    try:
        uvtool.run(
            ["venv", "--no-project", "--python", str(order.python), str(place)], cwd=place.parent, limit_s=LIMIT_S, log=log
        )
        site = next((place / "lib").glob("python3*/site-packages"))
        (site / BELOW).write_text("".join(f"import site; site.addsitedir({one!r})\n" for one in known.sites))
        wanted = [f"{name}=={one}" for name, one in new.items()]
        fill = ["pip", "install", "--python", str(place / "bin" / "python"), "--no-deps", "--compile-bytecode", *wanted]
        if wanted:
            uvtool.run(fill, cwd=place.parent, limit_s=INSTALL_LIMIT_S, log=log)
    except uvtool.UvFailed as error:
        raise BuildFailed(f"{package} {version} cannot be installed: {error}", evidence=str(log)) from error


def _fitting(python: Path, had: Mapping[str, str], package: str, version: str, log: Path, screen: Screen) -> dict[str, str]:
    """Versions that fit the release, as near to the user's as may be: of all packages, or if that cannot be found out, of what
    the release itself needs. Raises BuildFailed."""
    wanted = f"{package}=={version}"
    try:
        return _resolved(python, had, [wanted, *(name for name in had if name != normal(package))], log)
    except uvtool.UvFailed as error:
        whole = error
    try:
        found = _resolved(python, had, [wanted], log)
    except uvtool.UvFailed as error:
        raise BuildFailed(f"no versions fit together for {wanted}: {error}", evidence=str(log)) from error
    screen.say(f"{wanted}: only what it needs itself is made to fit, for all packages together were not: {whole}")
    return found


def _resolved(python: Path, had: Mapping[str, str], wanted: list[str], log: Path) -> dict[str, str]:
    """By uv, which keeps the versions of a file that it is to write where they still fit. Raises UvFailed."""
    with tempfile.TemporaryDirectory() as scratch:
        source, result = Path(scratch, "wanted.in"), Path(scratch, "fitting.txt")
        source.write_text("".join(f"{one}\n" for one in wanted))
        result.write_text("".join(f"{name}=={version}\n" for name, version in had.items()))
        arguments = ["pip", "compile", "--no-header", "--quiet", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links",
                     "--python", str(python), "--output-file", result.name, source.name]  # fmt: skip
        uvtool.run(arguments, cwd=Path(scratch), limit_s=INSTALL_LIMIT_S, log=log)
        return pins(result.read_text())


def _marker(place: Path) -> object:
    try:
        return json.loads((place / MARKER).read_text())
    except (OSError, ValueError):
        return None
