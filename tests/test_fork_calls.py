"""What a forked child of `check` is: the same process, to Python, as a child of Celery's prefork pool."""

from __future__ import annotations

import subprocess
import sys

ASKS = """
import multiprocessing
from billiard import current_process
from harness.worker import fork_calls

before = current_process().name
fork_calls.daemonic(1)
assert (current_process().name, current_process().index) == (before, 1)
multiprocessing.Process(target=print).start()
"""


def test_a_forked_child_may_start_no_processes_as_one_of_prefork() -> None:
    done = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, check=False)
    assert "daemonic processes are not allowed to have children" in done.stderr
