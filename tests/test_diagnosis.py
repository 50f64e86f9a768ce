"""Evidence can be had where py-spy may not look, and is free of this machine's paths."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from harness.machine.processes import OwnedProcess
from harness.observe import diagnosis, greenlets
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
BUSY = """
import sys, threading
from harness.worker import self_report
self_report.answer_signals(sys.argv[1])
def deeper(n): return deeper(n - 1) if n else 0
def busy():
    while True: deeper(50)
for _ in range(3): threading.Thread(target=busy, daemon=True).start()
print("up", flush=True)
busy()
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


def test_asking_for_greenlets_does_nothing_to_a_process_without_any(tmp_path: Path) -> None:
    """A threads worker was asked, too, and faulthandler's look at its running threads crashed it now and then."""
    log = tmp_path / "log"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with OwnedProcess([sys.executable, "-c", BUSY, str(tmp_path)], log=log, env=environment) as process:
        assert wait_until(lambda: log.exists() and "up" in log.read_text())
        for _ in range(1000):
            greenlets.ask(process.pid)
            time.sleep(0.0005)
        assert process.poll() is None
        assert greenlets.answer(tmp_path, process.pid) is None
        assert not (tmp_path / f"stacks-{process.pid}.txt").read_bytes()
