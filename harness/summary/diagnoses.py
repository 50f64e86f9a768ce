"""`diagnoses.md`: for each cell that did not end `ok`, what was seen, the likely cause, and what helps.

A fix is called *measured* only where a sibling cell of the same run carried it out; otherwise the text says how to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.experiment.matrix import AS_WRITTEN, Cell
from harness.judge.remedies import Fix, against_waiting, fixes
from harness.measure import doubts, silent
from harness.records import evidence
from harness.records.outcomes import NOT_JUDGED, Outcome
from harness.records.record import TrialRecord, by_cell
from harness.summary import contrast, notes, pattern
from harness.texts import escaped

BAD = frozenset(Outcome) - {Outcome.OK, Outcome.SKIPPED}
CAUSED = frozenset({Outcome.HUNG, Outcome.WAITING, Outcome.STALLED, Outcome.RESPAWNING, Outcome.CRASHED})


def text(records: Iterable[TrialRecord]) -> str:
    """The whole page, in the order in which cells first appear; '' if all ended well."""
    groups = by_cell(records)
    parts = [part for trials in groups.values() if (part := _of_cell(trials, groups) or _doubted(trials))]
    return "# What went wrong, and why\n\n" + "\n".join(parts) if parts else ""


def _of_cell(trials: Sequence[TrialRecord], groups: Mapping[str, Sequence[TrialRecord]]) -> str:
    bad = [record for record in trials if record.outcome in BAD]
    if not bad:
        return ""
    worst = bad[0]
    lines = [
        f"## {worst.cell_id}",
        "",
        f"**{worst.outcome.value}**, {len(bad)} of {len(trials)}: {escaped(worst.reason)}",
    ]
    cause = contrast.cause(worst, groups)
    if cause.name or worst.outcome in CAUSED:
        support = [f"* {escaped(sentence)}" for sentence in cause.support]
        lines += ["", f"Likely cause: **{cause.name or 'unknown'}**.", *support]
    if beside := pattern.across(worst.as_cell, groups):
        lines += ["", f"Beside the others: {escaped(beside)}."]
    helps = [_of_fix(fix, groups, worst.outcome) for fix in fixes(worst.as_cell, cause.name)]
    own = worst.outcome is Outcome.WAITING and worst.as_cell.placement == AS_WRITTEN
    if own and not helps and (text := against_waiting(worst.reason)):
        helps = [f"* {text}"]
    if helps:
        lines += ["", "What would help:", *helps]
    unnoticed = [text for text in doubts.deciding(bad) if text.startswith(silent.NAMES)]
    if said := [*notes.of(bad), *unnoticed]:
        lines += ["", "To know beside it:", *[f"* {escaped(note)}" for note in said]]
    if worst.ended.evidence:
        lines += ["", f"Evidence: {evidence.linked(worst.ended.evidence)}"]
    return "\n".join(lines) + "\n"


def _doubted(trials: Sequence[TrialRecord]) -> str:
    """Of a cell whose answers were right: what is no fault of its own, and decides all the same; '' if nothing does."""
    found = doubts.deciding(trials)
    if not found or trials[0].as_cell.is_control:
        return ""
    lines = [f"## {trials[0].cell_id}", "", f"**{trials[0].outcome.value}**: {escaped(trials[0].reason)}", ""]
    return "\n".join([*lines, "In doubt:", *(f"* {escaped(text)}" for text in found)]) + "\n"


def _of_fix(fix: Fix, groups: Mapping[str, Sequence[TrialRecord]], wrong: Outcome) -> str:
    if fix.cell is None:
        return f"* {fix.text}"
    sibling = _sibling(fix.cell, groups)
    if not sibling:
        return f"* {fix.text}: not measured in this run (`{fix.cell.id}`)"
    good = [record for record in sibling if record.outcome is Outcome.OK]
    if len(good) == len(sibling):
        known = [record.pace for record in good if record.pace.measured_s and not record.certainty.unusable]
        paces = [one.measured_requests / (one.measured_s or 1.0) for one in known]
        pace = f", {max(paces):.1f} requests per second" if paces else ""
        return f"* {fix.text}: **measured to work**, {len(good)} of {len(sibling)} ok{pace} (`{fix.cell.id}`)"
    ended = ", ".join(dict.fromkeys(record.outcome.value for record in sibling if record.outcome is not Outcome.OK))
    if all(record.outcome != wrong for record in sibling):
        return f"* {fix.text}: measured, and it is not {wrong.value} there, but ended: {ended} (`{fix.cell.id}`)"
    return f"* {fix.text}: measured, and **does not help**: {ended} (`{fix.cell.id}`)"


def _sibling(cell: Cell, groups: Mapping[str, Sequence[TrialRecord]]) -> list[TrialRecord]:
    """The trials of that cell that say something: neither skipped nor invalid."""
    return [r for r in groups.get(cell.id, ()) if r.outcome not in NOT_JUDGED]
