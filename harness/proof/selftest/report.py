"""The self-test's table: for the terminal, and as CSV, JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from harness.proof.selftest.entry import Case
from harness.proof.selftest.judgement import Judged, Line, Mark, Threshold, lines, thresholds
from harness.records.outcomes import Outcome
from harness.records.store import RunFolder

NO_RECORD = "no record"
WRONG = (Mark.MISSED, Mark.MISCOUNTED, Mark.WRONG_CAUSE)


def columns(found: Sequence[Line]) -> list[str]:
    """The outcomes that were judged at least once, in the order in which they are defined."""
    seen = {outcome for line in found for outcome in line.outcomes}
    return [name for name in (*(outcome.value for outcome in Outcome), NO_RECORD) if name in seen]


def row(line: Line, outcomes: Sequence[str]) -> list[str]:
    """A line of the matrix as texts; nothing where the count is 0."""
    counts = [str(line.outcomes.get(outcome) or "") for outcome in outcomes]
    times = ["" if value is None else f"{value:.1f}" for value in (line.median_s, line.max_s)]
    return [line.name, line.accepted, *counts, *(str(count or "") for count in (line.missed, line.wrong_cause)), *times]


def titles(outcomes: Sequence[str]) -> list[str]:
    return ["injected", "true", *outcomes, "missed", "wrong cause", "median s", "max s"]


def matrix(judged: Sequence[Judged]) -> list[list[str]]:
    """Injected x judged, all pools together: rows of texts, the titles first."""
    found = lines(judged, by_pool=False)
    outcomes = columns(found)
    return [titles(outcomes), *(row(line, outcomes) for line in found)]


def promise(threshold: Threshold) -> str:
    """'kept    misjudged: 0, at most 0'."""
    if threshold.figure is None:
        return f"not run  {threshold.text}"
    word = "kept" if threshold.kept else "broken"
    unit = f" {threshold.unit}" if threshold.unit else ""
    figure = f"{threshold.figure:.1f}" if threshold.of_time else f"{threshold.figure:g}"
    return f"{word:<8} {threshold.text}: {figure}{unit}, at most {threshold.limit:g}{unit}"


def misses(judged: Sequence[Judged]) -> list[str]:
    """A text for each judgement that is not right: where it happened, what was said, and where the evidence is."""
    return [_miss(one) for one in judged if one.mark in WRONG]


def _miss(one: Judged) -> str:
    where = f"{one.case.entry.name} in {one.case.pool}, trial {one.trial}: {one.mark.value}"
    if one.record is None:
        return f"{where} - its run broke off without a record"
    cause = f", cause {one.record.ended.cause}" if one.record.ended.cause else ""
    text = f"{where} - {one.outcome}{cause}: {one.record.reason}"
    return f"{text}\n    evidence: {one.record.ended.evidence}" if one.record.ended.evidence else text


def write(folder: RunFolder, cases: Sequence[Case], judged: Sequence[Judged], *, environment: str, times: int) -> None:
    """`matrix.csv` (a line for each fault in each pool), `matrix.json` and `matrix.md`."""
    folder.replace("matrix.csv", _frame(lines(judged, by_pool=True)).to_csv(index=False))
    data = {
        "environment": environment,
        "times": times,
        "thresholds": [{"text": t.text, "figure": t.figure, "limit": t.limit, "kept": t.kept} for t in thresholds(judged)],
        "lines": _frame(lines(judged, by_pool=True)).to_dict("records"),
        "cannot_exist": [{"fault": c.entry.name, "pool": c.pool, "reason": c.skip} for c in cases if c.skip],
        "misses": misses(judged),
    }
    folder.replace("matrix.json", json.dumps(data, indent=2) + "\n")
    folder.replace("matrix.md", _page(cases, judged, environment=environment, times=times))


def _frame(found: Sequence[Line]) -> pd.DataFrame:
    outcomes = columns(found)
    rows = [
        {
            "fault": line.name, "pool": line.pool, "true": line.accepted, "trials": line.trials,
            **{outcome: line.outcomes.get(outcome, 0) for outcome in outcomes},
            "missed": line.missed, "wrong_cause": line.wrong_cause, "verdict_median_s": line.median_s,
            "verdict_max_s": line.max_s,
        }
        for line in found
    ]  # fmt: skip
    return pd.DataFrame(rows).astype(object).where(lambda frame: frame.notna(), None)


def _page(cases: Sequence[Case], judged: Sequence[Judged], *, environment: str, times: int) -> str:
    pools = list(dict.fromkeys(case.pool for case in cases))
    head, *rows = matrix(judged)
    parts = [
        f"# Self-test: injected and judged\n\nEnvironment `{environment}`, {times} times each, pools {', '.join(pools)}. "
        "A number is how many trials were judged so; `true` is what may be said of the fault.\n",
        "\n".join(f"- {promise(threshold)}" for threshold in thresholds(judged)) + "\n",
        _markdown(head, rows),
    ]
    if wrong := misses(judged):
        parts.append("## Not right\n\n" + "\n".join(f"- {text.splitlines()[0]}" for text in wrong) + "\n")
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        if case.skip:
            reasons.setdefault((case.entry.name, case.skip), []).append(case.pool)
    if reasons:
        why = [[name, ", ".join(where), reason] for (name, reason), where in reasons.items()]
        parts.append("## Cannot exist\n\n" + _markdown(["fault", "pools", "why"], why))
    return "\n".join(parts)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(body) + "\n"
