"""What is advised to be pasted sets what was measured, whatever stands in the values."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.decide.advise import settings, units
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell

OWN = Cell(backend=OWN_APP, pool="threads", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")
HARD = "say \"50 % of $HOME\" \\ 'or' #: more"


def setup(**changes: object) -> settings.Setup:
    told = {"arguments": ["--queues", "a b,$c"], "variables": {"SEED": "3", "HARD": HARD, "API_TOKEN": "***"}}
    known = {"app": "shop:app", "queue": "", "worker": told, **changes}
    return settings.of(OWN, known)


def test_the_line_s_variables_win_over_the_file_s_where_they_are_pasted(tmp_path: Path) -> None:
    (tmp_path / "shop.env").write_text("SEED=7\nOTHER=1\nAPI_TOKEN=right\n")
    shell = setup(env_file=str(tmp_path / "shop.env"), python="env").shell.splitlines()
    told = subprocess.run(
        ["bash", "-c", "\n".join([*shell[:-1], "env"])], capture_output=True, text=True, check=True, env={"PATH": os.defpath}
    ).stdout.splitlines()
    for each in ("SEED=3", "OTHER=1", f"HARD={HARD}", "API_TOKEN=right"):
        assert each in told


def test_what_was_not_kept_is_no_value_of_what_is_pasted() -> None:
    for file in ({}, {"env_file": "shop.env"}):
        found = setup(**file)
        for text in (found.shell, units.systemd(found), units.compose(found)):
            assert "***" not in text
            assert "# set API_TOKEN yourself" in text
    alone = replace(setup(), environment={"API_TOKEN": "***"})
    assert "environment" not in yaml.safe_load(units.compose(alone))["services"]["worker"]


def test_a_value_of_a_compose_file_is_the_one_that_was_measured() -> None:
    service = yaml.safe_load(units.compose(setup(env_file="a$b.env")))["services"]["worker"]
    assert {name: value.replace("$$", "$") for name, value in service["environment"].items()} == {"SEED": "3", "HARD": HARD}
    assert "$$HOME" in service["environment"]["HARD"], "compose fills in $HOME, and $$ is its $"
    assert service["env_file"] == "a$$b.env"
    assert service["command"][-4:-3] == ["a b,$$c"]


@pytest.mark.parametrize(("script", "program"), [(True, ["celery"]), (False, ["python", "-m", "celery"])])
def test_a_service_is_started_by_what_started_the_worker(script: bool, program: list[str]) -> None:
    found = setup(python="/srv/venv/bin/python", worker={"arguments": [], "variables": {}, "script": script})
    command = yaml.safe_load(units.compose(found))["services"]["worker"]["command"]
    assert command[: len(program) + 1] == [*program, "--app"]


def test_a_value_of_a_unit_is_quoted_as_systemd_reads_it() -> None:
    quoted = "say \\\"50 %% of $HOME\\\" \\\\ 'or' #: more"
    assert f'Environment="HARD={quoted}"\n' in units.systemd(setup()), "a $ means nothing in Environment="
    unit = units.systemd(setup(env_file="/srv/shop.env", folder="/srv/50% shop", python="/srv/50% shop/venv/bin/python"))
    assert "WorkingDirectory=/srv/50%% shop\n" in unit
    assert "Environment=" not in unit, "the file would win over it"
    line = next(one for one in unit.splitlines() if one.startswith("ExecStart="))
    hard = quoted.replace("$", "$$")
    assert line.startswith(f'ExecStart=/usr/bin/env SEED=3 "HARD={hard}" "/srv/50%% shop/venv/bin/python" -m celery ')
    assert ' --queues "a b,$$c" ' in line


@pytest.mark.parametrize("value", ["", "x;y", "tab\there", "line\nbreak"])
def test_a_value_stays_on_its_line_of_a_unit(value: str) -> None:
    found = units.systemd(replace(setup(), environment={"A": value}))
    (line,) = [one for one in found.splitlines() if one.startswith("Environment=")]
    shown = value.replace("\n", "\\n").replace("\t", "\\t")
    assert line == f'Environment="A={shown}"'
