"""A worker that is looked at is not changed by it: no signal, no stop, no file, no setting, no answer. That the instrument
would see it is tried, too: with a stop, and with a signal. `harness selfcost --only why` does the same a thousand times.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness import environments
from harness.observe import stacks
from harness.proof.selfcost import looking
from harness.proof.selfcost.looked_at import served
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

LOOKS = 40


def test_forty_looks_change_nothing_and_a_stop_or_a_signal_would_show(
    celery_environment: environments.Environment, tmp_path: Path
) -> None:
    with served(tmp_path, celery_environment) as subject:
        before, signals, looks = subject.settings(), subject.signals(), 0
        right, wrong = subject.answers()
        while looks < LOOKS:
            looks += looking.look(subject)
        assert looking.differing(before, subject.settings()) == ()
        assert (subject.signals(), wrong, subject.answers()[1]) == (signals, 0, 0)
        assert subject.answers()[0] > right
        assert set(subject.states()) <= set("SRD")

        argv = [stacks.py_spy(), "dump", "--pid", str(subject.held)]  # stops it for a moment, as `why` never does
        assert subprocess.run(argv, capture_output=True, check=False).returncode == 0
        changed = {one.partition(":")[0] for one in looking.differing(before, subject.settings())}
        assert changed >= {f"{subject.held} ran", f"{subject.held} switches"}

        os.kill(subject.held, signal.SIGHUP)
        assert wait_until(lambda: subject.signals() == signals + 1)
        os.kill(subject.held, signal.SIGSTOP)
        assert wait_until(lambda: subject.states().get("T", 0) > 0)
        os.kill(subject.held, signal.SIGCONT)
        assert wait_until(lambda: subject.signals() == signals + 2)
