"""A defect made to happen, beside a real worker, and named: the cheapest of them, with the Celery that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import environments
from harness.studies.defects import study

pytestmark = pytest.mark.integration


def test_a_worker_whose_executors_wait_for_their_own_subtasks_is_reproduced_and_named(
    celery_environment: environments.Environment, tmp_path: Path
) -> None:
    found = study.study("own_subtasks", home=tmp_path, tries=3, python=celery_environment.python, say=lambda _text: None)
    assert found.symptom, found.trouble
    assert found.versions["celery"] == celery_environment.installed["celery"]
    shallow = found.answers[0]
    assert (shallow.said["state"], shallow.said["cause"], shallow.right) == ("stuck", "waits-for-subtask", True)
    assert shallow.said["support"][1].startswith("all 2 executors of this worker wait so")
    assert {one["task"] for one in shallow.said["executors"]} == {"app.report"}
    assert found.seen is not None
    assert found.seen["broker"]["connections"]
    assert len(found.seen["processes"]) == 3
