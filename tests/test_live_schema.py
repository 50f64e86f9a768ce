"""What `harness why --json` writes is what its schema promises, and the page of the docs shows the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from harness.live import schema, screen
from harness.live.answer import Report
from harness.live.command import CODES
from harness.live.executor import State
from harness.live.schema import Answer
from harness.observe.roles import Role
from tests import doc_pages
from tests.test_docs import hooks
from tests.test_live import CHILD, MAIN, READS, SECOND, child, said, seen

PAGE = doc_pages.DOCS / "reference" / "why.md"
BROKERS = (
    {},
    {"url": "redis://b/0", "answers": True, "queues": {"celery": 3}, "unacked": 1, "asks": None},
    {"url": "redis://b/0", "answers": False, "why": "Connection refused"},
)


def reports() -> list[Report]:
    """Of each state, and with all that a report may lack."""
    return [
        said(seen(child(), child(SECOND, Role.IDLE))), said(seen(child(**READS))), said(seen(blind=(MAIN,))),
        said(seen(child(role=Role.IDLE))), said(seen(child(role=Role.STARTING))),
    ]  # fmt: skip


@pytest.mark.parametrize("broker", BROKERS)
def test_what_is_written_is_what_was_promised(broker: dict[str, Any]) -> None:
    written = json.dumps(screen.as_json([replace(one, broker=broker) for one in reports()]))
    read = Answer.model_validate_json(written)
    assert {one.state for one in read.workers} == set(State)
    told = {name for name in schema.Broker.model_fields if name in broker}
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == json.loads(written)
    assert read.workers[0].broker.model_fields_set == told


def test_a_field_that_is_missing_or_new_or_of_another_kind_breaks_the_promise() -> None:
    right = screen.as_json(reports())
    worker = right["workers"][0]
    for wrong in (
        {**right, "schema": 2},
        {**right, "more": 1},
        {**right, "state": "hung"},
        {**right, "workers": [{name: value for name, value in worker.items() if name != "now"}]},
        {**right, "workers": [{**worker, "since_s": "11 s"}]},
        {**right, "workers": [{**worker, "executors": [{"pid": CHILD}]}]},
        {**right, "workers": [{**worker, "broker": {"password": "x"}}]},
    ):
        with pytest.raises(ValidationError):
            Answer.model_validate(wrong)


def test_the_example_of_the_page_is_one() -> None:
    (example,) = doc_pages.blocks(PAGE, "json")
    assert Answer.model_validate_json(example).state is State.STUCK


def test_the_page_has_all_states_with_their_exit_codes() -> None:
    rows = doc_pages.rows(PAGE, "| state | exit code | meaning |")
    assert {name.strip("`"): int(code) for name, code, _ in rows} == {name: int(code) for name, code in CODES.items()}


def test_every_field_has_words_that_say_what_it_is() -> None:
    made = hooks().why_json()
    parts = [one for one in schema.Part.__subclasses__() if one.__module__ == schema.__name__]
    assert len(parts) == 5
    for part in parts:
        table = made.partition(f"### {part.__name__}\n")[2].partition("###")[0]
        for name in part.model_fields:
            (row,) = [line for line in table.splitlines() if line.startswith(f"| `{name.rstrip('_')}` |")]
            assert row.split(" | ")[2].strip(" |"), row
