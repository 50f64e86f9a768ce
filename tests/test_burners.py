"""The truth test of the monitor passes, and would fail if the monitor were wrong; the experiments are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from harness.machine import cores
from harness.machine.procfs import ProcessStat
from harness.measure.cpu_verdict import CpuWord
from harness.proof.instrument import burners
from tests.test_cpu_verdict import occupancy


def test_saturation_is_what_the_burners_say_of_themselves() -> None:
    found = burners.saturation(seconds=2.0, sets=[(0.5,), (1.0, 0.25), (burners.SHORT_LIVED,)])
    assert len(found) == 3
    assert [one for one in found if not one.passed] == []


def test_a_monitor_that_forgets_those_who_have_ended_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = property(lambda stat: 0.0, lambda stat, value: None)
    monkeypatch.setattr(ProcessStat, "reaped_cpu_s", forgetful, raising=False)
    found = burners._saturation((burners.SHORT_LIVED,), 1.0)
    assert found.figure is not None
    assert found.figure < 0
    assert not found.passed


def test_what_a_burner_used_is_taken_between_its_notes() -> None:
    clocks = np.array([(1_000, 0), (2_000, 500), (3_000, 500)], dtype=burners.CLOCKS)
    assert burners.used_s(clocks, 1.5e-6, 2.5e-6) == pytest.approx(250e-9)
    assert burners.used_s(clocks, 0.0, 9e-6) == pytest.approx(500e-9)
    assert burners.used_s(clocks[:0], 0.0, 1.0) == 0.0


def test_twice_as_many_loops_as_cores_are_over_subscribed_twice_however_busy_the_machine_is() -> None:
    """Others can take cores away, which lengthens the waits; the sum stays two threads a core."""
    count = 2 * len(cores.AVAILABLE)
    with burners.program("burners", *(1.0,) * count) as (process, _):
        monitor = burners.watch(process, 1.0)
    _, found = burners.judged(monitor, occupancy(count), shared=False)
    assert found.word is CpuWord.OVER_SUBSCRIBED
    assert found.times == pytest.approx(2.0, abs=0.2)


@pytest.mark.skipif(len(cores.AVAILABLE) < 2, reason="on one core, a thread that holds the GIL is the whole machine")
def test_threads_that_share_a_gil_use_no_more_than_one_core_together() -> None:
    with burners.program("threads", 3) as (process, _):
        monitor = burners.watch(process, 1.0)
    use, _ = burners.judged(monitor, occupancy(3), shared=True)
    assert 0.0 < use.worker_tree / use.window_s < 1.1
