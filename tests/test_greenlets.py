"""When a green worker is asked for its greenlets: never so often that telling is all that it does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.observe import greenlets
from harness.observe.greenlets import LOST_S, PEACE_TIMES, Turns


@pytest.mark.parametrize("took_s", [0.05, 0.5, 2.0])
def test_a_process_is_left_in_peace_for_a_multiple_of_what_telling_took(took_s: float) -> None:
    turns = Turns()
    assert turns.due(100.0, None)
    assert not turns.due(100.0 + took_s / 2, None), "it is telling"
    told_s = 100.0 + took_s
    assert not turns.due(told_s, 1)
    assert not turns.due(told_s + 0.9 * PEACE_TIMES * took_s, 1)
    assert turns.due(told_s + 1.1 * PEACE_TIMES * took_s, 1)
    assert not turns.due(told_s + 1.2 * PEACE_TIMES * took_s, 1)


def test_an_answer_that_never_came_is_asked_for_again() -> None:
    turns = Turns()
    assert turns.due(100.0, 1)
    assert not turns.due(100.0 + 0.9 * LOST_S, 1)
    assert turns.due(100.0 + 1.1 * LOST_S, 1)


def test_each_answer_is_known_from_the_one_before(tmp_path: Path) -> None:
    assert greenlets.answer_id(tmp_path, 7) is None
    found = set()
    for number in range(3):
        (tmp_path / "new").write_text(str(number))
        os.replace(tmp_path / "new", tmp_path / "greenlets-7.json")
        found.add(greenlets.answer_id(tmp_path, 7))
    assert len(found) == 3
