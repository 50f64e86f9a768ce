"""The change of code that makes an object in each process, for errors that name one: `probe.code_change`, asked beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.probe import code_change
from harness.applications.probe.implicated import objects


def proposed(found: Iterable[Finding], sources: Sequence[Source]) -> list[Finding]:
    """With a diff, or with what stands in its way, at each error whose object one of these modules makes."""
    return [_with_change(one, sources) if one.level is Level.ERROR and one.made else one for one in found]


def _with_change(one: Finding, sources: Sequence[Source]) -> Finding:
    source, name = made_in(one.made, sources)
    if source is None or name not in objects(source.tree):
        return one
    texts = {each.path: each.text for each in sources}
    for change in code_change.propose(texts, {source.path: frozenset({name})}):
        if change.diff:
            return replace(one, diff=change.diff)
        return replace(one, todo=f"{one.todo}; no diff is made, for {change.why_not}")
    return one


def made_in(label: str, sources: Sequence[Source]) -> tuple[Source | None, str]:
    """The module that makes an object, and its name there: of 'shop.store.STORE.pool' the module shop.store, and STORE."""
    fitting = [one for one in sources if label.startswith(f"{one.module}.")]
    source = max(fitting, key=lambda one: len(one.module), default=None)
    name = label[len(source.module) + 1 :].partition(".")[0] if source is not None else ""
    return source, name
