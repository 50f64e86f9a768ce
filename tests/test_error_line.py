"""What an error says, in one line."""

from __future__ import annotations

from harness.client import log
from harness.worker import contract


def test_a_long_error_shows_that_more_was_said() -> None:
    raised = {"exc_type": "ValueError", "exc_message": ["a layer\n is in an invalid state. " * 20]}
    said = log.error_text(raised, "")
    assert len(said) == contract.ERROR_LENGTH
    assert said.startswith("ValueError: a layer is in an invalid state. a layer")
    assert said.endswith("…")
    assert log.error_text({"exc_type": "ValueError", "exc_message": ["no"]}, "") == "ValueError: no"
    whole = "x" * contract.ERROR_LENGTH
    assert log.error_text(whole, "") == whole
