"""A workload is written for workers once: what stands there, whole and made by the same code, is left as it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from harness import workloads
from harness.backends import bundle
from harness.run import bundles

NAME = "tiny-dense"


def written(folder: Path) -> dict[str, int]:
    """The files of the bundle, and a number that is another one if a file is written again."""
    bundles.write_bundles([NAME], folder)
    return {path.name: path.stat().st_ino for path in (folder / NAME).iterdir()}


def test_a_bundle_that_stands_is_left_as_it_is(tmp_path: Path) -> None:
    assert written(tmp_path) == written(tmp_path)


@pytest.mark.parametrize("name", [bundle.MODEL, bundle.WEIGHTS, bundle.INPUTS, bundle.REFERENCE])
def test_a_bundle_of_which_a_file_was_changed_or_lost_is_written_anew(name: str, tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / NAME / name
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    written(tmp_path)
    assert path.read_bytes() == right
    path.unlink()
    written(tmp_path)
    assert path.read_bytes() == right


def test_other_code_writes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written(tmp_path)
    monkeypatch.setattr(bundles, "code", lambda: "another")
    after = written(tmp_path)
    assert set(before) == set(after)
    assert before[bundle.REFERENCE] != after[bundle.REFERENCE]


def test_a_bundle_that_broke_off_is_written_anew(tmp_path: Path) -> None:
    before = written(tmp_path)
    (tmp_path / NAME / bundles.STAMP).unlink()
    assert written(tmp_path)[bundle.REFERENCE] != before[bundle.REFERENCE]


def test_of_runs_that_start_at_once_one_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrote, starts, write = [], Barrier(8), workloads.write_bundle
    monkeypatch.setattr(workloads, "write_bundle", lambda name, path: (wrote.append(name), write(name, path)))

    def run(_number: int) -> str:
        starts.wait()
        return bundles.write_bundles([NAME], tmp_path)[NAME].fingerprint

    with ThreadPoolExecutor(8) as runs:
        found = set(runs.map(run, range(8)))
    assert len(found) == 1
    assert wrote == [NAME]
