"""The whole check: the source first, then one import and one fork, then, if a task is given, calls with and without one."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.applications.check import answer, asked, calls, changes, finding, lost, modules, side_by_side
from harness.applications.check.answer import Checked
from harness.applications.check.asked import Answers, Question
from harness.applications.check.finding import Finding, Level
from harness.applications.check.side_by_side import Sides
from harness.applications.check.static import at_import, limits
from harness.errors import BadInput
from harness.texts import few, visible
from harness.worker import own_broker

LOOKED = "; this check looked at the threads, and what a fork loses of them is a finding of its own"
SETTLED = ("lock-at-import", "thread-at-import")  # whether there is such a thread, and what it holds, was looked at
AT_IMPORT = ("thread-at-import", "pool-at-import", "client-at-import", "engine-at-import", "model-at-import")


def whole(question: Question, say: Callable[[str], None]) -> Checked:
    """All of it. Raises BadInput and HarnessError."""
    begun = time.monotonic()
    sources = modules.sources(question.app, question.folder)
    source = answer.of_sources(question.app, sources, question.line)
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder, contextlib.ExitStack() as stack:
        scratch = Path(folder)
        say(f"importing {question.app}, as a worker does until it forks")
        answers, told = _imported(question, scratch, stack)
        looked = asked.looked(answers[0], question.limit_s)
        seen = changes.proposed(lost.found(looked, question.folder), sources)
        found = [*source.findings, *seen, *_limits(told, question)]
        if question.task:
            say(f"calling {question.task} in {side_by_side.CHILDREN} forked children, and without a fork")
            if len(answers) == 1:
                answers += stack.enter_context(asked.asking(question, _made(scratch / "beside"), (0,)))
            sides = side_by_side.compared(answers[0], answers[1], question)
            stack.close()
            found = _with_calls(found, sides, question, scratch, told)
    return replace(
        source, findings=tuple(finding.sorted_(_once(found))), imported=True, called=question.task, import_s=told["took_s"],
        took_s=time.monotonic() - begun, notes=(*source.notes, *_notes(told, looked, question)),
    )  # fmt: skip


def _imported(question: Question, scratch: Path, stack: contextlib.ExitStack) -> tuple[list[Answers], dict[str, Any]]:
    """The processes, ended with `stack`, and what the first one says of itself: it forks; the one that does not, if a task is
    called, is started beside it. Not if it keeps the first one from its import, as by a port that it takes."""
    forks = (side_by_side.CHILDREN, 0) if question.task else (1,)
    with contextlib.ExitStack() as both:
        answers = both.enter_context(asked.asking(question, _made(scratch / "first"), forks))
        try:
            told = asked.imported(answers[0], question)
        except BadInput:
            if not any(asked.was_imported(one, question) for one in answers[1:]):
                raise
        else:
            stack.enter_context(both.pop_all())
            return answers, told
    answers = stack.enter_context(asked.asking(question, _made(scratch / "alone"), forks[:1]))
    return answers, asked.imported(answers[0], question)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _with_calls(
    found: Sequence[Finding], sides: Sides, question: Question, scratch: Path, told: dict[str, Any]
) -> list[Finding]:
    """With what the calls showed. A call that was answered in each child speaks against what is only known of an engine, or of
    the code that it runs."""
    repeats = lost.generators.RULE  # no reason for another answer: random numbers differ anyway
    supported = any(one.is_a_forks and one.level is not Level.NOTE and one.rule != repeats for one in found)
    seen = calls.judged(
        sides, question, lambda: calls.once_more(question, scratch, question.limit_s),
        lambda: side_by_side.one_child(question, scratch, sides.alone), supported=supported, late=told.get("ready", ()),
    )  # fmt: skip
    place = _place(told, question)
    if repeated := calls.repeated(sides):
        found = [replace(one, evidence=(*one.evidence, repeated)) if one.rule == repeats else one for one in found]
    placed = [replace(one, file=place[0], line=place[1]) for one in seen]
    if not calls.answered(sides) or any(one.rule == "call-in-child" for one in seen):
        return [*found, *placed]
    tried = [one for one in found if one.level is Level.ERROR and _is_tried(one, told, question)]
    return [*(_spoken_against(one) if one in tried else one for one in found), *placed]


def _is_tried(one: Finding, told: dict[str, Any], question: Question) -> bool:
    """Whether the calls would have shown it: they are of the function that it is of, or no other task can be meant."""
    names = [task["name"] for task in told["tasks"]]
    code = next((tuple(task["code"]) for task in told["tasks"] if task["name"] == question.task), None)
    return one.rule == "lost-engine" or (bool(one.users) and (names == [question.task] or code in one.users))


def _place(told: dict[str, Any], question: Question) -> tuple[str, int]:
    """(file, line) of the task that is called; ('', 0) if nobody knows."""
    for task in told["tasks"]:
        if task["name"] == question.task and task["code"][0]:
            return lost.words.short(task["code"][0], question.folder), int(task["code"][1])
    return "", 0


def _spoken_against(one: Finding) -> Finding:
    return replace(one, level=Level.WARNING, what=f"{one.what}; but the calls of this check came back from forked children")


def _once(found: Sequence[Finding]) -> list[Finding]:
    """Without what the source alone says of a line that the fork has told more of, and of what the fork has looked at."""
    seen = {(one.file, one.line) for one in found if one.is_a_forks and one.line}
    return [
        _looked_at(one)
        for one in found
        if one.rule not in SETTLED and not (one.rule in AT_IMPORT and (one.file, one.line) in seen)
    ]


def _looked_at(one: Finding) -> Finding:
    """What the source says of an engine, or of a pool, once the fork was looked at: this one has no thread that is lost."""
    level = Level.NOTE if one.rule == "pool-at-import" else one.level
    return replace(one, level=level, todo=one.todo.replace(at_import.UNSEEN, LOOKED))


def _limits(told: dict[str, Any], question: Question) -> list[Finding]:
    """Time limits as the application really has them, wherever they were set."""
    pool, window = question.line.pool or str(told["settings"]["worker_pool"] or ""), told["visibility_timeout"]
    if window is None and own_broker.named(question.variables).get("broker", told["broker"]) in ("redis", "rediss", "sqs"):
        window = limits.DEFAULT_S
    known = [*question.line.known, *_limits_of(told, question)]
    window = window if isinstance(window, int | float) else None
    return [*limits.not_kept_in(pool, known, question.line), *limits.too_long(known, window)]


def _limits_of(told: dict[str, Any], question: Question) -> Iterator[limits.Limit]:
    """Those of the tasks."""
    for task in told["tasks"]:
        file, line, _ = task["code"]
        place = lost.words.short(file, question.folder) if file else ""
        for name, value in (("time_limit", task["hard_s"]), ("soft_time_limit", task["soft_s"])):
            if isinstance(value, int | float):
                yield place, line, name, value


def _heard(one: Sequence[Any], folder: Path) -> str:
    return visible(f"{one[1]} ({lost.words.short(one[2][0], folder)}:{one[2][1]})")


def _is_no_pythons(file: str, question: Question) -> bool:
    return "site-packages" in file or lost.words.is_own(file, question.folder)


def _notes(told: dict[str, Any], looked: dict[str, Any], question: Question) -> tuple[str, ...]:
    said = []
    if question.line.pool:
        said.append(f"the worker's line has the pool {question.line.pool!r}: it forks only if that is changed")
    elif told["pool_settings"]:
        said.append(f"{told['pool_settings'][0].partition(' and beats')[0]}: it forks only if that is changed")
    if told["worker_failed"]:
        said.append(f"its worker could not be made ({told['worker_failed']}), so only its signals were sent")
    hearing = sorted(
        {_heard(one, question.folder) for one in looked["at_fork"] if one[2] and _is_no_pythons(one[2][0], question)}
    )
    if hearing:
        said.append(f"asked Python to be told of a fork: {few(hearing)}")
    if not question.task:
        said.append("no task was called: with --task it is called in a forked child and without a fork")
    return tuple(said)
