"""Whether a function that keeps its answers has forgotten one."""

from __future__ import annotations

import functools
import queue
from types import SimpleNamespace

import pytest

from harness.worker import kept_answers


@pytest.mark.parametrize("most", [1, None])
@pytest.mark.parametrize("path", ["", ".inbox"])
def test_an_answer_is_dropped_once_the_cache_is_cleared_or_has_another(most: int | None, path: str) -> None:
    @functools.lru_cache(maxsize=most)
    def keeper() -> object:
        return SimpleNamespace(inbox=queue.Queue()) if path else queue.Queue()

    inbox = getattr(keeper(), "inbox", keeper())
    assert not kept_answers.dropped(keeper, path, inbox)
    keeper.cache_clear()
    assert kept_answers.dropped(keeper, path, inbox)
    keeper()
    assert kept_answers.dropped(keeper, path, inbox)


def test_what_cannot_be_followed_is_not_said_to_be_dropped() -> None:
    @functools.lru_cache
    def keeper() -> object:
        return SimpleNamespace()

    keeper()
    assert not kept_answers.dropped(keeper, ".inbox", object())
    assert not kept_answers.dropped(keeper, "().inbox", object())
    assert not kept_answers.dropped(len, "", object())
