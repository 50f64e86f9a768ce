"""What `check` finds, and the table of its rules. `docs/reference/check.md` has a heading for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

PAGE = "docs/reference/check.md"
Place = tuple[str, int, str]  # file, line, name of a function


class Level(StrEnum):
    """`error`: sure, or seen. `warning`: it breaks under a condition that is named. `note`: to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


ORDER = (Level.ERROR, Level.WARNING, Level.NOTE)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`fork`: it is about what a fork loses. `static`: the source alone shows it."""

    name: str
    what: str
    fork: bool = False
    static: bool = False


RULES = {
    rule.name: rule
    for rule in (
        Rule(name="call-in-child", what="A call that does not return from a forked child, or not the same", fork=True),
        Rule(
            name="call-beside", what="A call that fails or answers otherwise in children that call at once, alone it does not"
        ),
        Rule(name="call-raises", what="A call that raises, in a forked child and without a fork"),
        Rule(name="held-lock", what="A lock that tasks take is held by another thread at the fork", fork=True),
        Rule(name="held-import", what="A thread imports a module at the fork", fork=True),
        Rule(name="lost-thread", what="A thread that stays in the main process", fork=True),
        Rule(name="lost-pool", what="A pool or loop whose threads stay in the main process", fork=True),
        Rule(name="lost-engine", what="An engine's native threads stay in the main process", fork=True),
        Rule(name="shared-connection", what="A connection that all children share", fork=True),
        Rule(name="shared-file", what="An open file whose place, or lock, all children share", fork=True),
        Rule(name="copied-name", what="A name for files that was made once for all children", fork=True),
        Rule(name="copied-generator", what="A generator of random numbers that each child repeats", fork=True),
        Rule(name="shared-writes", what="Memory that a fork does not copy, and that tasks write", fork=True),
        Rule(name="shared-memory", what="Memory that children share with the main process"),
        Rule(name="model-at-import", what="A model is loaded when the module is imported", static=True),
        Rule(name="engine-at-import", what="An engine computes when the module is imported", static=True),
        Rule(name="model-in-task-init", what="A model is loaded in a task's __init__", static=True),
        Rule(name="start-window", what="A slow load in worker_process_init, with the default start window", static=True),
        Rule(name="init-not-sent", what="What tasks need is made in worker_process_init alone", static=True),
        Rule(name="weak-receiver", what="A receiver of a signal that is gone before the signal is sent", static=True),
        Rule(name="client-at-import", what="A client or connection is made when the module is imported", static=True),
        Rule(name="pool-at-import", what="A pool of threads or processes is made when the module is imported", static=True),
        Rule(name="thread-at-import", what="A thread is started when the module is imported", static=True),
        Rule(name="loop-at-import", what="An event loop is made when the module is imported", static=True),
        Rule(name="lock-at-import", what="A lock beside a thread that is started when the module is imported", static=True),
        Rule(name="result-in-task", what="A task waits for another task", static=True),
        Rule(name="limit-not-kept", what="A time limit that the pool does not keep", static=True),
        Rule(name="visibility-timeout", what="The visibility timeout is below the longest task", static=True),
        Rule(name="processes-in-task", what="A task starts processes of its own", static=True),
    )
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`file`: relative to the application's folder if it lies there, '' if there is no place; `line` from 1, 0 for none.

    `evidence`: what was seen, a line each. `measured`: where this was measured. `made`: the object that is to be made in each
    process, as 'shop.store.STORE.pool'; `diff`: the change of code that does so, if one is sure. `users`: functions of which
    each call would show it; none if that cannot be said. `started`: the application's frames that started the lost thread,
    innermost first; None if it is about no thread.
    """

    rule: str
    level: Level
    what: str
    todo: str
    file: str = ""
    line: int = 0
    evidence: tuple[str, ...] = ()
    measured: str = ""
    made: str = ""
    diff: str = ""
    users: tuple[Place, ...] = ()
    started: tuple[Place, ...] | None = None

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.file and self.line else self.file

    @property
    def page(self) -> str:
        return f"{PAGE}#{self.rule}"

    @property
    def is_a_forks(self) -> bool:
        return RULES[self.rule].fork


def sorted_(findings: Iterable[Finding]) -> list[Finding]:
    """Gravest first, a fork's before others, then by place; each rule once per place."""
    names = list(RULES)
    unique = {(one.rule, one.place, one.what): one for one in findings}
    return sorted(
        unique.values(), key=lambda one: (ORDER.index(one.level), names.index(one.rule), one.file, one.line, one.what)
    )


def errors(findings: Iterable[Finding]) -> list[Finding]:
    return [one for one in findings if one.level is Level.ERROR]
