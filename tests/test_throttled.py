"""A real CPU quota: a burner in its group saturates what it may use, and the verdict names the quota."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.machine import cores
from tests.real_group import JOIN, bound_cpu, group, python

QUOTA, SECONDS, TURNS = 1.5, 5.0, 4
OTHERS = 0.1  # of the usable cores, kept from us by others: then the quota is not used up
BURN = f"""{JOIN}
import json
from harness.machine import cores
from harness.proof.instrument import burners
from harness.records.cpu import Occupancy
count = len(cores.AVAILABLE)
with burners.program("burners", *(1.0,) * count) as (process, _):
    watched = burners.watch(process, float(sys.argv[2]))
occupancy = Occupancy(executors=count, executors_busy=1.0, work_waits=1.0, idle_with_work=0.0)
use, found = burners.judged(watched, occupancy, shared=False)
told = {{"quota": cores.quota(), "to_fill": cores.to_fill(), "word": found.word, "reason": found.reason}}
print(json.dumps({{**told, "saturation": use.saturation, "others": use.others_share, "share": use.throttled_share}}))
"""


def burnt(folder: Path) -> dict[str, Any]:
    done = python(BURN, folder, SECONDS, own=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.skipif(len(cores.AVAILABLE) < 2, reason="a quota of 1.5 cores bounds two cores or more")
def test_a_burner_under_a_quota_saturates_what_it_may_use_and_is_throttled() -> None:
    with group("cpu", bound_cpu(QUOTA)) as folder:
        for _ in range(TURNS):
            told = burnt(folder)
            if told["others"] < OTHERS:
                break
        else:
            pytest.skip(f"others use {told['others']:.0%} of the cores")
    assert (told["quota"], told["to_fill"], told["word"]) == (QUOTA, 2, "throttled")
    assert told["saturation"] == pytest.approx(1.0, abs=0.02)
    assert told["share"] == pytest.approx(1.0 - QUOTA / len(cores.AVAILABLE), abs=0.1)
    assert "the CPU quota of 1.5 cores withheld" in told["reason"]


def test_a_quota_that_is_not_used_up_throttles_nobody() -> None:
    """The burners are one thread a core, so that twice the cores are never asked for."""
    count = len(cores.AVAILABLE)
    with group("cpu", bound_cpu(2.0 * count)) as folder:
        told = burnt(folder)
    assert (told["quota"], told["to_fill"], told["share"]) == (2.0 * count, count, 0.0)
    assert told["word"] != "throttled"
