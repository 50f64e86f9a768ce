"""Environments: descriptions, interpreters, building, and what a worker gets to see. Nothing here needs a network.

The environment that is built is a real one: uv makes a venv and installs an empty lock into it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.environments import (
    Description,
    blas,
    build,
    description,
    descriptions,
    environment,
    find,
    interpreters,
    prepare,
    uvtool,
    worker_path,
    worker_variables,
)
from harness.environments.environment import MARKER, fingerprint
from harness.errors import BadInput, BuildFailed, HarnessError, MissingTool
from harness.proof import doctor

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
ALL = list(descriptions().values())
TINY = f"""
name = "tiny"
summary = "an environment with nothing in it"
python = ["{HERE}"]
requires = ["nothing"]
calls = ["predict"]
imports = ["json"]
env = {{ PLACE = "{{cache}}" }}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("HARNESS_HOME", str(folder))
    monkeypatch.setenv("UV_OFFLINE", "1")
    return folder


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Description:
    """The only environment there is, with an empty lock."""
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "tiny.toml").write_text(TINY)
    (locks / "tiny.txt").write_text("")
    monkeypatch.setattr(description, "LOCKS", locks)
    return descriptions()["tiny"]


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def fake_python(path: Path, version: str, *, headers: bool = True) -> None:
    """A program that says of itself what an interpreter of that version would."""
    program(path, f"""echo '["{path}", "{version}", "cpython", {str(headers).lower()}]'""")


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH is this folder and the system's; there is no pyenv."""
    folder = tmp_path / "on_path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return folder


# Descriptions and locks


def test_there_is_an_environment_for_each_backend_and_one_for_the_controls() -> None:
    native = {"lightgbm", "onnxruntime", "sklearn", "torch", "xgboost"}
    keras = {"jax", "keras_torch", "openvino", "tensorflow1", "tensorflow1_15", "tensorflow2", "theano"}
    assert {item.name for item in ALL} == {"celery"} | keras | native


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_a_lock_pins_what_its_description_requires(item: Description) -> None:
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", item.lock.read_text(), flags=re.MULTILINE))
    for requirement in item.requires:
        name, _, version = requirement.partition("==")
        name = re.split(r"[<>=!~]", name)[0]
        assert name in locked
        assert re.match(version.replace("*", ".*") or ".*", locked[name])


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_every_pin_of_a_lock_has_a_hash(item: Description) -> None:
    text = item.lock.read_text()
    assert len(re.findall(r"^[\w.-]+==\S+ .*\\\n    --hash=sha256:", text, flags=re.MULTILINE)) == text.count("==")


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_a_lock_names_no_index_and_no_place_on_a_machine(item: Description) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|(^|\s)/|file:", item.lock.read_text())


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_a_descriptions_variables_name_only_places_that_exist(item: Description) -> None:
    assert "{" not in "".join(environment.variables(item, Path("/venv")).values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('python = ["3.8"]\npyhton = ["3.8"]', "pyhton"),
        ("python = []", "python"),
        ("python = [3.8]", "python"),
        ("python = [", "TOML"),
    ],
)
def test_a_faulty_description_is_refused_by_name(tiny: Description, change: str, says: str) -> None:
    tiny.source.write_text(TINY.replace(f'python = ["{HERE}"]', change))
    with pytest.raises(BadInput, match=rf"tiny\.toml.*{says}"):
        descriptions()


def test_an_unknown_environment_is_answered_with_those_there_are(home: Path) -> None:
    with pytest.raises(BadInput) as caught:
        find("tensorflow3")
    assert "tensorflow2" in caught.value.remedy


# Fingerprints


def test_the_fingerprint_changes_with_what_decides_the_venv(tiny: Description) -> None:
    before = fingerprint(tiny, "3.11.7")
    tiny.lock.write_text("# another\n")
    assert fingerprint(tiny, "3.11.7") != before
    tiny.lock.write_text("")
    assert fingerprint(tiny, "3.11.8") != before
    assert fingerprint(tiny.model_copy(update={"env": {"PLACE": "elsewhere"}}), "3.11.7") != before


def test_the_fingerprint_stays_when_only_words_change(tiny: Description) -> None:
    other = tiny.model_copy(update={"summary": "put better", "calls": ("predict", "direct")})
    assert fingerprint(other, "3.11.7") == fingerprint(tiny, "3.11.7")


# Interpreters


def test_a_shim_that_stands_for_nothing_is_passed_over(only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "shims" / "python3.99", "echo 'pyenv: python3.99: command not found' >&2; exit 127")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{os.environ['PATH']}")
    fake_python(only / "python3.99", "3.99.4")
    found = interpreters.look("3.99")
    assert found is not None
    assert (found.path, found.version) == (only / "python3.99", "3.99.4")


def test_a_program_of_another_version_is_passed_over(only: Path) -> None:
    fake_python(only / "python3.99", "3.9.9")
    assert interpreters.look("3.99") is None


def test_an_interpreter_without_headers_will_not_do_where_code_is_compiled(only: Path) -> None:
    fake_python(only / "python3.99", "3.99.4", headers=False)
    assert interpreters.look("3.99") is not None
    assert interpreters.look("3.99", needs=["Python.h"]) is None


def test_of_pyenvs_versions_the_newest_is_taken(only: Path, tmp_path: Path) -> None:
    for version in ("3.99.9", "3.99.10", "3.9.20"):
        fake_python(tmp_path / "pyenv" / "versions" / version / "bin" / "python3.99", version)
    found = interpreters.look("3.99")
    assert found is not None
    assert found.version == "3.99.10"


def test_a_missing_interpreter_is_told_with_a_remedy(only: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(MissingTool, match=r"no Python 3\.99 was found") as caught:
        interpreters.obtain(["3.99"], needs=[], downloads=tmp_path / "downloads", say=said.append)
    assert "pyenv install 3.99" in caught.value.remedy
    assert said


def test_a_missing_compiler_is_told_with_a_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingTool, match=r"g\+\+ is missing; the theano environment") as caught:
        prepare("theano")
    assert "install g++" in caught.value.remedy


# Building


def test_a_built_environment_is_found_again_and_not_built_twice(tiny: Description) -> None:
    built = prepare("tiny")
    said: list[str] = []
    assert prepare("tiny", said.append) == built == find("tiny")
    assert said == []
    assert built.variables == {"PLACE": str(built.cache_dir)}
    assert built.interpreter_version.startswith(HERE)


def test_looking_for_an_environment_leaves_nothing_behind(tiny: Description, home: Path) -> None:
    assert find("tiny") is None
    assert not home.exists()


def test_a_half_built_environment_is_built_from_scratch(tiny: Description) -> None:
    built = prepare("tiny")
    (built.directory / MARKER).unlink()
    (built.directory / "left over").touch()
    assert find("tiny") is None
    assert prepare("tiny") == find("tiny")
    assert not (built.directory / "left over").exists()


def test_an_environment_that_programs_run_from_is_not_built_anew(tiny: Description) -> None:
    built = prepare("tiny")
    (built.directory / MARKER).unlink()
    with subprocess.Popen([built.python, "-c", "input()"], stdin=subprocess.PIPE) as user:
        with pytest.raises(BuildFailed, match=f"programs run from it: {user.pid}"):
            prepare("tiny")
        assert built.python.exists()
        user.kill()
    assert prepare("tiny").directory == built.directory


def test_an_interpreter_that_takes_long_to_answer_is_gone_for_a_look_alone(tmp_path: Path) -> None:
    slow = tmp_path / "python"
    program(slow, f"""sleep 1; echo '["{slow}", "{HERE}.1", "cpython", true]'""")
    assert interpreters.ask(slow, 0.2) is None
    found = interpreters.ask(slow, interpreters.ASK_LIMIT_S)
    assert found is not None
    assert found.is_a(HERE)


def test_an_environment_whose_interpreter_has_gone_is_not_found(tiny: Description) -> None:
    python = prepare("tiny").python
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert find("tiny") is None


def test_a_home_that_is_reached_by_a_link_holds_the_same_environments(
    tiny: Description, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = prepare("tiny")
    home.with_name("link").symlink_to(home)
    monkeypatch.setenv("HARNESS_HOME", str(home.with_name("link")))
    found = find("tiny")
    assert found is not None
    assert found.python.resolve() == built.python.resolve()


def test_a_moved_environment_is_not_found(tiny: Description, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare("tiny")
    monkeypatch.setenv("HARNESS_HOME", str(home.rename(home.with_name("moved"))))
    assert find("tiny") is None


def test_an_environment_of_an_older_lock_is_not_found(tiny: Description) -> None:
    prepare("tiny")
    tiny.lock.write_text("# another\n")
    assert find("tiny") is None


def test_two_builds_at_once_make_one_environment(tiny: Description) -> None:
    said: list[str] = []
    threads = [threading.Thread(target=prepare, args=("tiny", said.append)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("installing" in text for text in said) == 1


def test_a_package_that_cannot_be_installed_is_told_with_the_log(tiny: Description) -> None:
    tiny.lock.write_text(f"no-such-package-anywhere==1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(HarnessError, match="tiny environment cannot be installed") as caught:
        prepare("tiny")
    assert "no-such-package-anywhere" in Path(caught.value.evidence).read_text()
    assert find("tiny") is None


def test_an_environment_that_does_not_import_is_not_kept(tiny: Description) -> None:
    tiny.source.write_text(TINY.replace('"json"', '"json", "no_such_module"'))
    with pytest.raises(HarnessError, match="No module named 'no_such_module'"):
        prepare("tiny")
    assert find("tiny") is None


def test_the_home_keeps_itself_out_of_git(tiny: Description, home: Path) -> None:
    prepare("tiny")
    assert (home / ".gitignore").read_text() == "*\n"


# What a worker gets to see


def test_a_worker_imports_the_harness_and_nothing_else_of_the_checkout(
    tiny: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    built = prepare("tiny")
    code = "import importlib.util as u; print([bool(u.find_spec(n)) for n in ('harness.worker', 'tests', 'test_environments')])"
    said = subprocess.run(
        [str(built.python), "-c", code], env=worker_variables(built), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[True, False, False]"
    assert os.listdir(worker_path()) == ["harness"]


def test_a_workers_variables_are_an_allow_list(tiny: Description) -> None:
    shell = {
        "PATH": "/usr/bin", "HOME": "/home/me", "PYTHONPATH": "/leak", "LD_PRELOAD": "/leak.so", "OMP_NUM_THREADS": "7",
        "PYTHONDONTWRITEBYTECODE": "1", "KERAS_BACKEND": "leak", "LC_ALL": "de_DE",
    }  # fmt: skip
    built = prepare("tiny")
    seen = worker_variables(built, shell)
    assert seen["PATH"] == f"{built.directory}/bin:/usr/bin"
    assert seen["PYTHONPATH"] == str(worker_path())
    assert (seen["HOME"], seen["LC_ALL"], seen["PYTHONNOUSERSITE"]) == ("/home/me", "C.UTF-8", "1")
    assert not seen.keys() & {"LD_PRELOAD", "OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE", "KERAS_BACKEND"}


def test_what_a_worker_sends_to_the_web_stays_on_this_machine(tiny: Description, tmp_path: Path) -> None:
    built = prepare("tiny")
    code = "import urllib.request as u\ntry: u.urlopen('https://example.org')\nexcept OSError as error: print(error.reason)"
    said = subprocess.run(
        [str(built.python), "-c", code], env=worker_variables(built), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Connection refused" in said.stdout


def test_uv_sees_its_own_settings_and_nothing_that_changes_imports() -> None:
    shell = {"UV_CACHE_DIR": "a", "https_proxy": "b", "SSL_CERT_FILE": "c", "PYTHONPATH": "d", "VIRTUAL_ENV": "e", "X": "f"}
    assert uvtool.variables(shell).keys() & shell.keys() == {"UV_CACHE_DIR", "https_proxy", "SSL_CERT_FILE"}


# The BLAS


def test_the_library_with_plain_names_is_linked_and_its_neighbours_come_along(tmp_path: Path) -> None:
    libs = tmp_path / "numpy.libs"
    libs.mkdir()
    (libs / "libopenblas64_p-r0-1.so").write_bytes(b"\0sgemm_64_\0dgemm_64_\0")
    (libs / "libopenblasp-r0-2.so").write_bytes(b"\0sgemm_\0dgemm_\0")
    (libs / "libgfortran-3.so.5").touch()
    folder = tmp_path / "blas"
    blas.link("numpy", tmp_path, folder)
    assert (folder / "libopenblas.so").resolve().name == "libopenblasp-r0-2.so"
    assert (folder / "libgfortran-3.so.5").exists()


def test_a_wheel_without_plain_names_is_refused(tmp_path: Path) -> None:
    libs = tmp_path / "numpy.libs"
    libs.mkdir()
    (libs / "libopenblas64_p-r0-1.so").write_bytes(b"\0sgemm_64_\0dgemm_64_\0")
    with pytest.raises(HarnessError, match="no OpenBLAS with plain"):
        blas.link("numpy", tmp_path, tmp_path / "blas")


def test_a_home_that_compiler_flags_cannot_hold_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", f"{home} of mine")
    monkeypatch.setattr(build, "check_program", lambda program, name: None)
    with pytest.raises(BadInput, match="cannot hold this path"):
        prepare("theano")


GOOD = {"gemm_linked": True, "conv_linked": True, "numpy_fallback": False, "gemm_ratio": 1.0}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "^$"),
        ({"gemm_ratio": 0.69}, "69%"),
        ({"gemm_linked": False}, "matrix products do not"),
        ({"numpy_fallback": True}, "matrix products do not"),
        ({"conv_linked": False}, "convolutions do not"),
    ],
)
def test_a_theano_without_its_blas_is_doubted(change: dict[str, float], says: str) -> None:
    assert re.search(says, blas.doubt({**GOOD, **change}))


# The doctor


def test_the_doctor_names_cost_and_remedy_of_all_that_is_missing(only: Path, tiny: Description) -> None:
    tiny.source.write_text(TINY.replace(HERE, "3.99") + 'needs = ["no-such-compiler"]')
    findings = {finding.name: finding for finding in doctor.examine()}
    for name in ("Python 3.99 for tiny", "no-such-compiler", "environment tiny"):
        assert findings[name].status is doctor.Status.MISSING
    assert all(finding.cost and finding.remedy for finding in findings.values() if finding.status is not doctor.Status.OK)


@pytest.mark.parametrize(
    ("count", "quota", "status", "detail"),
    [
        (2, None, doctor.Status.OK, "2 available"),
        (4, 8.0, doctor.Status.OK, "4 by affinity, and a CPU quota of 8, so that 4 may be used"),
        (4, 2.5, doctor.Status.WARNING, "4 by affinity, and a CPU quota of 2.5, so that 2.5 may be used"),
        (2, 1.5, doctor.Status.WARNING, "2 by affinity, and a CPU quota of 1.5, so that 1.5 may be used"),
        (1, None, doctor.Status.WARNING, "1 available"),
    ],
)
def test_the_doctor_tells_affinity_and_quota_apart(count: int, quota: float | None, status: doctor.Status, detail: str) -> None:
    found = doctor.cores_finding(count, quota)
    assert (found.status, found.detail) == (status, detail)
    assert bool(found.cost and found.remedy) is (status is not doctor.Status.OK)


def test_the_doctor_changes_nothing(tiny: Description, home: Path) -> None:
    doctor.examine()
    assert not home.exists()
