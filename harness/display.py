"""What a person sees in the terminal: one row a trial as it ends, and the table of a whole run. All formatting is here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.certainty import comparison
from harness.decide.advise import pages as advised
from harness.decide.advise.ranking import Advice
from harness.decide.bisect import BisectAnswer
from harness.decide.compare import gate, pages, sides
from harness.decide.compare.pages import Compared
from harness.decide.tune.tune import Replay
from harness.decide.tune.tune import TuneAnswer as Tuned
from harness.measure import doubts
from harness.proof.doctor import Finding
from harness.proof.instrument.suite import Found
from harness.records.outcomes import Outcome
from harness.studies.claims.cases import RulingWord, outcome_counts
from harness.studies.claims.claims import Judgement
from harness.studies.claims.incidents_page import Seen, by_incident, counted
from harness.studies.contracts.rows import Row
from harness.summary.hang_rate import HangRate, clean_trials_for

STYLES = {
    Outcome.OK: "green", Outcome.SKIPPED: "dim", Outcome.SLOW: "yellow", Outcome.STALLED: "yellow", Outcome.INVALID: "magenta",
}  # fmt: skip
WORD_STYLES = {
    RulingWord.HOLDS: "green",
    RulingWord.REFUTED: "red",
    RulingWord.ONLY_IF: "yellow",
    RulingWord.CANNOT_SAY: "magenta",
}
# (title, column of the table, width, how to print it)
FIGURES = (
    ("req/s", "throughput_per_s", 8, "{:.1f}", 1.0),
    ("±%", "throughput_within", 4, "{:.0f}", 1e2),
    ("eff %", "efficiency", 5, "{:.0f}", 1e2),
    ("p50 ms", "latency_p50_s", 8, "{:.1f}", 1e3),
    ("p95 ms", "latency_p95_s", 8, "{:.1f}", 1e3),
    ("CPU %", "cpu_saturation", 6, "{:.0f}", 1e2),
    ("ms CPU/req", "cpu_s_per_request", 10, "{:.1f}", 1e3),
    ("MiB", "peak_pss_bytes", 6, "{:.0f}", 1 / 2**20),
    ("ready s", "ready_s", 7, "{:.1f}", 1.0),
    ("1st s", "first_predict_s", 6, "{:.2f}", 1.0),
)
ID_WIDTH = 50
OUTCOME_WIDTH = 11
BOUNDS = (0.05, 0.01)  # hang rates that are worth more workers


def number(value: Any, form: str, factor: float) -> str:
    """A figure, or '-' where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return form.format(float(value) * factor)


def within(row: Mapping[str, Any]) -> float | None:
    """Half the throughput's 95 % interval, as a share of the figure: the one that, with its inverse, spans it."""
    low, high = row.get("throughput_low_per_s"), row.get("throughput_high_per_s")
    return math.sqrt(high / low) - 1 if low and high else None


def header() -> Text:
    titles = " ".join(f"{title:>{width}}" for title, _, width, _, _ in FIGURES)
    return Text(f"{'cell':<{ID_WIDTH}} {'outcome':<{OUTCOME_WIDTH}}{titles}  limited by", style="bold")


def line(row: Mapping[str, Any]) -> Text:
    """One row: the cell, how it ended, its figures; and the reason where it is not simply ok, or says the peak."""
    outcome = Outcome(row["outcome"])
    row = {**row, "throughput_within": within(row)}
    text = Text(f"{row['cell']:<{ID_WIDTH}} ")
    text.append(f"{outcome.value:<{OUTCOME_WIDTH}}", style=STYLES.get(outcome, "bold red"))
    text.append(" ".join(f"{number(row.get(name), form, by):>{width}}" for _, name, width, form, by in FIGURES))
    verdict = row.get("cpu_verdict")
    text.append(f"  {verdict if verdict and isinstance(verdict, str) else '-'}")
    if names := [name for name, _ in doubts.parts(str(row.get("doubts") or ""))]:
        text.append(f"  ? {', '.join(names)}", style="yellow")
    if outcome is not Outcome.OK or str(row.get("traffic", "")).startswith("peak"):
        text.append(f"\n    {row['reason']}", style="dim")
        if row.get("evidence"):
            text.append(f"\n    evidence: {row['evidence']}", style="dim")
    if words := _hangs_of(row):
        text.append(f"\n    {words}", style="dim")
    return text


def hangs(rate: HangRate) -> str:
    """How often fresh workers hung, and what that says of the rate.

    >>> hangs(HangRate(hung=3, judged=30))
    '3 of 30 hung (2.1 % - 26.5 % at 95 %)'
    >>> hangs(HangRate(hung=0, judged=20))
    '0 of 20 hung: the rate is below 13.9 % at 95 %; 59 clean workers would bound it below 5 %'
    """
    counts = f"{rate.hung} of {rate.judged} hung"
    if rate.hung:
        low, high = rate.interval
        return f"{counts} ({low * 100:.1f} % - {high * 100:.1f} % at 95 %)"
    needed = [(clean_trials_for(bound), bound) for bound in BOUNDS if clean_trials_for(bound) > rate.judged]
    more = f"; {needed[0][0]} clean workers would bound it below {needed[0][1] * 100:g} %" if needed else ""
    return f"{counts}: the rate is below {rate.below * 100:.1f} % at 95 %{more}"


def _hangs_of(row: Mapping[str, Any]) -> str:
    """The hang rate of a table's row that stands for several trials; '' for a single one."""
    judged = int(row.get("judged_trials") or 0)
    return hangs(HangRate(hung=int(row["hung_trials"]), judged=judged)) if judged > 1 else ""


def rows(console: Console, table: pd.DataFrame) -> None:
    """A whole run."""
    console.print(header(), soft_wrap=True)
    for row in table.to_dict("records"):
        console.print(line({str(name): value for name, value in row.items()}), soft_wrap=True)


def doubted(console: Console, table: pd.DataFrame) -> None:
    """What the doubts behind the rows mean: each name once, with the first row's words, the number of rows, the next step."""
    found: dict[str, tuple[str, int]] = {}
    for column in table["doubts"].dropna():
        for name, words in doubts.parts(column):
            found[name] = (found.get(name, (words, 0))[0], found.get(name, ("", 0))[1] + 1)
    for name, (words, count) in sorted(found.items(), key=lambda item: -item[1][1]):
        where = f"{count} of {len(table)} rows, such as" if count > 1 else "1 row"
        console.print(f"? {name} ({where}): {words}", style="yellow", soft_wrap=True, markup=False)


def hang_rates(console: Console, table: pd.DataFrame) -> None:
    """A line for each cell that was repeated."""
    for row in table.to_dict("records"):
        if words := _hangs_of({str(name): value for name, value in row.items()}):
            console.print(f"{row['cell']}: {words}", soft_wrap=True)


def verdicts(console: Console, matrix: Sequence[Sequence[str]], misses: Sequence[str], promises: Sequence[str]) -> None:
    """A self-test: injected x judged (the first row holds the titles), what is not right, and what was promised."""
    widths = [max(map(len, column)) for column in zip(*matrix, strict=True)]
    for number, (name, *rest) in enumerate(matrix):
        cells = [f"{text:>{width}}" for text, width in zip(rest, widths[1:], strict=True)]
        console.print(f"{name:<{widths[0]}}  {'  '.join(cells)}", style=None if number else "bold", soft_wrap=True)
    for text in misses:
        console.print(text, style="bold red", soft_wrap=True, markup=False)
    console.print()
    for text in promises:
        console.print(text, style="bold red" if text.startswith("broken") else None, soft_wrap=True, markup=False)


def outcomes(table: pd.DataFrame) -> str:
    """'31 ok, 4 hung, 2 skipped'."""
    counts = table["outcome"].value_counts()
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items())


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def findings(console: Console, found: list[Finding]) -> None:
    """What the doctor saw: what there is, what is missing, what that costs and what to do about it."""
    for finding in found:
        style = {"ok": "green", "warning": "yellow"}.get(finding.status, "bold red")
        text = Text(f"{finding.status:<8}", style=style)
        text.append(f"{finding.name:<24} {finding.detail}", style="default")
        if finding.status != "ok":
            text.append(f"\n        costs: {finding.cost}\n        remedy: {finding.remedy}", style="dim")
        console.print(text, soft_wrap=True)


def tested(console: Console, one: Found) -> None:
    """A line a finding of the instrument's tests: whether it kept its bound, both, and what stands behind the figure."""
    finding = one.finding
    text = Text("ok    " if finding.passed else "FAILED", style="green" if finding.passed else "bold red")
    figure = "no figure" if finding.figure is None else f"{finding.figure:.4g}"
    bound = f"  (bound: {finding.bound})" if finding.bound else ""
    text.append(f"  {one.test.name:<15} {finding.name}: {figure}{bound}", style="default")
    if finding.note:
        text.append(f"\n{'':25}{finding.note}", style="dim")
    console.print(text, soft_wrap=True)


def claims(console: Console, found: Sequence[Judgement]) -> None:
    """A line a claim: the verdict, the condition, the trials that it rests on."""
    table = Table("claim", "verdict", "condition", "trials", box=None, pad_edge=False, header_style="bold")
    for one in found:
        scope = [case for case in one.cases if case.backend in one.claim.scope]
        trials = ", ".join(f"{outcome} {count}" for outcome, count in outcome_counts(scope).most_common())
        word = Text(one.overall.word.value, style=WORD_STYLES.get(one.overall.word, ""))
        table.add_row(one.claim.id, word, _shortened(one.overall.condition, 150), trials)
    console.print(table)


def incidents(console: Console, found: Sequence[Seen]) -> None:
    """A line an incident: what was reported, and how many of its checks came out so."""
    table = Table("incident", "reported", "seen here", box=None, pad_edge=False, header_style="bold")
    for incident, mine in by_incident(found):
        table.add_row(incident.source, _shortened(incident.symptom, 60), counted(mine))
    console.print(table)


def bisection(console: Console, package: str, answer: BisectAnswer, also: Sequence[str]) -> None:
    """A line a release that was measured, then between which two the change came, and what `also` changed there."""
    table = Table("release", "outcome", "req/s", "reason", box=None, pad_edge=False, header_style="bold")
    for one in answer.measured:
        word = Text(str(one.outcome or "not measured"), style=STYLES.get(one.outcome, "red") if one.outcome else "dim")
        table.add_row(one.version, word, number(one.pace_per_s, "{:.1f}", 1.0), Text(_shortened(one.reason, 90)))
    console.print(table)
    for line in also:
        console.print(Text(f"also changed between them, and perhaps to blame: {line}"), soft_wrap=True)
    gap = f"; could not be told: {', '.join(answer.between)}" if answer.between else ""
    console.print(
        f"\n{package} {answer.last_good.version} -> {answer.first_bad.version}: {answer.what}{gap}",
        soft_wrap=True,
        markup=False,
    )


def compared(console: Console, found: Compared) -> None:
    """Two runs: changed outcomes first and loudest, real differences, what cannot be said, and what fails the check."""
    changes = found.changes
    for change in changes.outcomes:
        style = {True: "bold white on red", False: "green", None: "magenta"}[change.worse]
        text = Text(f" {change.before} -> {change.after} ", style=style)
        text.append(f"  {change.cell}", style="bold" if change.worse else "default")
        text.append(f"\n    {change.counts}; {_shortened(change.reason, 150)}", style="dim")
        if change.evidence:
            text.append(f"\n    evidence: {found.second.name}/{change.evidence}", style="dim")
        console.print(text, soft_wrap=True)
    for one in changes.words(comparison.ComparisonWord.DIFFER):
        text = Text("worse   " if one.worse else "better  ", style="bold red" if one.worse else "green")
        text.append(
            f"{one.cell}: {one.metric.title} {pages.shown(one.before, one)} -> {pages.shown(one.after, one)}", "default"
        )
        text.append(f"\n        {one.found.reason}", style="dim")
        console.print(text, soft_wrap=True)
    reasons = Counter(pages.reason(one) for one in changes.words(comparison.ComparisonWord.CANNOT_SAY))
    for why, count in reasons.most_common():
        console.print(Text(f"cannot say: {count} figures, {why}", style="magenta"), soft_wrap=True)
    for title, lines in (
        ("asked for otherwise", sides.plans_differ(found.first, found.second)),
        ("versions", sides.versions_differ(found.first, found.second)),
        ("only in the first run", changes.gone),
        ("only in the second run", changes.new),
    ):
        for line in gate.lines(lines, 10):
            console.print(Text(f"{title}: {line}"), soft_wrap=True)
    console.print(Text(f"{found.summary}"), soft_wrap=True)
    for line in found.judgement.warnings:
        console.print(Text(f"warning: {line}", style="yellow"), soft_wrap=True)
    for line in found.judgement.failures:
        console.print(Text(f"FAILS: {line}", style="bold red"), soft_wrap=True)


def advice(console: Console, found: Sequence[Advice], most_memory: float | None) -> None:
    """The answer first, then why and what else, then what to paste."""
    for one in found:
        console.print(Text(advised.headline(one), style="bold green" if one.best else "bold red"), soft_wrap=True)
        for line in advised.lines(one):
            style = "red" if line.startswith("vetoed") else "magenta" if line.startswith("to measure") else None
            console.print(Text(f"  {_shortened(line, 240)}", style=style or ""), soft_wrap=True)
        for words, diff in advised.code_changes(one):
            console.print(Text(f"  {words}", style="bold"), soft_wrap=True)
            console.print(Text(diff), soft_wrap=True, end="")
        if one.best:
            first = one.best[0]
            for line in (advised.memory(first, most_memory), *advised.change(first, one)):
                console.print(Text(f"  {line}"), soft_wrap=True)
            for title, block in advised.blocks(first)[:3]:
                console.print(Text(f"\n  {title}", style="bold"))
                console.print(Text("".join(f"    {line}\n" for line in block.rstrip().splitlines())), soft_wrap=True, end="")
        console.print()


def tuned(console: Console, answer: Tuned) -> None:
    """What the search did, and how much better the best is than the default."""
    share = f"{answer.measured} of {answer.grid} configurations measured ({answer.share:.0%})"
    console.print(Text(f"{share}{f'; {answer.stopped}' if answer.stopped else ''}"), soft_wrap=True)
    gain = f"{answer.gain:.2f} x the rows a second of the default" if answer.gain else "the default gave no answer"
    same = "the default itself is the best" if answer.best == answer.default else gain
    if not answer.answers:
        console.print(Text(f"nothing that was measured ended ok; the default: {answer.default.id}", "bold red"), soft_wrap=True)
        return
    word = "best" if answer.kept else "nothing is known to keep what you ask for; nearest"
    style = "bold green" if answer.kept else "bold red"
    console.print(Text(f"{word}: {answer.best.id} ({same}, {answer.default.id})", style=style), soft_wrap=True)


def replayed(console: Console, one: Replay) -> None:
    """How near a search came to the best of a recorded grid."""
    tuned(console, one.answer)
    console.print(Text(f"{one.reached:.1%} of the exhaustive best, {one.exhaustive.id}", style="bold"), soft_wrap=True)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def contract(row: Row) -> Text:
    """A line a contract: the pool, what was measured, the verdict, its seconds, and what was seen."""
    text = Text(f"{row.backend:<14} {row.pool:<13} {row.contract:<19} ")
    text.append(row.verdict, style={"n/a": "dim", "cannot say": "magenta"}.get(row.verdict, "bold"))
    text.append(f" ({row.seconds} s)" if row.seconds else "")
    return text.append(f"  {row.detail}", style="dim")


def cells(console: Console, rows: list[tuple[str, str]]) -> None:
    """(cell id, why it cannot run or '') of a plan, a line each; printed at once, as each print costs most of a millisecond."""
    lines = [Text.assemble(name, (f"  skipped: {reason}", "dim")) if reason else Text(name) for name, reason in rows]
    console.print(Text("\n").join(lines), soft_wrap=True)
