"""What a defect is, as data: where it was reported, which versions have it, how it is provoked, what `why` should say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.studies.defects.bench import Bench


def prefork(processes: int) -> tuple[str, ...]:
    """The worker's command line, for so many processes."""
    return ("--pool", "prefork", "--concurrency", str(processes), "--loglevel", "INFO")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What `harness why` should say: one of these states, one of these causes, and each of these words somewhere."""

    states: frozenset[str]
    causes: frozenset[str]
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Defect:
    """A defect of released versions.

    `provoke` does what makes it happen, once, and returns the symptom that shows that it did, as it was seen at the broker:
    never with `why`. It returns '' if it did not happen.
    """

    name: str
    #: the public thread, and what it reports in a sentence
    source: str
    reported: str
    #: what differs here from the thread
    differs: str
    provoke: Callable[[Bench], str]
    expected: Expected
    #: of the worker's command line, and its variables
    options: tuple[str, ...] = prefork(2)
    variables: dict[str, str] = field(default_factory=dict)
    #: whether only `why --deep` can name it
    deep: bool = False
