"""The page of claims that a file holds: each with its source, its verdict, its cells and their evidence. Only formatting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.certainty import exact
from harness.experiment.experiment import Experiment
from harness.records.outcomes import NOT_JUDGED
from harness.studies.claims import cases, threads
from harness.studies.claims.cases import Case, RulingWord
from harness.studies.claims.claims import Judgement
from harness.studies.claims.dossier import Dossier, cell_text


def page(experiment: Experiment, judgements: Sequence[Judgement], dossier: Dossier) -> str:
    """The Markdown page."""
    expected = {one.id: {cell.id: word for cell, word in one.expected.items()} for one in experiment.claims}
    parts = [
        "# Claims of public threads, measured",
        f"Written by `harness claims {experiment.name}` from the records in this folder; nothing here is edited by hand. The "
        "words of each claim are our own summary of what its source says; what differs from the source is told with it. In "
        "brackets: the exact (Clopper and Pearson) 95 % interval of a rate.",
        dossier.provenance(),
        _overview(judgements),
        *(text for one in judgements for text in _section(one, expected[one.claim.id], dossier)),
    ]
    return "\n\n".join(parts) + "\n"


def _overview(judgements: Sequence[Judgement]) -> str:
    rows = [
        f"| [{one.claim.id}](#{one.claim.id.lower()}) | {', '.join(f'`{name}`' for name in one.claim.scope) or '–'} | "
        f"**{one.overall.word.value}** | {cell_text(one.claim.text)} |"
        for one in judgements
    ]
    return "\n".join(["| claim | engines | verdict | what is said |", "| --- | --- | --- | --- |", *rows])


def _section(one: Judgement, expected: Mapping[str, str], dossier: Dossier) -> list[str]:
    claim = one.claim
    parts = [f"## {claim.id}", claim.text, f"Said in {', '.join(f'<{source}>' for source in claim.sources)}."]
    parts.append(f"**{cell_text(str(one.overall))}**")
    parts += [f"*Differs from the source:* {claim.remark}"] if claim.remark else []
    if claim.lacking and one.overall.word is not RulingWord.SKIPPED:
        parts.append(f"*Not tried:* {cell_text('; '.join(claim.lacking))}.")
    if one.cases:
        parts += [f"A case agrees if {claim.agreeing}.", "\n".join(_by_backend(one, name) for name in one.by_backend)]
        parts.append(_table(one.cases, expected, dossier))
    return parts


def _by_backend(one: Judgement, name: str) -> str:
    counts = cases.outcome_counts(one.of(name))
    judged = sum(count for outcome, count in counts.items() if outcome not in NOT_JUDGED)
    told = [
        f"{outcome} {_rate(count, judged) if outcome not in NOT_JUDGED else count}" for outcome, count in counts.most_common()
    ]
    return f"* `{name}`: {cell_text(str(one.by_backend[name]))}" + (f"; trials: {', '.join(told)}" if told else "")


def _rate(count: int, judged: int) -> str:
    low, high = exact.interval(count, judged)
    return f"{count} of {judged} ({low * 100:.0f} % - {high * 100:.0f} %)"


def _table(found: Sequence[Case], expected: Mapping[str, str], dossier: Dossier) -> str:
    lines = ["| cell | expected | stands | seen | evidence |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{case.name}` | {threads.did(expected[case.name])} | {case.stand} | {cell_text(case.seen)} | "
        f"{dossier.linked(case.evidence)} |"
        for case in found
    ]
    return "\n".join(lines)
