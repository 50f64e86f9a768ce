"""Real hosts: a real scheduler and real agents, in network namespaces if this user may make them, else on loopback.

One of each kind is killed while a block is under way; `python -m harness.proof.killed` does that at many moments.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness import environments
from harness.errors import Exit
from harness.machine.processes import OwnedProcess
from harness.proof import killed, killed_rig
from harness.proof.killed_rig import Rig
from harness.run.hosts import remote
from tests.integration.conftest import environment_variables, run_harness
from tests.integration.test_shards import SERVING

pytestmark = pytest.mark.integration
pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
LIMIT_S = 300.0


@pytest.fixture(scope="module")
def rig(celery_environment: environments.Environment) -> Iterator[Rig]:
    before = dict(os.environ)
    os.environ.update(environment_variables())
    try:
        with killed_rig.rig(hosts=2, blocks=3) as one:
            yield one
    finally:
        os.environ.clear()
        os.environ.update(before)


def a_block_is_under_way(driver: OwnedProcess) -> str:
    """The host that runs the first block that began."""
    found = list[str]()

    def begun() -> bool:
        found[:] = re.findall(r"^(\w+): \S+ begins", killed_rig.read(driver.log), re.MULTILINE)
        return bool(found)

    killed_rig.wait(begun, "the first block", LIMIT_S)
    return found[0]


@pytest.mark.parametrize("kind", killed.KINDS)
def test_whatever_is_killed_leaves_no_process_and_takes_nothing_along(rig: Rig, kind: str, tmp_path: Path) -> None:
    found = killed.kill(rig, kind, tmp_path / "run", a_block_is_under_way)
    assert found.under_way
    assert found.faults == ()
    if kind == "host":
        told = json.loads((tmp_path / "run" / "hosts.json").read_text())
        assert any(block["lost"] for block in told["blocks"].values())


def test_agents_that_are_started_through_a_shell_run_what_one_machine_would(
    celery_environment: environments.Environment, tmp_path: Path
) -> None:
    (tmp_path / "serving.toml").write_text(SERVING)
    (tmp_path / "hosts.txt").write_text(
        "scheduler 127.0.0.1\n" + "".join(f"test-{name}-{os.getpid()} {sys.executable} -m harness.cli\n" for name in "ab")
    )
    shell = {remote.SSH: """sh -c 'shift; exec "$@"' sh"""}
    done = run_harness(tmp_path, "run", "serving.toml", "--on", "ssh:hosts.txt", limit_s=LIMIT_S, **shell)
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    alone = run_harness(tmp_path, "run", "serving.toml", "--out", "alone", limit_s=LIMIT_S)
    assert alone.returncode == Exit.DONE, alone.stdout + alone.stderr
    shared, whole = (pd.read_csv(tmp_path / folder / "cells.csv") for folder in ("results/serving", "alone"))
    assert list(shared.columns) == list(whole.columns)
    assert shared[["cell", "outcome"]].to_dict() == whole[["cell", "outcome"]].to_dict()
    again = run_harness(tmp_path, "run", "serving.toml", "--on", "ssh:hosts.txt", **shell)
    assert "3 of 3 blocks are on record" in again.stdout
