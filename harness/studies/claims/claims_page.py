"""`claims.md` and `claims.csv`: the verdicts as a page and as a table, both with paths to the evidence. Only formatting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from harness.experiment import matrix
from harness.experiment.matrix import Cell
from harness.studies.claims import cases, claim_fork, claims
from harness.studies.claims.cases import Case, Ruling, RulingWord, Trials
from harness.studies.claims.claims import EVERY, Judgement
from harness.studies.claims.dossier import Dossier, cell_text

COLUMNS = (
    "claim", "backend", "in_scope", "verdict", "condition", "outcomes", "cases", "agree", "contradict", "sometimes", "unknown",
    "cells", "evidence",
)  # fmt: skip

LOADED, PREDICTED = "loaded the model that the child uses", "loaded that model, and predicted with it"
# in the order of matrix.PARENT_DEEDS, then those with the child's own model
DEEDS = (
    "nothing", "imported the library", "built a model of its own", "loaded a model of its own",
    "predicted with a model of its own", LOADED, PREDICTED,
)  # fmt: skip


def table(judgements: Sequence[Judgement], dossier: Dossier) -> pd.DataFrame:
    """One row a claim and backend, and one with the backend `overall`."""
    rows = []
    for one in judgements:
        scope = [case for case in one.cases if case.backend in one.claim.scope]
        rows.append(_row(one, "overall", one.overall, scope, dossier))
        rows += [_row(one, name, ruling, one.of(name), dossier) for name, ruling in one.by_backend.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(one: Judgement, backend: str, ruling: Ruling, found: Sequence[Case], dossier: Dossier) -> dict[str, object]:
    stands = Counter(case.stand.value for case in found)
    return {
        "claim": one.claim.id, "backend": backend, "in_scope": backend == "overall" or backend in one.claim.scope,
        "verdict": ruling.word.value, "condition": ruling.condition, "outcomes": outcomes(found), "cases": len(found),
        "agree": stands["agrees"], "contradict": stands["contradicts"], "sometimes": stands["sometimes"],
        "unknown": stands["unknown"], "cells": " ".join(case.name for case in found),
        "evidence": " ".join(dict.fromkeys(path for case in found for path in dossier.present(case.evidence))),
    }  # fmt: skip


def outcomes(found: Sequence[Case]) -> str:
    """'hung 9 of 10, ok 1 of 10': all trials of these cases."""
    counts = cases.outcome_counts(found)
    return ", ".join(f"{outcome} {count} of {counts.total()}" for outcome, count in counts.most_common())


def page(judgements: Sequence[Judgement], dossier: Dossier) -> str:
    """The Markdown page."""
    parts = [
        "# The claims, measured",
        "Written by `harness claims` from the records in this folder; nothing here is edited by hand. " + claims.SOURCE,
        dossier.provenance(),
        _overview(judgements),
        *(text for one in judgements for text in _section(one, dossier)),
        "## The sweep",
        "How every forked (and spawned) worker ended, by what its parent did, the model, the call and the engine's threads.",
        sweep(dossier.cells, dossier.trials),
    ]
    return "\n\n".join(parts) + "\n"


def _overview(judgements: Sequence[Judgement]) -> str:
    head = ["| claim | verdict | " + " | ".join(EVERY) + " |", "| --- | --- |" + " --- |" * len(EVERY)]
    rows = []
    for one in judgements:
        words = [one.by_backend[name].word.value + ("" if name in one.claim.scope else " *") for name in EVERY]
        rows.append(f"| {one.claim.id} | **{one.overall.word}** | " + " | ".join(words) + " |")
    return "\n".join([*head, *rows]) + "\n\n\\* not what the claim is about; judged beside it."


def _section(one: Judgement, dossier: Dossier) -> list[str]:
    claim = one.claim
    parts = [f"## {claim.id}: {claim.text}", f"**{one.overall}**"]
    parts.append(f"A case agrees if {claim.agreeing}.")
    parts += [claim.remark] if claim.remark else []
    parts.append("\n".join(_by_backend(one, name) for name in EVERY))
    if claim.id == "C6":
        parts.append(
            claim_fork.story(
                dossier.cells, dossier.trials, claim.scope, dossier.read, borne_out=one.overall.word is RulingWord.ONLY_IF
            )
        )
    if one.cases:
        parts.append(dossier.case_table(one.cases))
    return parts


def _by_backend(one: Judgement, name: str) -> str:
    counted = outcomes(one.of(name))
    return f"* `{name}`: {one.by_backend[name]}" + (f"; trials: {counted}" if counted else "")


def sweep(cells: Sequence[Cell], trials: Trials) -> str:
    """Rows: everything but the backend; columns: backends; what the trials of each cell did."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for cell in cells:
        if cell.pool.startswith("prefork") and cell.concurrency == 1:
            key = (cell.pool, _deed(cell), cell.call, cell.workload, cell.engine_threads)
            rows.setdefault(key, {})[cell.backend] = cell_text(cases.told(trials.get(cell.id, ())))
    head = ["| pool | the parent | call | workload | threads | " + " | ".join(EVERY) + " |"]
    head.append("| --- | --- | --- | --- | --- |" + " --- |" * len(EVERY))
    lines = [
        "| " + " | ".join(key) + " | " + " | ".join(row.get(name, "–") for name in EVERY) + " |"
        for key, row in sorted(rows.items(), key=lambda item: (item[0][0], DEEDS.index(item[0][1]), *item[0][2:]))
    ]
    return "\n".join(head + lines)


def _deed(cell: Cell) -> str:
    """What the parent did, in one of DEEDS' words."""
    if cell.placement == "import":
        return LOADED
    if cell.placement == "import-predict":
        return PREDICTED
    return DEEDS[matrix.PARENT_DEEDS.index(cell.parent)]
