"""Which engines and interpreters are past their end of life: advice names them as such, and puts none of them first. Pure.

Days of Python's branches: its developer's guide (devguide.python.org/versions). Of an engine: the day of its last release on
the package index; Theano's makers had announced the end in September 2017.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

#: package -> (the first version that is still maintained, '' for none; the last release that is not, and its day)
ENGINES = {
    "tensorflow": ("2", "1.15.5", date(2021, 1, 6)),
    "theano": ("", "1.0.5", date(2020, 7, 27)),
}
PYTHONS = {
    "3.7": date(2023, 6, 27), "3.8": date(2024, 10, 7), "3.9": date(2025, 10, 31), "3.10": date(2026, 10, 31),
}  # fmt: skip


def engine(versions: Mapping[str, str]) -> str:
    """Of the engine among these packages, in words; '' if it is maintained, or if no row knows it.

    >>> engine({"tensorflow": "1.13.2", "keras": "2.3.1"})
    'tensorflow 1.13.2 is past its end of life: the last release, 1.15.5, is of January 2021'
    >>> engine({"tensorflow": "2.21.0"})
    ''
    """
    for package, (maintained, last, day) in ENGINES.items():
        version = versions.get(package, "")
        if version and (not maintained or int(version.partition(".")[0]) < int(maintained)):
            return f"{package} {version} is past its end of life: the last release, {last}, is of {day:%B %Y}"
    return ""


def python(version: str, today: date) -> str:
    """Of an interpreter, in words; '' if it is maintained on this day.

    >>> python("3.8.19", date(2026, 1, 1)), python("3.12.1", date(2026, 1, 1))
    ('Python 3.8 is past its end of life since October 2024', '')
    """
    found = re.match(r"\d+\.\d+", version)
    day = PYTHONS.get(found[0]) if found else None
    return f"Python {found[0]} is past its end of life since {day:%B %Y}" if found and day is not None and day <= today else ""
