"""What the pytest plugin says of a cell's row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.pytest_plugin import MeasuredCell


def cell(**row: Any) -> MeasuredCell:
    return MeasuredCell({"outcome": "ok", "doubts": "", "throughput_per_s": 10.0, "reason": "fine", **row}, Path(), "one")


@pytest.mark.parametrize(
    ("doubts", "why"),
    [
        ("", ""),
        (None, ""),
        ("swap: 3 MiB were swapped, free some memory", ""),
        (
            "unusable: machine too noisy: others used 60% of its cores, measure again: --retry invalid",
            "machine too noisy: others",
        ),
    ],
)
def test_a_cell_whose_figures_were_spoiled_says_by_what(doubts: str | None, why: str) -> None:
    assert cell(doubts=doubts).unusable.startswith(why)
    assert bool(cell(doubts=doubts).unusable) is bool(why)


def test_a_limit_is_held_against_the_row() -> None:
    assert cell().broken({"min_throughput_per_s": 5.0}) == []
    assert cell().broken({"min_throughput_per_s": 50.0}) == ["min_throughput_per_s=50: throughput_per_s is 10"]
    assert cell(outcome="waiting", reason="for a peer").broken({}) == ["ended waiting, not ok: for a peer"]
