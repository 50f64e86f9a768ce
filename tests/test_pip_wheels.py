"""Wheels that the package index does not have: pip finds them where it is told to; an environment without one is missing."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from harness.environments import Description, described, description, descriptions, find, prepare
from harness.environments.environment import fingerprint
from harness.errors import MissingTool
from tests.test_environments import TINY, home  # noqa: F401 - a fixture

WHEEL = """
[wheel]
package = "tiny-engine"
version = "1.0+cpu"
instead = "the index has another one"
"""
FILE = "tiny_engine-1.0+cpu-py3-none-any.whl"


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Description:  # noqa: F811
    """The only environment there is, with an empty lock and a wheel; pip looks into one folder, and nowhere else."""
    locks, shelf = tmp_path / "locks", tmp_path / "shelf"
    locks.mkdir()
    shelf.mkdir()
    (locks / "tiny.toml").write_text(TINY.replace('["json"]', '["json", "tiny_engine"]') + WHEEL)
    (locks / "tiny.txt").write_text("")
    monkeypatch.setattr(description, "LOCKS", locks)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return descriptions()["tiny"]


def make_wheel(path: Path) -> None:
    """A module that is the whole package."""
    info = "tiny_engine-1.0+cpu.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_engine.py", "ANSWER = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-engine\nVersion: 1.0+cpu\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"tiny_engine.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_a_wheel_that_pip_finds_is_installed_and_kept_in_mind(wanted: Description, tmp_path: Path) -> None:
    make_wheel(tmp_path / "shelf" / FILE)
    built = prepare("tiny")
    assert built.installed["tiny-engine"] == "1.0+cpu"
    sha256 = hashlib.sha256((tmp_path / "shelf" / FILE).read_bytes()).hexdigest()
    assert built.facts["wheel"] == {"file": FILE, "sha256": sha256}
    assert (
        subprocess.run([built.python, "-c", "import tiny_engine; print(tiny_engine.ANSWER)"], capture_output=True).stdout
        == b"42\n"
    )
    assert find("tiny") == built
    assert not list(built.directory.parent.glob("wheel-*"))


def test_without_the_wheel_the_environment_is_missing_and_the_other_build_must_be_asked_for(wanted: Description) -> None:
    with pytest.raises(MissingTool, match=r"no tiny-engine==1.0\+cpu on this machine; the index has another one") as caught:
        prepare("tiny")
    assert 'environment = ["tiny+tiny-engine==1.0"]' in caught.value.remedy
    assert find("tiny") is None


def test_the_build_that_is_asked_for_comes_from_the_index_as_any_other_package(wanted: Description) -> None:
    asked = described("tiny+Tiny_Engine==1.0")
    assert asked.wheel is None
    assert "tiny-engine==1.0" in asked.requires
    assert described("tiny+celery==5.6.0").wheel == wanted.wheel


def test_another_wheel_is_another_environment(wanted: Description) -> None:
    assert wanted.wheel is not None
    later = wanted.model_copy(update={"wheel": wanted.wheel.model_copy(update={"version": "1.1+cpu"})})
    without = wanted.model_copy(update={"wheel": None})
    assert len({fingerprint(one, "3.11.1") for one in (wanted, later, without)}) == 3
