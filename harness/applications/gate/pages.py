"""What a gate decided, for programs (JSON), for a pull request (Markdown) and for later (a line of a history)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import __version__
from harness.applications.gate import gate
from harness.applications.gate.gate import GateAnswer, PoolAnswer
from harness.applications.gate.rule import Pair, Span, Trial, Word, percent, tally
from harness.display import duration
from harness.errors import BadInput
from harness.machine import identity
from harness.records import store
from harness.records.store import RunFolder
from harness.texts import escaped

SCHEMA = 1
MARKS = {Word.PASSES: "✅", Word.WORSE: "❌", Word.CANNOT_SAY: "⚠️"}
TITLES = {
    Word.PASSES: "Serving is not slower by what matters, and ends as before",
    Word.WORSE: "Serving is worse",
    Word.CANNOT_SAY: "It cannot be said whether serving is worse",
}
ONLY_THE_BASE = "Serving is not worse: only the base fails"
MORE = "More time (--budget) or a quieter machine tells more"
AT_ONCE = ", and so may both commits at the same time (--at-once)"
FAILING = "'harness probe' shows how each side ends, and why; mend that first"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the user wants it written."""

    json: Path | None = None
    markdown: Path | None = None
    history: Path | None = None

    def check(self) -> None:
        """Before minutes are spent: raises BadInput or CannotWrite for a place that cannot take it."""
        for path in filter(None, (self.json, self.markdown, self.history)):
            if path.is_dir():
                raise BadInput(f"{path} is a folder, and no file", remedy="name a file")
            with store.writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.open("a").close()


def write(answer: GateAnswer, places: Places) -> None:
    """All of it; `gate.json` in the gate's own folder, too. Raises CannotWrite."""
    told = as_data(answer)
    RunFolder(answer.order.out).replace(gate.FILE, f"{json.dumps(told, indent=2)}\n")
    if places.json:
        with store.writing(places.json):
            places.json.write_text(f"{json.dumps(told, indent=2)}\n")
    if places.markdown:
        with store.writing(places.markdown):
            places.markdown.write_text(markdown(answer))
    if places.history:
        with store.writing(places.history):
            _append(places.history, json.dumps(line(told)))


def _append(path: Path, text: str) -> None:
    """On a line of its own, also below a last line that was torn."""
    with open(path, "ab+") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            text = text if file.read(1) == b"\n" else f"\n{text}"
        file.write(f"{text}\n".encode())


def as_data(answer: GateAnswer) -> dict[str, Any]:
    """Everything, as JSON has it. Slow-downs are shares of the base's pace; paces are requests per second."""
    order = answer.order
    return {
        "schema": SCHEMA, "harness": __version__, "started": answer.started, "seconds": round(answer.seconds, 1),
        "decision": answer.word.value, "reason": reason(answer), "app": order.probe.app, "task": order.probe.task,
        "base": _commit(answer.base), "head": _commit(answer.head),
        "rule": {"tolerance": order.rule.tolerance, "matters": order.rule.matters, "confidence": order.rule.confidence},
        "budget_s": order.budget_s, "at_once": order.at_once, "notes": list(answer.notes), "machine": identity.facts(),
        "pools": [_pool(one) for one in answer.pools],
    }  # fmt: skip


def reason(answer: GateAnswer) -> str:
    """Why, in one line: the pool that decides, and what its trials show."""
    one = answer.decides
    return f"{one.name}: {one.decision.reason}"


def title(answer: GateAnswer) -> str:
    """The decision in a line; a pass against a base that fails says nothing of pace."""
    mended = answer.word is Word.PASSES and any(one.decision.by == "outcome" for one in answer.pools)
    return ONLY_THE_BASE if mended else TITLES[answer.word]


def next_step(answer: GateAnswer) -> str:
    """What would tell more, if nothing can be said."""
    found = answer.decides.decision
    if answer.word is not Word.CANNOT_SAY:
        return ""
    if found.by == "outcome" and found.decided:
        return f"{FAILING}."
    return f"{MORE}{'' if answer.order.at_once else AT_ONCE}."


def _commit(one: Any) -> dict[str, str]:
    return {"named": one.named, "commit": one.digest, "subject": one.subject}


def _pool(one: PoolAnswer) -> dict[str, Any]:
    found = one.decision
    return {
        "pool": one.name, "decision": found.word.value, "by": found.by, "reason": found.reason,
        "slower": _span(found.pace), "more_cpu": _span(found.cpu), "more_time": _span(found.time),
        "pairs": [_pair(pair) for pair in one.pairs],
    }  # fmt: skip


def _span(one: Span | None) -> dict[str, float] | None:
    return asdict(one) if one else None


def _pair(pair: Pair) -> dict[str, Any]:
    return {"first": pair.first, "base": _trial(pair.base), "head": _trial(pair.head)}


def _trial(one: Trial) -> dict[str, Any]:
    return {
        "outcome": one.outcome.value,
        "pace_per_s": one.pace_per_s,
        "cpu_s": one.cpu_s,
        "own_s": one.own_s,
        "reason": one.reason,
        "evidence": one.evidence,
        "others_share": one.others_share,
    }


def line(told: dict[str, Any]) -> dict[str, Any]:
    """What a history keeps: all but the single trials."""
    pools = [{**one, "pairs": len(one["pairs"])} for one in told["pools"]]
    return {**told, "pools": pools}


def markdown(answer: GateAnswer) -> str:
    """For a pull request."""
    order = answer.order
    lines = [
        f"### {MARKS[answer.word]} {title(answer)}",
        "",
        f"`{answer.base.short}` ({escaped(answer.base.named)}) → `{answer.head.short}` ({escaped(answer.head.named)}), "
        f"`{order.probe.task}`: {escaped(reason(answer))}. {next_step(answer)}".rstrip(),
        "",
        "| pool | decision | slower | more CPU | more time | pairs | base | head |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *map(_row, answer.pools),
        "",
        *(f"Note: {escaped(note)}.  " for note in answer.notes),
        f"<sub>{_how(answer)}</sub>",
    ]
    return "\n".join(lines) + "\n"


def _how(answer: GateAnswer) -> str:
    """How it was measured, and when it would have been which word."""
    order, limits = answer.order, answer.order.rule
    turns = "at once" if order.at_once else "by turns"
    return (
        f"Trials of both commits {turns}, on one machine, in {duration(answer.seconds)} of {duration(order.budget_s)}. Worse: "
        f"a graver outcome, twice, or more than {percent(limits.tolerance)} slower, or as much more CPU or time per request "
        "(time: of its executor, without waits for a core). Passes: "
        f"no slow-down of {percent(limits.matters)} or more. Intervals ({percent(limits.confidence)} for all together) may be "
        "looked at after each pair."
    )


def _row(one: PoolAnswer) -> str:
    base, head = outcomes(one)
    found = one.decision
    spans = " | ".join(map(spanned, (found.pace, found.cpu, found.time)))
    return f"| {one.name} | {MARKS[found.word]} {found.word} | {spans} | {len(one.pairs)} | {base} | {head} |"


def outcomes(one: PoolAnswer) -> Sequence[str]:
    """How the trials of both sides ended: 'ok 5'."""
    return [tally([pair.base for pair in one.pairs]), tally([pair.head for pair in one.pairs])]


def spanned(one: Span | None) -> str:
    """'4.1 % (-2.0 % to 9.7 %)'; '-' without figures."""
    return f"{one.middle * 100:.1f} % ({one.low * 100:.1f} % to {one.high * 100:.1f} %)" if one else "-"
