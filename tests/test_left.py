"""What a trial leaves: frozen, plain, and all that its site and its watcher saw."""

from __future__ import annotations

import dataclasses
import os
import pickle
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from harness.judge.outcome import Observations
from harness.run.conclude import Heading
from harness.trial.left import Ending, Left, Machine, Signs
from harness.trial.live_site import Means
from tests import replay
from tests.replay import NAMES

PLAIN = (int, float, str, bool, bytes, types.NoneType, os.PathLike, Enum)
EVERY = (Left, Ending, Signs, Machine, Means, Heading, Observations)


def below(value: Any) -> Iterator[Any]:
    """A value and all values in it, at any depth."""
    yield value
    if isinstance(value, PLAIN):
        return
    inner: Any = value
    if dataclasses.is_dataclass(value) or isinstance(value, BaseModel):
        inner = vars(value).values()
    elif isinstance(value, Mapping):
        inner = [*value, *value.values()]
    for one in inner:
        yield from below(one)


def is_frozen(kind: Any) -> bool:
    if issubclass(kind, BaseModel):
        return bool(kind.model_config.get("frozen"))
    return dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_it_at_any_depth_lives(name: str) -> None:
    left = replay.once(name).left
    kinds = {type(value) for value in below(left)}
    assert [kind for kind in kinds if not issubclass(kind, (*PLAIN, tuple, frozenset, dict)) and not is_frozen(kind)] == []
    assert pickle.loads(pickle.dumps(left)) == left


@pytest.mark.parametrize("kind", EVERY)
def test_it_cannot_be_changed_and_its_values_are_named(kind: type) -> None:
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    one = kind(**dict.fromkeys(names))
    for name in names:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, name, 1)
    with pytest.raises(TypeError, match="positional"):
        kind(*names)


def test_what_is_not_said_of_a_trial_is_nothing() -> None:
    assert dataclasses.asdict(Ending(by="done")) == {
        "by": "done", "verdict": None, "partial": None, "judged_s": None, "withdrawn": (), "worker_exit": "", "client_exit": "",
        "no_consumer": "", "unsupported": "", "never_struck": False, "log_line": "", "log_error": "", "log_words": "",
        "log_unread": "", "log_asked": "", "log_paused": "", "log_serial": "", "end": "", "left_behind": (), "census": None,
        "shared": (), "oom_kills": 0, "oom_counted": "", "evidence": None, "backlog": (), "consumed": None,
    }  # fmt: skip
    assert dataclasses.asdict(Signs(started_s=1.0)) == {
        "started_s": 1.0, "ready_at_s": None, "last_event_s": None, "phase": "", "phase_at_s": {}, "published": 0, "waiting": 0,
        "has_put_off": False, "put_off": {}, "again": {},
        "copies": (), "quiet_s": 0.0, "longest_silence_s": 0.0, "load_seconds": {},
        "dead": frozenset(), "lost": frozenset(),
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_says_all_that_the_site_knew_in_the_end(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path).changed(kernel_cpu_s=7.5)
    left, site = replay.watched(one)
    assert left.cell.as_dict() == one.history.cell
    assert (left.trial, left.settings, left.rate_interval_s) == (1, one.history.settings, 0.0)
    assert (left.result, left.events) == (tmp_path / "requests.npz", tmp_path / "events")
    assert (left.machine.watched, left.machine.kernel_cpu_s) == (one.history.watched, 7.5)
    assert left.signs.started_s == one.history.started_s
    for field in ("ready_at_s", "last_event_s", "phase", "phase_at_s", "published", "waiting", "has_put_off", "load_seconds"):
        assert getattr(left.signs, field) == getattr(site.progress, field), field


@pytest.mark.parametrize("name", ["ok-prefork", "ok-solo"])
def test_the_signs_are_a_copy(name: str, tmp_path: Path) -> None:
    left, site = replay.watched(replay.stored(name, tmp_path))
    before = dict(left.signs.phase_at_s), dict(left.signs.load_seconds)
    site.progress.phase_at_s["late"] = site.progress.load_seconds[1] = 1.0
    assert (left.signs.phase_at_s, left.signs.load_seconds) == before


@pytest.mark.parametrize(
    ("phases", "last_event_s", "begin_s", "end_s"),
    [
        ({"measure": 2.0, "drain": 5.0}, 9.0, 2.0, 5.0),
        ({"measure": 2.0}, 9.0, 2.0, 9.0),
        ({"measure": 2.0}, None, 2.0, 2.0),
        ({"warmup": 1.0}, None, None, None),
        ({}, 3.0, None, 3.0),
    ],
)
def test_the_measured_phase_ends_with_the_drain_or_the_last_event(
    phases: dict[str, float], last_event_s: float | None, begin_s: float | None, end_s: float | None
) -> None:
    left = replay.once("ok-prefork").left
    signs = dataclasses.replace(left.signs, phase_at_s=phases, last_event_s=last_event_s)
    one = dataclasses.replace(left, signs=signs)
    assert (one.measured_from_s, one.measured_to_s) == (begin_s, end_s)
