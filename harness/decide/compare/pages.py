"""A comparison for machines (JSON) and for a pull request (Markdown): the gravest first, tables that stay short."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from harness.certainty import families
from harness.certainty.comparison import FACTOR, LEAST, LEVEL, ComparisonWord
from harness.decide.compare import gate, sides
from harness.decide.compare.changes import Changes, Difference
from harness.decide.compare.gate import Judgement
from harness.decide.compare.sides import Side
from harness.texts import escaped

RULE = (
    f"a figure differs from a factor {FACTOR:g} on (or the limit that --fail-on gives) if p < {LEVEL:g} (Welch, logarithms, "
    f"{LEAST} trials or more of each); an outcome changed if p < {families.LEVEL:g} (Fisher), or if every trial ends worse "
    f"than any did; p < {families.LEVEL:g} has to stand among all that are compared at once (Holm)"
)
MOST_ROWS = 30
FEW = 3


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Everything that a page tells."""

    first: Side
    second: Side
    changes: Changes
    judgement: Judgement

    @property
    def summary(self) -> str:
        """One line: what there is to read."""
        counted = Counter(one.found.word for one in self.changes.differences)
        worse = sum(bool(one.worse) for one in self.changes.differences)
        unsaid = len(self.changes.outcomes) - len(self.changes.claimed)
        return (
            f"{len(self.changes.claimed)} outcomes changed in {self.changes.compared} cells"
            f"{f', {unsaid} cannot be said' if unsaid else ''}; "
            f"of {len(self.changes.differences)} figures {counted[ComparisonWord.DIFFER]} differ ({worse} worse), "
            f"{counted[ComparisonWord.TIE]} tie, {counted[ComparisonWord.CANNOT_SAY]} cannot be said"
        )


def as_json(compared: Compared) -> str:
    changes = compared.changes
    data: dict[str, Any] = {
        "first": compared.first.name,
        "second": compared.second.name,
        "machine": sides.machines_differ(compared.first, compared.second),
        "versions": sides.versions_differ(compared.first, compared.second),
        "plans": sides.plans_differ(compared.first, compared.second),
        "notes": [{"of": run, "note": note} for run, note in sides.noted(compared.first, compared.second)],
        "summary": compared.summary,
        "rule": RULE,
        "failures": list(compared.judgement.failures),
        "warnings": list(compared.judgement.warnings),
        "outcomes": [vars(change) for change in changes.outcomes],
        "no_change_shown": [vars(change) for change in changes.unshown],
        "figures": [_figure(one) for one in changes.differences],
        "only_in_first": list(changes.gone),
        "only_in_second": list(changes.new),
    }
    return json.dumps(data, indent=2) + "\n"


def _figure(one: Difference) -> dict[str, Any]:
    found = one.found
    return {
        "cell": one.cell, "metric": one.metric.name, "word": found.word.value, "worse": one.worse, "before": one.before,
        "after": one.after, "ratio": found.ratio, "ratio_low": found.low, "ratio_high": found.high, "p": found.p,
        "reason": found.reason,
    }  # fmt: skip


def markdown(compared: Compared) -> str:
    """For a pull request."""
    changes, judgement = compared.changes, compared.judgement
    in_part = bool(changes.words(ComparisonWord.CANNOT_SAY))
    good = "⚠️ **Not all could be compared.**" if in_part else "✅"
    word = "❌ **The check fails.**" if judgement.failures else good
    lines = [f"### `{compared.first.name}` → `{compared.second.name}`", "", f"{word} {compared.summary}.", ""]
    lines += [f"- {escaped(one)}" for one in gate.lines(judgement.failures)]
    lines += [f"- ⚠️ {escaped(one)}" for one in judgement.warnings] + ([""] if judgement.failures or judgement.warnings else [])
    if changes.outcomes:
        lines += ["| cell | outcome | trials | why |", "| --- | --- | --- | --- |"]
        for change in changes.outcomes[:MOST_ROWS]:
            mark = {True: "🔴 ", False: "🟢 ", None: ""}[change.worse]
            unsaid = "cannot say: " if change.worse is None and change.basis else ""
            said = f"{mark}{unsaid}**{change.before} → {change.after}**"
            rests = escaped("; ".join(filter(None, (change.counts, change.basis))))
            lines.append(f"| `{change.cell}` | {said} | {rests} | {escaped(change.reason)} |")
        lines += [*_more(len(changes.outcomes)), ""]
    if differing := changes.words(ComparisonWord.DIFFER):
        lines += ["| cell | figure | before | after | ratio (95 %) |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(one) for one in differing[:MOST_ROWS]]
        lines += [*_more(len(differing)), ""]
    lines += [
        f"Asked for otherwise: {escaped(one)}  " for one in gate.lines(sides.plans_differ(compared.first, compared.second))
    ]
    lines += [f"Versions: {escaped(one)}  " for one in gate.lines(sides.versions_differ(compared.first, compared.second))]
    lines += [f"Note on {run}: {escaped(note)}  " for run, note in sides.noted(compared.first, compared.second)]
    lines += [f"`{one.cell}`: {escaped(one.basis)}  " for one in changes.unshown[:MOST_ROWS]]
    reasons = Counter(reason(one) for one in changes.words(ComparisonWord.CANNOT_SAY))
    lines += [f"Cannot say ({count} figures): {escaped(why)}." for why, count in reasons.most_common(5)]
    for title, cells in (("first", changes.gone), ("second", changes.new)):
        if cells:
            shown_ = ", ".join(f"`{cell}`" for cell in cells[:FEW])
            lines.append(f"Only in the {title} run: {len(cells)} cells, {shown_}{' ...' if len(cells) > FEW else ''}.")
    return "\n".join([*lines, "", f"<sub>The rule: {RULE}.</sub>"]) + "\n"


def _row(one: Difference) -> str:
    mark = "🔴 " if one.worse else "🟢 "
    found, metric = one.found, one.metric
    return (
        f"| `{one.cell}` | {mark}{metric.title} | {shown(one.before, one)} | {shown(one.after, one)} | "
        f"{found.ratio:.3f} ({found.low:.3f} – {found.high:.3f}) |"
    )


def shown(value: float | None, one: Difference) -> str:
    return "-" if value is None else f"{value * one.metric.scale:.4g}{one.metric.unit}"


def reason(one: Difference) -> str:
    """Why nothing can be said, without the numbers of this cell, so that cells can be counted by it."""
    said = one.found.reason
    return "the trials are too few or too unlike for differences of this size" if said.startswith("ratio ") else said


def _more(count: int) -> list[str]:
    return [f"| ... and {count - MOST_ROWS} more | | | | |"] if count > MOST_ROWS else []
