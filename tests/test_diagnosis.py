"""Evidence can be had where py-spy may not look, and is free of this machine's paths."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness import diagnosis
from harness.processes import OwnedProcess
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
HANGING = """
import sys, threading, time
from harness.worker import self_report
self_report.answer_signals(sys.argv[1])
print("up", flush=True)
def stuck_here(): time.sleep(300)
stuck_here()
"""


def test_a_process_tells_its_own_stacks_where_py_spy_may_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_ask", lambda argv, limit_s: ("", "Permission denied"))
    log = tmp_path / "log"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with OwnedProcess([sys.executable, "-c", HANGING, str(tmp_path)], log=log, env=environment) as process:
        assert wait_until(lambda: log.exists() and "up" in log.read_text())
        text = diagnosis.stacks(process.pid, tmp_path / f"stacks-{process.pid}.txt")
    assert "Permission denied" in text
    assert "stuck_here" in text
