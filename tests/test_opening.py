"""How every verb begins and ends: what it looks at, what it holds, and what a Ctrl-C does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.errors import BadInput, Interrupted, NotPermitted
from harness.machine import identity
from harness.records import store
from harness.records.store import RunFolder
from harness.run import preflight
from harness.run.interrupt import STOPPING, interruptible
from harness.run.opening import opened


def quiet(text: str) -> None:
    """Say nothing."""


def test_the_folder_is_held_and_the_scratch_folder_goes_at_the_end(tmp_path: Path) -> None:
    with opened(tmp_path, "run", quiet) as place:
        assert place.scratch.is_dir()
        with pytest.raises(BadInput, match="another run"), RunFolder(tmp_path).opened():
            pass
    assert not place.scratch.exists()
    with RunFolder(tmp_path).opened():
        pass


def test_what_fails_leaves_its_scratch_folder_for_whoever_looks_for_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="wrong"), opened(tmp_path, "run", quiet) as place:
        raise BadInput("wrong")
    assert place.scratch.is_dir()


@pytest.mark.parametrize("name", store.OURS)
def test_whatever_was_measured_on_another_machine_is_not_completed_here(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x\n")
    RunFolder(tmp_path).write_json("run.json", {"machine": {"cores_available": 4096}})
    with pytest.raises(BadInput, match="another machine"), opened(tmp_path, "survey", quiet):
        pass
    said: list[str] = []
    with opened(tmp_path, "survey", said.append, fresh=True):
        pass
    assert said[0].startswith("the earlier survey was moved to ")


def test_what_was_measured_under_another_cpu_quota_is_not_completed_under_this_one(tmp_path: Path) -> None:
    (tmp_path / store.OURS[0]).write_text("x\n")
    RunFolder(tmp_path).write_json("run.json", {"machine": {**identity.facts(), "cpu_quota_cores": 0.125}})
    with pytest.raises(BadInput, match=r"another machine: cpu_quota_cores 0\.125 -> "), opened(tmp_path, "survey", quiet):
        pass


def test_a_machine_that_hides_our_own_processes_is_refused_by_those_who_need_to_see_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "glance", lambda pid: None)
    with pytest.raises(NotPermitted, match="may not be read"), opened(tmp_path, "run", quiet):
        pass
    with opened(tmp_path, "survey", quiet, sight=False):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_request_to_stop_is_noted_and_the_end_says_so(tmp_path: Path, number: signal.Signals) -> None:
    said: list[str] = []
    with pytest.raises(Interrupted) as caught, opened(tmp_path, "run", said.append) as place:
        os.kill(os.getpid(), number)
    assert place.stopped.is_set()
    assert said == [STOPPING]
    assert caught.value.remedy == "the same command goes on from here"


def test_the_second_ctrl_c_is_pythons_own(tmp_path: Path) -> None:
    told: list[str] = []
    with interruptible(told.append, "stopping", then=lambda: told.append("passed on")) as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert told == ["stopping", "passed on"]
