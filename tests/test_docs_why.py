"""The outputs of `harness why` that "My worker hangs" explains are those of real workers, as the code shows them today.

`reports` holds what was said of them, as it was recorded from workers of the page's application.
"""

from __future__ import annotations

import re

import pytest
from pydantic import TypeAdapter

from harness.live import markdown, screen
from harness.live.answer import Report
from harness.live.executor import State
from tests import doc_pages

PAGE = doc_pages.DOCS / "how-to" / "my-worker-hangs.md"
REPORTS = doc_pages.ROOT / "tests" / "reports"
RECORDED = ("stuck", "freed", "waiting", "works")


def recorded(name: str) -> Report:
    return TypeAdapter(Report).validate_json((REPORTS / f"{name}.json").read_bytes())


def is_shown(shown: str, said: str) -> bool:
    """Whether they are the same, but for breaks of lines, and `…` for any text."""
    parts = [re.escape(" ".join(part.split())) for part in shown.split("…")]
    return re.fullmatch(r"\S*".join(parts), " ".join(said.split())) is not None


def test_the_page_shows_each_recorded_answer_in_turn() -> None:
    blocks = doc_pages.blocks(PAGE, "text")
    assert len(blocks) == len(RECORDED)
    for block, name in zip(blocks, RECORDED, strict=True):
        assert is_shown(block, screen.text(recorded(name))), f"{name} is shown otherwise:\n{screen.text(recorded(name))}"


def test_another_answer_would_not_pass() -> None:
    said = screen.text(recorded("stuck"))
    assert is_shown(said, said)
    assert not is_shown(said.replace("26180", "26181", 1), said)
    assert not is_shown(said + " more", said)


@pytest.mark.parametrize(("name", "state"), [("stuck", State.STUCK), ("waiting", State.WAITING), ("works", State.WORKS)])
def test_the_recorded_ones_are_of_the_states_that_the_page_walks_through(name: str, state: State) -> None:
    report = recorded(name)
    assert report.state is state
    assert f"### Worker {report.pid} (shop, prefork x 2): {state}" in markdown.page([report])


def test_each_line_that_is_explained_is_in_an_output() -> None:
    text = PAGE.read_text()
    outputs = " ".join(" ".join(doc_pages.blocks(PAGE, "text")).split())
    explained = doc_pages.first_cells(PAGE, "line")
    assert len(explained) > 10
    assert [one for one in explained if one not in outputs] == []
    assert "| line | what it tells |" in text
