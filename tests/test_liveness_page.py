"""The recipes of a liveness probe are what they say: each file is read, and each command of it is run, with our own programs or
with stand-ins for those of others."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import Exit
from harness.live.executor import State
from tests import doc_pages
from tests.doc_pages import DOCS, ROOT

PAGE = DOCS / "how-to" / "liveness-probe.md"
POD, COMPOSE = map(yaml.safe_load, doc_pages.blocks(PAGE, "yaml"))
#: the codes that the probe may end with, and whether a supervisor is to act
CODES = [(int(code), code is Exit.CHECK_FAILED) for code in Exit]


def units() -> dict[str, configparser.ConfigParser]:
    """The systemd units, by the name in their first line."""
    found = {}
    for text in doc_pages.blocks(PAGE, "ini"):
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        found[Path(text.splitlines()[0].removeprefix("# ")).name] = parser
    return found


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for PATH with the harness itself."""
    _program(tmp_path / "harness", f'exec {sys.executable} -m harness.cli "$@"')
    return tmp_path


def _program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(["/bin/sh", "-c", script], env=env, cwd=folder, capture_output=True, text=True, check=False)


def kubernetes() -> str:
    (container,) = POD["spec"]["containers"]
    shell_, option, script = container["livenessProbe"]["exec"]["command"]
    assert (shell_, option) == ("sh", "-c")
    return str(script)


def compose() -> str:
    kind, script = COMPOSE["services"]["worker"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    return str(script).replace("$$", "$")  # as Compose reads it


def systemd() -> str:
    condition = units()["celery-probe.service"]["Service"]["ExecCondition"]
    return condition.removeprefix("/bin/sh -c '").removesuffix("'")


def test_the_probe_of_each_recipe_runs(programs: Path) -> None:
    _program(programs / "systemctl", "echo $$")  # its main process: no worker, which is another code than 1
    states = tuple(f"{state}: " for state in State)
    for script in (kubernetes(), compose().replace("kill", "true")):
        assert shell(script, programs).stdout.startswith(states), script
    asked = shell(systemd(), programs)
    assert (asked.returncode, "is no Celery worker" in asked.stderr) == (1, True)


@pytest.mark.parametrize(("code", "acts"), CODES)
def test_only_a_proof_makes_a_supervisor_act(tmp_path: Path, code: int, acts: bool) -> None:
    _program(tmp_path / "harness", f"exit {code}")
    _program(tmp_path / "systemctl", "echo 7")
    assert bool(shell(kubernetes(), tmp_path).returncode) is acts
    assert (shell(systemd(), tmp_path).returncode == 0) is acts
    ended = shell(f'kill() {{ echo "kill $@"; }}\n{compose()}', tmp_path)
    assert ended.stdout == ("kill -9 -1\n" if acts else "")


def test_the_condition_asks_about_the_services_own_process(tmp_path: Path) -> None:
    _program(tmp_path / "harness", 'echo "$@"')
    _program(tmp_path / "systemctl", 'test "$*" = "show --property MainPID --value celery.service" && echo 4711')
    assert shell(systemd(), tmp_path).stdout == "why --probe 4711\n"


def test_the_probe_of_kubernetes_has_time_enough_and_stands_in_the_workers_container() -> None:
    (container,) = POD["spec"]["containers"]
    assert "worker" in container["command"]
    probe: dict[str, Any] = container["livenessProbe"]
    assert probe["timeoutSeconds"] >= 30
    assert probe["periodSeconds"] >= probe["timeoutSeconds"]
    assert container["securityContext"]["capabilities"]["add"] == ["SYS_PTRACE"]


def test_compose_restarts_what_the_check_ends() -> None:
    worker = COMPOSE["services"]["worker"]
    assert (worker["init"], worker["restart"]) == (True, "always")


def test_the_units_are_such_as_systemd_reads(tmp_path: Path) -> None:
    found = units()
    assert set(found) == {"celery-probe.timer", "celery-probe.service"}
    assert found["celery-probe.timer"]["Install"]["WantedBy"] == "timers.target"
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is not here")
    texts = {Path(text.splitlines()[0].removeprefix("# ")).name: text for text in doc_pages.blocks(PAGE, "ini")}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [program, "verify", *(str(tmp_path / name) for name in texts)], capture_output=True, text=True, check=False
    )
    about = [line for line in done.stderr.splitlines() if "celery-probe" in line and "celery.service" not in line]
    assert about == []
