"""Which causes the siblings of a cell speak against."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.judge.remedies import THEIRS
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.summary import contrast, diagnoses
from tests.test_store import record

FORKED = Cell(backend=OWN_APP, pool="prefork", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")
SPAWNED = replace(FORKED, pool="prefork-spawn")
STACK = "the stack ends in load (tasks.py:9)"


def ended(cell: Cell, outcome: str, cause: str = "") -> list[TrialRecord]:
    one = record(outcome=Outcome(outcome), cause=cause).changed(asked={"cell": cell.as_dict(), "cell_id": cell.id})
    return [one.changed(ended={"support": ["the child lacks threads", STACK]})]


@pytest.mark.parametrize(
    ("outcome", "spawned", "cause", "name"),
    [
        ("hung", "hung", "fork-held-lock", "unknown"),
        ("hung", "waiting", "fork-lost-threads", "unknown"),
        ("wrong", "wrong", "fork-lost-threads", "unknown"),
        ("hung", "ok", "fork-held-lock", "fork-held-lock"),
        ("hung", "errors", "fork-held-lock", "fork-held-lock"),
        ("hung", "", "fork-held-lock", "fork-held-lock"),
        ("hung", "hung", "deadlock", "deadlock"),
        ("wrong", "wrong", "fork-shared-connection", "unknown"),
        ("wrong", "ok", "fork-shared-connection", "fork-shared-connection"),
    ],
)
def test_what_spawned_children_do_as_well_is_not_the_forks(outcome: str, spawned: str, cause: str, name: str) -> None:
    (one,) = ended(FORKED, outcome, cause)
    groups = {FORKED.id: [one], **({SPAWNED.id: ended(SPAWNED, spawned)} if spawned else {})}
    found = contrast.cause(one, groups)
    assert found.name == name
    changed = name != cause
    assert (found.support == ("children that are spawned end so, too: no fork is the cause", STACK)) is changed
    page = diagnoses.text([trial for trials in groups.values() for trial in trials])
    assert f"Likely cause: **{name}**" in page
    assert (THEIRS["fork-held-lock"] in page) is (name == "fork-held-lock")


@pytest.mark.parametrize("pool", ["threads", "solo", "gevent"])
def test_a_shared_connection_is_no_cause_of_what_a_pool_without_a_fork_does_as_well(pool: str) -> None:
    (one,) = ended(FORKED, "wrong", "fork-shared-connection")
    other = replace(FORKED, pool=pool, concurrency=1 if pool == "solo" else 2)
    assert contrast.cause(one, {FORKED.id: [one], other.id: ended(other, "ok")}).name == "fork-shared-connection"
    found = contrast.cause(one, {FORKED.id: [one], other.id: ended(other, "wrong")})
    assert (found.name, found.support[0]) == ("unknown", f"{pool} ends so, too: no fork is the cause")


def test_a_spawned_child_has_no_cause_to_lose() -> None:
    (one,) = ended(SPAWNED, "hung", "fork-held-lock")
    assert contrast.cause(one, {SPAWNED.id: [one]}).name == "fork-held-lock"
