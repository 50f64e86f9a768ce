"""Advice as text for a terminal and as Markdown. Pure: from `ranking.Advice` to words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.decide.advise import basis, overhead, settings, units
from harness.decide.advise.candidates import Candidate
from harness.decide.advise.in_words import figures, in_short
from harness.decide.advise.ranking import Advice
from harness.judge.remedies import THEIRS, against_waiting
from harness.records.outcomes import Outcome
from harness.run.plan import NOT_BOUGHT
from harness.summary import notes
from harness.texts import escaped, few

MOST = 12  # lines of a list; all are in the JSON
CHANGE_FILE = "code-change.diff"  # of a probe, in its folder
WORKERS = (1, 2, 4, 8)
UNEVEN = (
    "the pace and the usual latency do not fit: a few requests took far longer than the others, measure longer: --measure-s"
)


def headline(advice: Advice) -> str:
    """The answer in one sentence, with what it does not know."""
    lacking = f"; {NOT_BOUGHT}: {', '.join(advice.unbought)}" if advice.unbought else ""
    return f"{_answer(advice)}{_not_compared(advice)}{lacking}"


def _not_compared(advice: Advice) -> str:
    """What may be as good: it answered rightly, and no figure of it can be used. A pool by its name if none of it has any."""
    if not advice.shown:
        return ""  # then that is the answer
    known = {one.cell.pool for one in basis.every(advice) if one.measured}
    right = [one for one in advice.unused if one.answers]
    names = dict.fromkeys(one.id if one.cell.pool in known else one.cell.pool for one in right)
    return f"; not compared: {few(list(names))} (all answers right, no figures that can be used)" if names else ""


def _answer(advice: Advice) -> str:
    asked = f" that keeps {', '.join(map(str, advice.bounds))}" if advice.bounds else ""
    if advice.alike:
        others = f"any of these {len(advice.alike)} serves it{asked.replace(' that', ' and')}"
        return f"{advice.workload}, {advice.traffic}: no pool is the best, {decider(advice)[1]} decides; {others}"
    if not advice.best and (right := [one.cell.pool for one in advice.unused if one.answers]):
        names = few(list(dict.fromkeys(right)))
        busy = "the machine was too busy to say which is fastest"
        return f"{advice.workload}, {advice.traffic}: all answers were right in {names}; {busy}"
    if not advice.best:
        return f"{advice.workload}, {advice.traffic}: no configuration{asked} can be recommended from these data"
    first = advice.best[0]
    more = len(advice.best) - 1
    others = f" ({more} more {'is' if more == 1 else 'are'} as fast, as far as the data show)" if more else ""
    return f"{advice.workload}, {advice.traffic}: use {first.id}{others}{asked}: {in_short(first)}{_among(advice)}"


def decider(advice: Advice) -> tuple[str, str, tuple[str, ...]]:
    """(what decides in the place of the pool, in words; its name; what helps against it); empty if the pool decides."""
    each = (
        (advice.limited, "the task's own rate limit", overhead.AGAINST_LIMIT),
        (advice.waited, "what requests wait for", overhead.AGAINST_WAITING),
        (advice.overhead, "Celery's own overhead", overhead.AGAINST_OVERHEAD),
    )
    return next((one for one in each if one[0]), ("", "", ()))


def _among(advice: Advice) -> str:
    """Of which engines it is the answer, if some that were measured are past their end of life."""
    maintained = [one.engine for one in advice.engines if not one.ended]
    if len(maintained) == len(advice.engines) or not advice.shown or advice.shown.ended:
        return ""
    return f"; of the engines that are maintained, {few(maintained)} {'was' if len(maintained) == 1 else 'were'} measured"


def by_engine(advice: Advice) -> list[str]:
    """The answer for each engine, if several were measured: who has one can hardly change it."""
    return [f"with {one.engine}: {_own(one)}{f'; {one.ended}' if one.ended else ''}" for one in advice.engines]


def _own(advice: Advice) -> str:
    if advice.alike:
        least = advice.alike[0]
        return f"{decider(advice)[1]} decides; any of {len(advice.alike)} serves, {least.id} with the least memory"
    if advice.best:
        return f"use {advice.best[0].id}: {figures(advice.best[0])}"
    return "no configuration can be recommended from these data"


def lines(advice: Advice) -> list[str]:
    """All of it but what to paste, one thought a line."""
    return [
        *by_engine(advice),
        *answer(advice),
        *vetoes(advice),
        *basis.checked(advice),
        *noted(advice),
        basis.compared(advice),
    ]


def answer(advice: Advice) -> list[str]:
    """What to use, what comes next, and what would change that; or what decides in its place, and what helps then."""
    said = [line for one in advice.best for line in (f"best: {one.id}: {figures(one)}", *of_tasks(one))]
    said += advice.siblings
    decides, _, helps = decider(advice)
    if decides:
        said += [decides, *(f"what helps: {each}" for each in helps)]
        kept = f", keeps {', '.join(map(str, advice.bounds))}" if advice.bounds else ""
        said += _few([f"serves{kept}: {one.id}: {figures(one)}" for one in advice.alike], "serve")
    if advice.provisional:
        few_trials = "these rest on fewer than three trials each"
        said.append(f"{few_trials}; what is within 10 % of the fastest, or overlaps with it, counts as not told apart")
    if advice.runner_up is not None and advice.behind is not None:
        ratio = f"{advice.runner_up.rows_per_s / advice.best[0].rows_per_s:.2f} x the best"
        said.append(f"runner-up: {advice.runner_up.id}: {ratio}; {figures(advice.runner_up)}")
    said += basis.curve(advice)
    own = [one for one in advice.slower if one.application]  # the table of an experiment has them all
    first_per_s, first = max(((one.rows_per_s, "the best") for one in advice.best[:1]), default=(0.0, ""))
    if advice.alike:
        first_per_s, first = max(one.rows_per_s for one in advice.alike), "the fastest of these"
    said += [f"slower: {one.id}: {one.rows_per_s / first_per_s:.2g} x {first}; {figures(one)}" for one in own]
    said += seen(advice)
    said += [f"{one.change}: {one.then}" for one in advice.sensitivity]
    return said + [f"to measure: {one}" for one in advice.measure]


def seen(advice: Advice) -> list[str]:
    """Of somebody's own application, how the requests ended in each pool that serves; and the doubts that decide."""
    serving = [*advice.best, *advice.alike, *([advice.runner_up] if advice.runner_up else []), *advice.slower]
    ends = [f"answers: {one.id}: {one.reason}" for one in serving if one.application]
    ends += [f"doubt: {one.id}: {UNEVEN}" for one in serving if one.application and overhead.uneven(one)]
    return _few(ends, "serve") + _few([f"doubt: {one.id}: {text}" for one in serving for text in one.doubts], "doubts")


def vetoes(advice: Advice) -> list[str]:
    """What not to use, and why."""
    said = _few([f"vetoed: {one.id}: {_why(one)}{_evidence(one)}" for one in advice.vetoed], "vetoed")
    said += _few(
        [f"not used: {one.id}: {one.outcome}, {one.reason}{_without_figures(one)}" for one in advice.unused], "not used"
    )
    said += _few([f"doubt: {one.id}: {text}" for one in advice.unused for text in one.doubts], "doubts")
    said += _together(advice.vetoed)
    return said + _few([f"does not keep {_broken(one)}: {one.id}" for one in advice.unfit], "do not keep a bound")


def _together(vetoed: Iterable[Candidate]) -> list[str]:
    """What sets the vetoed apart, and what helps against the cause of each: every sentence once."""
    known = list(vetoed)
    said = [f"why {one.cell.pool} failed: {'; '.join(one.support)}" for one in known if one.application and one.cause in THEIRS]
    for text in dict.fromkeys(_beside(one) for one in known if one.beside):
        said.append(f"{few([one.id for one in known if _beside(one) == text])}, compared with the other pools: {text}")
    own = [one for one in known if one.application]
    helps = [f"what helps against {one.cause}: {THEIRS[one.cause]}" for one in own if one.cause in THEIRS]
    waiting = [one for one in own if one.outcome is Outcome.WAITING and one.cause not in THEIRS]
    helps += [f"against waiting: {text}" for one in waiting if (text := against_waiting(one.reason))]
    return list(dict.fromkeys([*said, *helps]))


def _beside(one: Candidate) -> str:
    """Without its general hint, if the cause is known."""
    return one.beside.partition("): look at ")[0] + ")" if one.cause in THEIRS and "): look at " in one.beside else one.beside


def noted(advice: Advice) -> list[str]:
    """What a reader has to know of the configurations beside their figures, each note once."""
    every = basis.every(advice)
    cells = {one.id: one.notes for one in every}
    past = dict.fromkeys(text for one in every for text in (one.old, one.ended if not advice.engines else "") if text)
    return [f"note: {line}" for line in (*past, *notes.counted(list(cells.values())))]


def of_tasks(one: Candidate) -> list[str]:
    """Of a mix, what became of each task in it."""
    return [f"of it, {line}" for line in notes.parts(str(one.row.get("tasks") or ""))]


def memory(one: Candidate, bytes_: float | None) -> str:
    """How much several such workers need, and how many fit."""
    peak = one.row["peak_pss_bytes"]
    if peak is None:
        return "memory is not known"
    each = ", ".join(f"{count} workers {peak * count / 2**20:.0f} MiB" for count in WORKERS[1:])
    fit = f"; {int(bytes_ // peak)} would fit into {bytes_ / 2**20:.0f} MiB" if bytes_ else ""
    return f"memory of such a worker: {peak / 2**20:.0f} MiB; of several, multiplied and not measured: {each}{fit}"


def change(one: Candidate, advice: Advice) -> list[str]:
    """Where the model has to be loaded and how it is called, and which other ways in the same pool were seen to fail."""
    said = [f"{one.id}, which takes the least memory of them, starts so:"] if advice.alike else []
    said.append(settings.of(one.cell, one.application).change)
    for other in advice.vetoed:
        same = (other.cell.backend, other.cell.pool) == (one.cell.backend, one.cell.pool)
        if same and (other.cell.placement, other.cell.call) != (one.cell.placement, one.cell.call):
            said.append(
                f"not: {settings.of(other.cell, other.application).change}: it {_ended(other)} in {other.id}{_evidence(other)}"
            )
    return said


def code_changes(advice: Advice) -> list[tuple[str, str]]:
    """(what to do, a diff or '') for an application whose prefork fails by the fork, as its cause says: a cell that fails by a
    limit, an import or a lock of its own is helped by no other place of loading.
    """
    failed = [
        one
        for one in advice.vetoed
        if one.cell.pool == "prefork" and one.application is not None and one.cause.startswith("fork-")
    ]
    if not failed:
        return []
    one = failed[0]
    assert one.application is not None
    head = f"prefork {_ended(one)}{_evidence(one)}"
    found = one.application["changes"]
    if not found:
        words = "no object that a module makes at import was recognised in the blocked stack"
        return [(f"{head}: {words}, so no change of code is proposed", "")]
    patch = f"patch -d {shlex.quote(one.application.get('folder', 'FOLDER'))} -p1 < {shlex.quote(f'{one.run}/{CHANGE_FILE}')}"
    return [_code_change(head, each, patch) for each in found]


def _code_change(head: str, change: Mapping[str, Any], patch: str) -> tuple[str, str]:
    where = f"{head}: line {change['line']} of {change['file']} makes it as the module is imported ({change['statement']})"
    if change["diff"]:
        return f"{where}; '{patch}' lets each process make it for itself", change["diff"]
    return f"{where}; make it in the first task of each process instead (no diff: {change['why_not']})", ""


def markdown(advice: Sequence[Advice], most_memory: float | None = None) -> str:
    parts = []
    for one in advice:
        parts += [f"## {escaped(headline(one))}", "", *(f"- {escaped(line)}" for line in lines(one)), ""]
        for words, diff in code_changes(one):
            parts += [f"- {escaped(words)}", "", *(fenced("diff", diff) if diff else ())]
        if (first := one.shown) is not None:
            parts += [f"- {escaped(memory(first, most_memory))}", *(f"- {escaped(line)}" for line in change(first, one)), ""]
            for title, language, block in _blocks(first):
                parts += [f"{title}:", "", *fenced(language, block)]
    return "\n".join(parts)


def fenced(language: str, block: str) -> list[str]:
    """Lines of a block of code that nothing inside it can end."""
    longest = max((len(run) for run in re.findall(r"`+", block)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", block.rstrip(), fence, ""]


def blocks(one: Candidate) -> list[tuple[str, str]]:
    """(title, text) of what to paste."""
    return [(title, block) for title, _, block in _blocks(one)]


def _blocks(one: Candidate) -> list[tuple[str, str, str]]:
    setup = settings.of(one.cell, one.application)
    celery = "\n".join(f"app.conf.{name} = {value}" for name, value in setup.celery.items())
    return [
        ("Command line", "sh", setup.shell),
        *((("Celery settings", "python", celery), ("Code", "python", setup.code)) if setup.code else ()),
        ("systemd", "ini", units.systemd(setup)),
        ("compose", "yaml", units.compose(setup)),
    ]


def _broken(one: Candidate) -> str:
    told = []
    for bound in one.broken:
        figure = bound.read(one.row)
        told.append(f"{bound} (a fresh worker has {bound.shown(figure)})" if figure is not None else str(bound))
    return ", ".join(told)


def _without_figures(one: Candidate) -> str:
    return f"; its figures cannot be used: {one.unusable}" if one.unusable else ""


def _why(one: Candidate) -> str:
    return one.atlas or f"{one.outcome}, {one.reason}"


def _ended(one: Candidate) -> str:
    words = {"hung": "hung", "crashed": "crashed", "errors": "raised errors", "wrong": "answered wrongly"}
    return "failed in the atlas" if one.atlas else words.get(one.outcome, f"ended {one.outcome}")


def where(one: Candidate) -> str:
    return f"{one.run}/{one.evidence}" if one.evidence else ""


def _evidence(one: Candidate) -> str:
    return f" (evidence: {where(one)})" if one.evidence else ""


def _few(found: Iterable[str], what: str) -> list[str]:
    known = list(found)
    return known[:MOST] + ([f"... and {len(known) - MOST} more {what}"] if len(known) > MOST else [])
