"""Time limits against the pool that the settings choose, and against the broker's visibility timeout."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.check.static import names

DEFAULT_S = 3600.0  # of a visibility timeout, kombu's for Redis
KEEPS = {"threads": (), "solo": (), "eventlet": (), "gevent": ("time_limit",)}  # limits that a pool other than prefork keeps
SETTINGS_SAY, LINE_SAYS, NOT_KEPT = "the settings", "the worker's line", "limit-not-kept"
LIMITS = ("time_limit", "soft_time_limit")
SETTINGS = ("task_time_limit", "task_soft_time_limit")
Limit = tuple[str, int, str, float]  # file and line ('', 0: of the worker's line), name, seconds


@dataclass(frozen=True, kw_only=True)
class Line:
    """What the worker's own line says: its pool if that wins over the settings, else ''; its limits in seconds, by name."""

    pool: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """What says which pool it is."""
        return LINE_SAYS if self.pool else SETTINGS_SAY

    @property
    def known(self) -> list[Limit]:
        return [("", 0, name, seconds) for name, seconds in self.limits.items()]


def found(sources: Sequence[Source], line: Line) -> list[Finding]:
    known = [*line.known, *_limits(sources)]
    pool = line.pool or next((str(value) for _, _, value in settings(sources, ("worker_pool",)) if value in KEEPS), "")
    return [*not_kept_in(pool, known, line), *too_long([*known, *_countdowns(sources)], _window(sources))]


def not_kept_in(pool: str, known: Iterable[Limit], line: Line) -> Iterator[Finding]:
    """Those of these limits that this pool does not keep."""
    for path, at, name, seconds in known:
        if pool in KEEPS and name not in KEEPS[pool]:
            yield not_kept(pool, name, seconds, path, at, line.where)


def too_long(known: Iterable[Limit], window: float | None) -> Iterator[Finding]:
    """Those that reach beyond a visibility timeout; None if there is none."""
    for path, at, name, seconds in known:
        if window is not None and seconds >= window:
            yield too_short(window, name, seconds, path, at)


def not_kept(pool: str, name: str, seconds: float, file: str, line: int, where: str = SETTINGS_SAY) -> Finding:
    return Finding(
        rule=NOT_KEPT, level=Level.WARNING, file=file, line=line,
        what=f"{name} is {seconds:g} s, and the pool {pool!r} of {where} does not keep it",
        todo="give the call in the task a time limit of its own, or use prefork",
    )  # fmt: skip


def _limits(sources: Sequence[Source]) -> Iterator[Limit]:
    """Of tasks and settings."""
    for source in sources:
        for task in names.tasks(source):
            for decorator in task.decorator_list:
                for name in LIMITS:
                    value = names.option(decorator, name) if isinstance(decorator, ast.Call) else None
                    if isinstance(value, int | float):
                        yield source.path, decorator.lineno, name, float(value)
    for source, line, value, name in ((s, n, v, w) for w in SETTINGS for s, n, v in settings(sources, (w,))):
        if isinstance(value, int | float):
            yield source.path, line, name.removeprefix("task_"), float(value)


def settings(sources: Sequence[Source], wanted: Sequence[str]) -> Iterator[tuple[Source, int, object]]:
    """(source, line, value) of `app.conf.NAME = …`, `conf.update(NAME=…)`, `{"NAME": …}` and a module's `NAME = …`."""
    spelled = {*wanted, *(name.upper() for name in wanted), *(f"CELERY_{name.upper()}" for name in wanted)}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Assign) and any(ast.unparse(one).rpartition(".")[2] in spelled for one in node.targets):
                yield source, node.lineno, _plain(node.value)
            elif isinstance(node, ast.keyword) and node.arg in spelled:
                yield source, node.value.lineno, _plain(node.value)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value in spelled:
                        yield source, value.lineno, _plain(value)


def _plain(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else names.number(node)


def _window(sources: Sequence[Source]) -> float | None:
    """The visibility timeout of their broker, in seconds."""
    told = [value for _, _, value in settings(sources, ("visibility_timeout",)) if isinstance(value, int | float)]
    if not told and not any("redis://" in source.text or "sqs://" in source.text for source in sources):
        return None
    return float(told[-1]) if told else DEFAULT_S


def too_short(window: float, name: str, seconds: float, file: str, line: int) -> Finding:
    return Finding(
        rule="visibility-timeout", level=Level.WARNING, file=file, line=line,
        what=f"{name} is {seconds:g} s and the visibility timeout {window:g} s: the broker delivers a message that is not "
        "acknowledged by then once more",
        todo="set broker_transport_options['visibility_timeout'] above the longest task and the longest countdown",
    )  # fmt: skip


def _countdowns(sources: Sequence[Source]) -> Iterator[Limit]:
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                value = names.option(node, "countdown")
                if isinstance(value, int | float):
                    yield source.path, node.lineno, "countdown", float(value)
