"""What a run saw of each public incident, as a table (`incidents.csv`) and a page (`incidents.md`); nothing is started."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.studies.claims import cases
from harness.studies.claims.cases import Stand
from harness.studies.claims.claim_figures import spoiled, throughput_per_s
from harness.studies.claims.dossier import Dossier, cell_text
from harness.studies.claims.incidents import ANSWERS, INCIDENTS, Incident, IncidentCheck, Ratio

COLUMNS = (
    "source", "stack", "symptom", "helped", "differences", "told", "cells", "expected", "seen", "result", "evidence"
)  # fmt: skip
RESULTS = {
    Stand.AGREES: "as reported",
    Stand.CONTRADICTS: "not as reported",
    Stand.SOMETIMES: "sometimes as reported",
    Stand.UNKNOWN: "cannot say",
}
ADDED = "not in the thread"
CONTRACTS = "../contracts/contracts.csv"  # from the folder of the incidents; columns backend, pool, contract, verdict, detail
NOT_MEASURED = "not measured yet"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One check's result: `result` is one of RESULTS' words, ADDED, or a contract's verdict."""

    incident: Incident
    told: str
    cells: tuple[str, ...]
    expected: str
    seen: str
    result: str
    evidence: tuple[str, ...] = ()


def judge_all(dossier: Dossier) -> list[Seen]:
    """Every check of every incident, in order; an incident without any has one line that says so."""
    return [seen for incident in INCIDENTS for seen in judge(incident, dossier)]


def judge(incident: Incident, dossier: Dossier) -> list[Seen]:
    found = [
        _check(incident, check, dossier) if isinstance(check, IncidentCheck) else _ratio(incident, check, dossier)
        for check in incident.checks
    ]
    if incident.contract:
        found += _contract(incident, dossier.read(CONTRACTS))
    nothing = Seen(incident=incident, told="", cells=(), expected="", seen="", result="nothing to reproduce")
    return found or [nothing]


def _check(incident: Incident, check: IncidentCheck, dossier: Dossier) -> Seen:
    cell = next(cell for cell in dossier.cells if cell.id == check.cell)

    def agrees(record: TrialRecord) -> bool:
        return cases.answered(record) if check.expected == ANSWERS else record.outcome.value == check.expected

    case = cases.case_of(cell, dossier.trials.get(cell.id, ()), agrees)
    result = RESULTS[case.stand] if check.expected or case.stand is Stand.UNKNOWN else ADDED
    return Seen(
        incident=incident, told=check.told, cells=check.cells, expected=check.expected, seen=case.seen, result=result,
        evidence=case.evidence,
    )  # fmt: skip


def _ratio(incident: Incident, ratio: Ratio, dossier: Dossier) -> Seen:
    slow, fast = ([record for record in dossier.trials.get(name, ()) if record.outcome is Outcome.OK] for name in ratio.cells)
    one, two = throughput_per_s(slow), throughput_per_s(fast)
    stand = Stand.UNKNOWN
    seen = "; ".join(f"{name}: {cases.told(dossier.trials.get(name, ()))}" for name in ratio.cells) + spoiled([*slow, *fast])
    if one and two:
        stand = Stand.AGREES if two / one >= ratio.least else Stand.CONTRADICTS
        seen = (
            f"{1e3 / one:.2f} ms and {1e3 / two:.2f} ms per request: {two / one:.1f} times (the thread: {ratio.said:.0f} times)"
        )
    expected = f"at least {ratio.least:g} times as long"
    return Seen(
        incident=incident, told=ratio.told, cells=ratio.cells, expected=expected, seen=seen, result=RESULTS[stand],
        evidence=cases.links([*slow, *fast]),
    )  # fmt: skip


def _contract(incident: Incident, text: str | None) -> list[Seen]:
    """The pool contracts that answer the incident, a line a contract and pool."""
    rows = list(csv.DictReader(io.StringIO(text or "")))
    chosen = [row for row in rows if incident.contract in row.get("contract", "")]
    told = f"pool contract with “{incident.contract}”"
    if not chosen:
        return [Seen(incident=incident, told=told, cells=(), expected="", seen=NOT_MEASURED, result="cannot say")]
    groups: dict[str, list[dict[str, str]]] = {}
    for row in chosen:
        groups.setdefault(f"{row['contract']} in {row['pool']}", []).append(row)
    return [
        Seen(
            incident=incident,
            told=name,
            cells=(),
            expected="",
            seen="; ".join(f"{row['backend']}: {row['verdict']}, {row['detail']}" for row in rows),
            result=" or ".join(dict.fromkeys(row["verdict"] for row in rows)),
            evidence=(CONTRACTS,),
        )
        for name, rows in groups.items()
    ]


def table(found: Sequence[Seen], dossier: Dossier) -> pd.DataFrame:
    """One row a check."""
    rows = [
        {
            **{name: getattr(one.incident, name) for name in COLUMNS[:5]},
            "told": one.told, "cells": " ".join(one.cells), "expected": one.expected, "seen": one.seen,
            "result": one.result, "evidence": " ".join(dossier.present(one.evidence)),
        }
        for one in found
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def by_incident(found: Sequence[Seen]) -> list[tuple[Incident, list[Seen]]]:
    return [(incident, [one for one in found if one.incident is incident]) for incident in INCIDENTS]


def counted(found: Sequence[Seen]) -> str:
    """'3 as reported, 1 not as reported': the checks of one incident."""
    counts = Counter(one.result for one in found)
    return ", ".join(f"{count} {result}" for result, count in counts.items())


def page(found: Sequence[Seen], dossier: Dossier) -> str:
    """The Markdown page."""
    parts = [
        "# Public incidents, tried again",
        "Written by `harness incidents` from the records in this folder; nothing here is edited by hand. Each line says what "
        "the thread reports, what we saw, and whether that agrees; what differs from the thread is said above it.",
        dossier.provenance(),
    ]
    for incident, mine in by_incident(found):
        parts += [
            f"## {incident.source}",
            f"{incident.stack}: {incident.symptom}. What helped there: {incident.helped}.",
            f"*Differs from the thread:* {incident.differences}",
            "\n".join(["| the thread | cell | expected | seen | result | evidence |", "| --- | --- | --- | --- | --- | --- |"]
                      + [_line(one, dossier) for one in mine]),
        ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _line(one: Seen, dossier: Dossier) -> str:
    names = ", ".join(f"`{name}`" for name in one.cells)
    texts = [one.told or "–", names, one.expected or "–", one.seen, f"**{one.result}**", dossier.linked(one.evidence)]
    return "| " + " | ".join(map(cell_text, texts)) + " |"
