"""A copy of the application's folder: what is in it, what is left out, and what is said of it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from harness.applications import copied
from harness.applications.copied import MIB
from harness.applications.probe import calls, header
from harness.applications.probe.order import ProbeOrder
from harness.errors import BadInput, CannotWrite
from tests.test_application_source import ORDER, source


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with an application, data, an environment, a repository and links."""
    folder = tmp_path / "shop"
    for name in (".git", "venv/lib", "data/deep", "node_modules/x", "pkg/__pycache__", "results/probe"):
        (folder / name).mkdir(parents=True)
    for name in (
        ".git/HEAD",
        "venv/pyvenv.cfg",
        "venv/lib/big.so",
        "node_modules/x/y.js",
        "pkg/__pycache__/a.pyc",
        "results/probe/run.json",
    ):
        (folder / name).write_text("left out")
    for name in ("tasks.py", ".env", "data/deep/model.bin", "pkg/__init__.py"):
        (folder / name).write_text(name)
    (tmp_path / "elsewhere").mkdir()
    (folder / "inside").symlink_to("data/deep")
    (folder / "whole").symlink_to(folder / "data")
    (folder / "outside").symlink_to("../elsewhere")
    (folder / "gone").symlink_to("data/nothing")
    os.mkfifo(folder / "pipe")
    return folder


def order(folder: Path, **changes: object) -> ProbeOrder:
    return replace(ORDER, folder=folder, out=folder / "results" / "probe", **changes)  # type: ignore[arg-type]


def test_a_copy_has_the_application_and_none_of_what_is_large_beside_it(shop: Path) -> None:
    said: list[str] = []
    with copied.copied(order(shop), 1, said.append) as found:
        files = {str(path.relative_to(found.folder)) for path in found.folder.rglob("*") if path.is_file()}
        assert files == {"tasks.py", ".env", "data/deep/model.bin", "pkg/__init__.py"}
        assert (found.folder / "data/deep/model.bin").stat().st_ino != (shop / "data/deep/model.bin").stat().st_ino
        assert found.folder.name == "shop"
        assert (found.home, order(shop).home) == (shop, shop)
    assert said[0].startswith(f"copy: 4 files, 0.045 KiB, of {shop} in ")
    assert said[0].endswith("left out: .git, node_modules, venv and 2 more")
    assert not found.folder.exists()


def test_links_lead_into_the_copy_or_stay_and_are_named(shop: Path) -> None:
    said: list[str] = []
    with copied.copied(order(shop), 1, said.append) as found:
        for name in ("inside", "whole"):
            assert (found.folder / name).resolve().is_relative_to(found.folder), name
        assert (found.folder / "outside").resolve() == shop.parent / "elsewhere"
        assert (found.folder / "gone").is_symlink()
    assert said[1] == "copy: links that lead out of the folder stay as they are: outside"


def test_what_is_written_there_is_named_and_is_not_the_users(shop: Path) -> None:
    said: list[str] = []
    with copied.copied(order(shop), 1, said.append) as found:
        (found.folder / "receipts.txt").write_text("3")
        (found.folder / "whole" / "deep" / "model.bin").write_text("trained further")
        (found.folder / "pkg" / "__pycache__").mkdir()
        (found.folder / "pkg" / "__pycache__" / "tasks.pyc").write_text("cached")
    assert said[-1] == "copy: below its folder the application wrote data/deep/model.bin, receipts.txt; now removed"
    assert not (shop / "receipts.txt").exists()
    assert (shop / "data/deep/model.bin").read_text() == "data/deep/model.bin"


def test_the_copy_goes_and_is_told_of_also_if_the_run_fails(shop: Path) -> None:
    said: list[str] = []
    places: list[Path] = []

    def fails() -> None:
        with copied.copied(order(shop), 1, said.append) as found:
            places.append(found.folder)
            (found.folder / "half.txt").write_text("x")
            raise BadInput("no such task")

    with pytest.raises(BadInput, match="no such task"):
        fails()
    assert "half.txt" in said[-1]
    assert not places[0].exists()


def test_too_large_a_folder_is_refused_with_what_is_large_and_how_to_raise_the_limit(shop: Path) -> None:
    with open(shop / "data" / "deep" / "weights.h5", "wb") as file:
        file.truncate(5 * MIB)
    says = r"holds 5 MiB in 5 files \(data 5 MiB, .*\), and the limit is 2 MiB"
    with pytest.raises(BadInput, match=says) as raised, copied.copied(order(shop), 2, print):
        pass
    assert "--copy-limit-mib 6" in raised.value.remedy


def test_a_full_disk_is_told_before_anything_is_copied(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copied, "SPARE_BYTES", 2**70)
    with pytest.raises(CannotWrite, match="0 KiB are free there") as raised, copied.copied(order(shop), 2, print):
        pass
    assert "TMPDIR" in raised.value.remedy


def test_variables_that_name_the_folder_itself_are_named(shop: Path) -> None:
    said: list[str] = []
    own = {"DATA": f"{shop}/data", "MODE": "fast"}
    with copied.copied(order(shop, own=own, variables={**own, "PYTHONPATH": str(shop), "PWD": str(shop)}), 1, said.append):
        pass
    assert "copy: the variable DATA, PYTHONPATH names the folder itself" in said[2]


def test_without_copy_the_order_is_as_it_was(shop: Path) -> None:
    one = order(shop)
    with copied.worked_in(one, copy=False, limit_mib=1, say=print) as found:
        assert found is one
    with pytest.raises(BadInput, match="--copy goes with --app"):
        copied.needs_app(copy=True)
    copied.needs_app(copy=False)


def test_trials_in_a_copy_are_of_the_users_own_folder(shop: Path) -> None:
    """A run goes on from one without a copy, and advice finds the application where it is."""
    plain, copy = order(shop), replace(order(shop), folder=Path("/tmp/copy/shop"), origin=shop)
    assert [one.key for one in source(copy).planned()] == [one.key for one in source(plain).planned()]
    assert header.from_here(copy) == header.from_here(plain)


def test_how_often_the_task_is_called_is_said_before_its_first_call() -> None:
    assert "--max-calls bounds" in calls.announced(None, search=False)
    assert "--max-calls" not in calls.announced(None, search=True), "tune has no such option"


def test_a_copy_whose_run_was_killed_is_removed_by_the_next_one_and_no_other(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tmp"
    for name in ("harness-copy-killed", "harness-copy-begins", "harness-other"):
        (place / name / "shop").mkdir(parents=True)
    for name in ("harness-copy-killed", "harness-other"):
        (place / name / copied.HELD).touch()
    (place / "harness-copy-link").symlink_to("harness-other")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    said: list[str] = []
    with copied.copied(order(shop), 1, print) as lives, copied.copied(order(shop), 1, said.append):
        assert (lives.folder / "tasks.py").exists()
    assert sorted(path.name for path in place.iterdir()) == ["harness-copy-begins", "harness-copy-link", "harness-other"]
    assert not any("killed" in line for line in said), "the first of the two had removed it"
    (place / "harness-copy-killed").mkdir()
    (place / "harness-copy-killed" / copied.HELD).touch()
    with copied.copied(order(shop), 1, said.append):
        pass
    assert f"copy: removed {place / 'harness-copy-killed'}, which a run that was killed had left" in said
