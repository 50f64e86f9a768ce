"""Variants of an environment: the same, but for the versions of some packages. `celery+celery==5.4.0+gevent==25.4.1`
is the environment `celery` with these two.

A variant's lock is compiled when it is first needed and kept in `home()`; every other package stays at the version of
the shipped lock where that still fits. What came out is recorded with each run, as *installed* versions are.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.environments.description import Description
from harness.errors import BadInput

MARK = "+"
PIN = re.compile(r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.]*)")
PACKAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def base_of(name: str) -> str:
    """The environment that this name is a variant of, or the name itself.

    >>> base_of("celery+celery==5.4.0"), base_of("theano")
    ('celery', 'theano')
    """
    return name.partition(MARK)[0]


def pins_of(name: str) -> dict[str, str]:
    """The versions that a name asks for, by package. Raises BadInput.

    >>> pins_of("celery+celery==5.4.0+gevent==25.4.1")
    {'celery': '5.4.0', 'gevent': '25.4.1'}
    """
    found = {}
    for text in name.split(MARK)[1:]:
        match = PIN.fullmatch(text)
        if match is None:
            raise BadInput(f"{text!r} in {name!r} is no package==version", remedy="write such as celery+celery==5.4.0")
        found[normal(match["package"])] = match["version"]
    return found


def name_of(base: str, package: str, version: str) -> str:
    """The name of a variant, of an environment or of another variant.

    >>> name_of("celery", "Celery", "5.4.0")
    'celery+celery==5.4.0'
    """
    return f"{base}{MARK}{normal(package)}=={version}"


def normal(package: str) -> str:
    """A package's name as indexes compare it (PEP 503).

    >>> normal("Tensorflow_CPU")
    'tensorflow-cpu'
    """
    return re.sub(r"[-_.]+", "-", package).lower()


def variant(base: Description, name: str, folder: Path) -> Description:
    """What the variant must be; its lock lies in `folder` once it has been compiled."""
    pins = pins_of(name)
    kept = [line for line in base.requires if normal(_package(line)) not in pins]
    requires = (*kept, *(f"{package}=={version}" for package, version in pins.items()))
    wheel = base.wheel if base.wheel and normal(base.wheel.package) not in pins else None
    changes = {"name": name, "requires": requires, "folder": folder, "seed": base.lock, "wheel": wheel}
    return base.model_copy(update={**changes, "summary": f"{base.summary}, with {', '.join(requires[len(kept) :])}"})


def _package(requirement: str) -> str:
    match = PACKAGE_NAME.match(requirement)
    return match[0] if match else requirement
