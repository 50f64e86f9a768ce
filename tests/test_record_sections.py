"""The sections of a record: frozen, changed by copy, empty where nothing is known, and what they compute."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from harness.records import cpu, sections, upgrades
from harness.records.cpu import Cpu, CpuUse, Noise
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, by_cell, from_line, to_line
from harness.records.sections import (  # fmt: skip
    Answers,
    Asked,
    Certainty,
    Client,
    Ended,
    Figures,
    Frozen,
    Growth,
    Memory,
    MemoryUse,
    Pace,
)
from harness.records.silent import Silent
from harness.records.upgrades import NEWER, PLACES, RENAMED, SAME, SCHEMA, UPGRADES, flat, upgraded
from tests import handmade, replay
from tests.replay import NAMES

EVERY = [
    kind
    for kind in {**vars(sections), **vars(cpu)}.values()
    if isinstance(kind, type) and issubclass(kind, Frozen) and kind is not Frozen
]
USE = CpuUse(window_s=2.0, cores=4, requests=10, worker=1.0, children=2.0, broker=0.5, client=0.25, machine=5.75, steal=0.1)


@pytest.mark.parametrize("kind", [*EVERY, TrialRecord])
def test_a_section_is_changed_by_copy_only(kind: type[Frozen]) -> None:
    one = kind.model_construct()
    name = next(iter(kind.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(one, name, 1)
    assert getattr(one.revised(**{name: 7}), name) == 7
    with pytest.raises(TypeError, match=f"{kind.__name__} has no another, other"):
        one.revised(other=1, another=2)


def test_what_was_recorded_before_quotas_were_read_has_none() -> None:
    told = USE.model_dump(exclude={"quota", "throttled"})
    found = CpuUse.model_validate(told)
    assert found == USE
    assert (found.quota, found.throttled, found.usable, found.saturation) == (None, [], 4, pytest.approx(3.0 / 8.0))


#: What a section holds where nothing is known: everything, so that no field is made up.
EMPTY: list[tuple[BaseModel, dict[str, Any]]] = [
    (
        Ended(outcome=Outcome.OK, reason="r"),
        {
            "outcome": "ok", "reason": "r", "seconds": 0.0, "evidence": "", "last_progress_s": None, "verdict_after_s": None,
            "cause": "", "support": [], "executors": None, "executors_hung": None,
            "proof": "", "withdrawn": [], "instead": "",
        },
    ),
    (
        Answers(),
        {
            "requests": 0, "ok": 0, "wrong": 0, "unanswered": 0, "errors": {}, "max_error": None, "duplicates": 0, "died": 0,
            "coverage": "",
            "backlog": [],
            "tasks": [],
            "requests_file": "",
        },
    ),
    (
        Pace(),
        {
            "ready_s": None, "load_s": {}, "first_predict_s": None, "warmup_requests": 0, "executors_seen": 0,
            "slowest_s": None,
            "measured_s": None, "measured_requests": 0, "waited_while_idle": None, "starved": None, "stages_p50_s": {},
        },
    ),
    (
        Cpu(),
        {
            "use": None, "facts": None, "verdict": "", "verdict_reason": "", "noise": None, "threads_peak": {},
            "tree_cpu_s": None,
            "kernel_cpu_s": None, "samples_file": "",
        },
    ),
    (Memory(), {"use": None, "peak_pss_bytes": None}),
    (Client(), {"sending": None}),
    (Certainty(), {"figures": None, "unusable": "", "doubts": [], "notes": []}),
    (Noise(), {"swapped_bytes": None, "frequency_low_hz": None, "frequency_high_hz": None}),
    (
        Figures(requests=1, throughput_per_s=2.0),
        {
            "requests": 1, "throughput_per_s": 2.0, "throughput_span_per_s": (None, None), "latency_s": {},
            "latency_span_s": {},
            "predict_p50_s": None, "window_throughputs_per_s": [], "window_latencies_s": [], "stable": None,
            "cold": 0,
        },
    ),
    (
        Growth(readings=3, seconds=1.0, bytes_per_s=2.0, certain=True),
        {"readings": 3, "seconds": 1.0, "bytes_per_s": 2.0, "bytes_per_request": None, "certain": True},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "told"), EMPTY, ids=lambda value: type(value).__name__)
def test_what_is_not_known_is_nothing(section: BaseModel, told: dict[str, Any]) -> None:
    assert section.model_dump() == told


def test_the_cpu_is_shared_out() -> None:
    assert (USE.worker_tree, USE.ours) == (3.0, 3.75)
    assert (USE.others_share, USE.idle_share) == (0.25, 1 - 5.75 / 8)


#: of 64 cores we may use 1.5, and used 0.3 of them; the whole machine used as many cores as it is given
QUOTED = CpuUse(
    window_s=10.0, cores=64, requests=1, worker=3.0, children=0, broker=0, client=0, machine=3.0, steal=0, quota=1.5
)


def with_quota(machine: float, *used: float | None, steal: float = 0.0, quotas: tuple[float, ...] = (1.5, 4.0)) -> CpuUse:
    """`machine`: cores that were busy; `used`: cores that all in each group on our path used, our own first."""
    told = [
        cpu.Throttled(level=level, quota=quota, periods=1, throttled_periods=0, throttled_s=0.0, used_s=cores and cores * 10)
        for level, (quota, cores) in enumerate(zip(quotas, used, strict=False))
    ]
    return QUOTED.revised(machine=machine * 10.0, steal=steal * 10.0, throttled=told)


@pytest.mark.parametrize(
    ("use", "others", "idle"),
    [
        (with_quota(0.3), 0.0, 0.8),
        (with_quota(40.3), 0.0, 0.8),  # of others outside of our quota: 24 cores are free
        (with_quota(62.8), 0.0, 0.8),  # as many are free as our quota allows
        (with_quota(63.55), 0.5, 0.3),  # 0.75 are left to us
        (with_quota(64.3), 1.0, 0.0),
        (with_quota(1.05, 1.05), 0.5, 0.3),  # a neighbour in our own quota took 0.75 of it
        (with_quota(40.0, 0.3), 0.0, 0.8),
        (with_quota(4.0, 0.3, 4.0), 0.8, 0.0),  # a neighbour in the group above took all but 0.3 of its quota
        (with_quota(2.3, 0.3, 2.3), 0.0, 0.8),  # the group above has room for us all the same
        (with_quota(1.05, None), 0.0, 0.8),  # the group does not show what it used
        (with_quota(9.0, 0.1), 0.0, 0.8),  # two clocks are read, one after the other
    ],
)
def test_others_take_what_they_keep_from_us_of_the_cores_that_we_may_use(use: CpuUse, others: float, idle: float) -> None:
    assert (use.others_share, use.idle_share) == (pytest.approx(others), pytest.approx(idle))
    assert use.programs_share == use.others_share


def test_what_the_hypervisor_stole_is_not_of_programs() -> None:
    stolen = with_quota(63.55, steal=0.75)
    assert (stolen.others_share, stolen.programs_share) == (pytest.approx(0.5), pytest.approx(0.0, abs=1e-9))
    assert USE.programs_share == pytest.approx(0.25 - 0.1 / 8)


def test_shares_are_never_below_zero() -> None:
    assert USE.revised(machine=1.0).others_share == 0.0
    assert USE.revised(machine=9.0).idle_share == 0.0


def test_what_sharing_saves_is_what_separate_processes_would_need_besides() -> None:
    use = MemoryUse(
        pss_bytes={"worker": 50, "children": 70}, private_bytes={"worker": 10, "children": 30},
        shared_bytes={"worker": 80, "children": 160}, readings=1,
    )  # fmt: skip
    assert use.saved_bytes == 10 + 30 + 80 + 160 - 50 - 70
    assert use.growth is None


@pytest.mark.parametrize("name", NAMES)
def test_a_record_goes_through_a_flat_row_and_back(name: str) -> None:
    record = replay.once(name).record
    told = json.loads(to_line(record))
    row = flat(told)
    assert set(row) == set(PLACES)
    assert {"schema_version": SCHEMA, **upgrades.sections(row)} == told
    assert TrialRecord.model_validate({"schema_version": SCHEMA, **upgrades.sections(row)}) == record


@pytest.mark.parametrize("name", NAMES[::4])
def test_a_record_reads_whatever_the_order_of_its_sections(name: str) -> None:
    record = replay.once(name).record
    told = json.loads(to_line(record))
    backwards = dict(reversed(told.items()))
    assert from_line(json.dumps(backwards)) == record
    assert from_line(to_line(record)) == record
    assert to_line(record).endswith("}\n")
    assert to_line(record).count("\n") == 1


@pytest.mark.parametrize("name", NAMES[::4])
def test_the_record_of_each_earlier_version_becomes_todays(name: str) -> None:
    record = replay.once(name).record
    row = {key: value for key, value in flat(json.loads(to_line(record))).items() if key not in NEWER}
    second = from_line(json.dumps({**row, "schema_version": 2}))
    assert second == record.changed(
        ended={"proof": ""}, pace={"slowest_s": None}, silent=dict(Silent()), certainty={"unusable": ""}
    )
    assert second is not None
    assert from_line(json.dumps({**row, "schema_version": 1})) == second.changed(
        certainty={"figures": None, "doubts": []}, cpu={"noise": None}
    )


def test_each_step_says_to_which_version_it_leads() -> None:
    assert {version: step({"trial": 1})["schema_version"] for version, step in UPGRADES.items()} == {1: 2, 2: 3}
    assert SCHEMA == 3
    assert upgraded({"schema_version": SCHEMA, "asked": {}}) == {"schema_version": SCHEMA, "asked": {}}
    assert upgraded({"asked": {}}) == {"asked": {}}


def test_every_field_of_every_section_has_a_name_in_a_flat_row() -> None:
    kinds = {
        "asked": Asked, "ended": Ended, "answers": Answers, "pace": Pace, "cpu": Cpu, "memory": Memory, "client": Client,
        "silent": Silent, "certainty": Certainty,
    }  # fmt: skip
    assert {*PLACES.values()} == {(section, name) for section, kind in kinds.items() for name in kind.model_fields}
    assert set(RENAMED) <= set(SAME) == set(kinds)
    assert flat({"asked": {"trial": 1}, "memory": {}}) == {"trial": 1}


def test_what_names_a_record_can_be_asked_of_it() -> None:
    one = replay.once("hung-deadlock-prefork").record
    assert (one.cell_id, one.trial, one.outcome, one.reason) == (
        one.asked.cell_id, one.asked.trial, one.ended.outcome, one.ended.reason,
    )  # fmt: skip
    assert one.as_cell.as_dict() == one.asked.cell


@pytest.mark.parametrize(
    ("outcome", "unusable", "spoiled"), [("ok", "", False), ("ok", "noisy", True), ("invalid", "", True), ("hung", "", False)]
)
def test_a_record_is_spoiled_if_our_instrument_failed_or_its_figures_were_taken_away(
    outcome: str, unusable: str, spoiled: bool
) -> None:
    assert handmade.record(cell_id="c", outcome=outcome, figures_unusable=unusable).spoiled is spoiled


def test_records_are_grouped_by_cell_in_the_order_in_which_cells_appear() -> None:
    records = [handmade.record(cell_id=name, outcome="ok", trial=trial) for name, trial in [("b", 1), ("a", 1), ("b", 2)]]
    assert [(name, [one.trial for one in trials]) for name, trials in by_cell(records).items()] == [("b", [1, 2]), ("a", [1])]
