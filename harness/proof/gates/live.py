"""Live gates of small projects, one after the other: two like commits, heads that are 10 % slower, a head that hangs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from harness.applications.gate import gate
from harness.applications.gate.gate import GateAnswer
from harness.applications.gate.rule import Rule, Word
from harness.proof.gates import project, record, resample
from harness.proof.gates.project import SAME, STUCK_NAME, WAITING
from harness.proof.gates.resample import Row

PLANTED = {
    SAME: "nothing",
    "0.1": "10 % slower, computing",
    f"0.1{WAITING}": "10 % slower, waiting",
    STUCK_NAME: "a hang",
}
POOL = "prefork"


def gates(
    folder: Path, many: int, screen: gate.Screen, loads: Sequence[float], kinds: Sequence[str], *, at_once: bool
) -> Iterator[dict[str, object]]:
    """A line per gate, as soon as it is over: `many` of each of `kinds`, beside one load after the other."""
    for number in range(many):
        load = loads[number % len(loads)]
        for planted, told in [(name, PLANTED[name]) for name in kinds]:
            place = folder / f"{planted}-{number}"
            made = project.made(place / "project", planted)
            order = record.order(made, place / "gate", resample.BUDGET_S, at_once=at_once, rule=Rule(), pools=(POOL,))
            with record.burning(load, place):
                yield {"planted": told, "load": load, **_line(gate.run(order, screen))}


def _line(answer: GateAnswer) -> dict[str, object]:
    one = answer.pools[0]
    shares = [each.others_share for pair in one.pairs for each in (pair.base, pair.head) if each.others_share is not None]
    return {
        "how": "at once" if answer.order.at_once else "by turns", "word": str(answer.word), "by": one.decision.by,
        "pairs": len(one.pairs), "seconds": round(answer.seconds), "others_share": np.mean(shares) if shares else None,
        "reason": one.decision.reason,
    }  # fmt: skip


def counted(lines: pd.DataFrame) -> list[Row]:
    """A row of the table per kind of gate."""
    return [
        Row(
            kind=f"live, {how}", planted=str(planted), gates=len(found), pairs=float(found["pairs"].median()),
            **{word.name.lower(): int((found["word"] == word).sum()) for word in Word},
        )
        for (how, planted), found in lines.groupby(["how", "planted"], sort=False)
    ]  # fmt: skip
