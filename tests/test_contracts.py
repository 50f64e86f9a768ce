"""What is kept of a survey of contracts, which rows there are to be, and the page made of them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BadInput, Interrupted, NothingMatches
from harness.experiment.pools import POOLS
from harness.machine import identity
from harness.records.store import RunFolder
from harness.studies.contracts import lanes, rows, survey
from harness.studies.contracts.catalogue import CONTRACTS
from harness.studies.contracts.control import command, said
from harness.studies.contracts.measures import ENDS, counted
from harness.studies.contracts.places import database
from harness.studies.contracts.rows import CANNOT_SAY, Column, Row


def row(pool: str = "prefork", contract: str = "revoke-python", **changes: str) -> Row:
    values = {"backend": "celery", "celery": "5.7.0", "verdict": "ended", "seconds": "0.1", "detail": "seen", "evidence": "e"}
    return Row(pool=pool, contract=contract, **{**values, **changes})


def order(folder: Path, **changes: object) -> survey.SurveyOrder:
    values: dict[str, object] = {"folder": folder, "backends": ["celery"], "pools": list(POOLS), **changes}
    return survey.SurveyOrder(**values)  # type: ignore[arg-type]


def test_rows_are_read_back_as_they_were_appended_and_the_newest_counts(tmp_path: Path) -> None:
    first, second = row(detail='a "quoted", text'), row(pool="solo", detail="")
    for each in (first, second, newer := row(verdict="not ended", seconds="")):
        rows.append(tmp_path, each)
    assert rows.read(tmp_path) == {newer.key: newer, second.key: second}


def test_a_torn_line_is_left_out_and_the_next_row_stands_on_its_own(tmp_path: Path) -> None:
    rows.append(tmp_path, row())
    whole = (tmp_path / rows.TABLE).read_bytes()
    rows.append(tmp_path, row(pool="solo"))
    torn = (tmp_path / rows.TABLE).read_bytes()[:-4]
    (tmp_path / rows.TABLE).write_bytes(torn)
    assert list(rows.read(tmp_path)) == [row().key]
    rows.append(tmp_path, row(pool="threads"))
    assert list(rows.read(tmp_path)) == [row().key, row(pool="threads").key]
    assert torn.startswith(whole)


@given(st.text(), st.text())
def test_any_text_survives_as_one_line(detail: str, verdict: str) -> None:
    kept = row(detail=detail, verdict=verdict)
    found = rows.from_text(rows.table([kept]))
    assert [" ".join(detail.split()), " ".join(verdict.split())] == [found[kept.key].detail, found[kept.key].verdict]


def test_a_selection_takes_a_contracts_name_or_a_whole_id(tmp_path: Path) -> None:
    by_name = survey.tasks(order(tmp_path, select=["revoke-*"]))
    assert {task.contract.id for task in by_name} == {"revoke-python", "revoke-native", "revoke-kill"}
    assert len(by_name) == 3 * len(POOLS)
    assert [task.id for task in survey.tasks(order(tmp_path, select=["celery-solo-kill"]))] == ["celery-solo-kill"]


def test_unknown_names_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no pool 'fork'"):
        survey.tasks(order(tmp_path, pools=["fork"]))
    with pytest.raises(BadInput, match="no backend 'mxnet'"):
        survey.tasks(order(tmp_path, backends=["mxnet"]))
    with pytest.raises(NothingMatches, match="sleep-well"):
        survey.tasks(order(tmp_path, select=["sleep-well"]))


def test_what_cannot_exist_has_its_reason(tmp_path: Path) -> None:
    reasons = {task.key: lanes.why_not(task) for task in survey.tasks(order(tmp_path, backends=["celery", "tensorflow1"]))}
    assert "no such pool" in reasons["tensorflow1", "prefork-spawn", "kill"]
    assert "no child processes" in reasons["celery", "gevent", "kill-late-reject"]
    assert reasons["celery", "prefork-spawn", "kill-late-reject"] == ""
    assert reasons["celery", "threads", "revoke-python"] == "", "that it is not implemented is measured, not assumed"


def test_the_control_environment_is_only_measured_when_it_is_named() -> None:
    assert survey.backends() == [
        "tensorflow1",
        "tensorflow1_15",
        "tensorflow2",
        "theano",
    ]  # of the engines with Celery 5.7, one
    assert set(lanes.REAL_HANGS) <= set(survey.backends())


def test_a_real_hang_is_used_only_where_the_fork_causes_it(tmp_path: Path) -> None:
    found = {task.pool.name: lanes.real_hang(task) for task in survey.tasks(order(tmp_path, backends=["tensorflow2"]))}
    assert [pool for pool, workload in found.items() if workload] == ["prefork"]


def test_every_contract_has_a_place_in_one_table() -> None:
    for name in CONTRACTS:
        assert sum(name.startswith(heads) for heads in survey.TABLES.values()) == 1, name


def test_the_contracts_of_a_broker_are_measured_if_it_is_named(tmp_path: Path) -> None:
    chosen = {
        broker: {task.contract.id.startswith("rabbitmq-") for task in survey.tasks(order(tmp_path, brokers=[broker]))}
        for broker in ("valkey", "rabbitmq")
    }
    assert chosen == {"valkey": {False}, "rabbitmq": {True}}
    assert {task.contract.broker for task in survey.tasks(order(tmp_path))} == {"valkey"}
    with pytest.raises(BadInput, match="no broker 'sqs'"):
        survey.tasks(order(tmp_path, brokers=["sqs"]))


def test_every_verdict_hoped_for_of_a_shutdown_can_be_given() -> None:
    for contract in CONTRACTS.values():
        if "shutdown" in contract.id:
            assert set(contract.kept) <= set(ENDS.values())


def test_rows_stand_in_the_order_of_the_table_not_of_their_measuring() -> None:
    known = {each.key: each for each in (row("solo", "ping-gil"), row("prefork", "kill"), row("prefork", "hard-limit-python"))}
    assert [key[1:] for key in survey.arranged(known)] == [
        ("prefork", "hard-limit-python"), ("prefork", "kill"), ("solo", "ping-gil")
    ]  # fmt: skip


def test_the_page_marks_what_is_not_as_hoped_for_and_says_what_was_seen() -> None:
    column = Column(id="revoke-python", title="revoke", seconds="from here to there", kept=("ended",))
    found = [
        row("prefork"),
        row("threads", verdict="not implemented", seconds="", detail="it | said so"),
        row("solo", verdict="n/a", seconds="", detail="no such thing"),
    ]
    text = rows.markdown({each.key: each for each in found}, {"A table": [column]}, "Preface.")
    assert "| `prefork` | ended (0.1 s) |" in text
    assert "| `threads` | **not implemented** [1] |" in text
    assert "| `solo` | n/a [2] |" in text
    assert "1. it \\| said so" in text
    assert "Seconds are from here to there." in text
    assert "## celery, Celery 5.7.0" in text


def test_cells_that_say_the_same_share_a_note() -> None:
    column = Column(id="kill", title="kill", seconds="s", kept=())
    found = [row(pool, "kill", detail="the worker died") for pool in ("threads", "gevent")]
    text = rows.markdown({each.key: each for each in found}, {"T": [column]}, "")
    assert text.count("the worker died") == 1
    assert text.count("[1]") == 2


def test_the_whole_page_is_made_of_any_rows_there_are() -> None:
    found = {each.key: each for each in (row(), row(contract="ping-gil", verdict=CANNOT_SAY, seconds="", detail="why not"))}
    text = survey.page(found, jobs=4)
    assert text.count("### ") == 2
    assert "**cannot say** [1]" in text


def test_fates_are_counted() -> None:
    assert counted(["lost", "answered", "lost"]) == "2 of 3 lost, 1 of 3 answered"
    assert counted([]) == "none"


def test_a_reply_is_ok_or_its_error() -> None:
    assert said({"ok": "terminate: 12"}) == "ok"
    assert "kill_job" in said({"error": "NotImplementedError('kill_job')"})


def test_each_lane_has_a_database_of_its_own() -> None:
    assert database("redis://:secret@127.0.0.1:6379/0", 3) == "redis://:secret@127.0.0.1:6379/3"


def test_mingle_is_celerys_default_and_no_option_of_ours_reaches_its_command_line() -> None:
    from harness.environments import Environment
    from harness.experiment.matrix import Cell

    environment = Environment(
        name="celery", python=Path("/e/bin/python"), directory=Path("/e"), fingerprint="", installed={}, variables={},
        interpreter_version="3.11.0", facts={}, cache_dir=Path("/e/compiled"),
    )  # fmt: skip
    cell = Cell(backend="faulty", environment="celery", pool="solo")
    assert "--without-mingle" in command(cell, environment, ("--time-limit", "3"))
    plain = command(cell, environment, ("--with-mingle",))
    assert not [part for part in plain if "mingle" in part]


NOTHING_TO_MEASURE = "celery-threads-kill-late-reject"  # there are no child processes


def test_a_survey_keeps_its_machine_and_begins_and_ends_like_every_verb(tmp_path: Path) -> None:
    told: list[Row] = []
    asked = order(tmp_path / "survey", select=[NOTHING_TO_MEASURE])
    known = survey.survey(asked, print, told.append)
    assert [one.verdict for one in told] == [one.verdict for one in known.values()] == ["n/a"]
    header = json.loads((tmp_path / "survey" / "run.json").read_text())
    assert header["machine"] == identity.facts()
    assert header["ended"]
    assert not header["interrupted"]
    assert not (tmp_path / "survey" / "scratch").exists()
    said: list[str] = []
    assert survey.survey(asked, said.append, told.append) == known
    assert said == ["1 of 1 answers are on record; --fresh measures them again"]
    assert told == [*known.values()] * 2, "who asks again is answered again"


def test_what_could_not_be_said_is_asked_again_and_all_else_is_kept() -> None:
    sure, unsure = row(), row(contract="ping", verdict=CANNOT_SAY)
    known = {one.key: one for one in (sure, unsure)}
    wanted = [unsure.key, ("b", "threads", "new"), sure.key]
    assert rows.kept(wanted, known) == {sure.key: sure}
    assert rows.kept([], known) == {}


def test_a_survey_of_another_machine_is_not_completed_and_two_do_not_write_to_one_folder(tmp_path: Path) -> None:
    asked = order(tmp_path, select=[NOTHING_TO_MEASURE])
    with RunFolder(tmp_path).opened(), pytest.raises(BadInput, match="another run"):
        survey.survey(asked, print, print)
    rows.append(tmp_path, row())
    RunFolder(tmp_path).write_json("run.json", {"machine": {"cores_available": 4096}})
    with pytest.raises(BadInput, match=r"the answers in .* were made on another machine"):
        survey.survey(asked, print, print)


def test_a_survey_that_is_stopped_keeps_what_was_measured(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(Interrupted, match="what was measured is kept"):
        survey.survey(order(tmp_path, select=[NOTHING_TO_MEASURE]), said.append, lambda _: os.kill(os.getpid(), signal.SIGINT))
    assert said == ["stopping; what was measured is kept"]
    assert len(rows.read(tmp_path)) == 1
    assert json.loads((tmp_path / "run.json").read_text())["interrupted"] is True
