"""What a piece of advice rests on, in words: what was compared, and what `check` had said before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.decide.advise import ranking
from harness.decide.advise.candidates import Candidate
from harness.decide.advise.ranking import Advice
from harness.experiment.traffic import parse
from harness.texts import few


def checked(advice: Advice) -> list[str]:
    """What `check` said of somebody's own application before any worker was started: its answer, then what it found."""
    looks = (one.application.get("first_look") for one in every(advice) if one.application)
    look: Mapping[str, Any] = next(filter(None, looks), {})
    said = [f"check: {look['answer']}"] if look else []
    for one in look.get("findings", []):
        if one["level"] != "note":
            place = f" {one['file']}:{one['line']}" if one["line"] else ""
            said.append(f"check: {one['level']}{place} [{one['rule']}]: {one['what']}; do: {one['do']}")
    return said


def compared(advice: Advice) -> str:
    """What the answer rests on: how many configurations, of which engines and pools, and how many trials each."""
    known = list({one.id: one for part in (advice, *advice.engines) for one in every(part)}.values())
    measured = [one for one in known if one.measured]
    own = any(one.application for one in known)
    engines = "" if own else f" of {few(sorted({one.cell.backend for one in known}), 6)}"
    pools = list(dict.fromkeys(one.cell.pool for one in known))
    counts = [len(one.paces) for one in measured] or [0]
    least, most = min(counts), max(counts)
    trials = f" ({least if least == most else f'{least} to {most}'} trial{'s' if most != 1 else ''} each)" if most else ""
    vetoed, unused = (sum(getattr(one, name) for one in known) for name in ("vetoed", "unused"))
    failed = f", {vetoed} not to be used" if vetoed else ""
    without = f", {unused} without figures" if unused else ""
    what = "configuration" if len(known) == 1 else "configurations"
    return f"compared: {len(known)} {what}{engines} in {few(pools, 6)}; {len(measured)} with figures{trials}{failed}{without}"


def curve(advice: Advice) -> list[str]:
    """How many executors help, and what they take: of what is advised, as far as it was measured with other numbers of them."""
    shown = advice.shown
    if shown is None:
        return []
    alike = [
        one for one in every(advice) if one.measured and replace(one.cell, concurrency=shown.cell.concurrency) == shown.cell
    ]
    if len(alike) < 2:
        return []
    alike.sort(key=lambda one: one.cell.concurrency)
    each = "; ".join(f"{one.cell.concurrency}: {one.rows_per_s:.3g} rows/s{_mib(one)}" for one in alike)
    enough = next(one for place, one in enumerate(alike) if not any(_faster(more, one) for more in alike[place + 1 :]))
    last = alike[-1]
    busy = parse(shown.cell.traffic).in_flight
    if busy and enough.cell.concurrency >= busy:
        said = f"{shown.cell.traffic} keeps no more than {busy} busy: with more requests at once, more may help"
    elif enough is last:
        said = f"more may help: {last.cell.concurrency} is the most that was measured"
    else:
        said = f"more than {enough.cell.concurrency} bring nothing that can be told"
    return [f"executors of {shown.cell.pool}: {each}; {said}"]


def _faster(one: Candidate, other: Candidate) -> bool:
    """Whether it is really faster: what is told apart may be slower."""
    return one.rows_per_s > other.rows_per_s and ranking.told_apart(one, other)


def _mib(one: Candidate) -> str:
    peak = one.row["peak_pss_bytes"]
    return f", {peak / 2**20:.0f} MiB" if peak is not None else ""


def every(advice: Advice) -> list[Candidate]:
    """All of this piece of advice, each once; those of an engine that is not advised are in that engine's own."""
    groups = (advice.best, advice.alike, [advice.runner_up] if advice.runner_up else [], advice.slower, advice.vetoed,
              advice.unfit, advice.unknown, advice.unused)  # fmt: skip
    return list({one.id: one for group in groups for one in group}.values())
