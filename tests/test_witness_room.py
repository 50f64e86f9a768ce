"""A process whose calls have opened all the files that it may still starts its witnesses."""

from __future__ import annotations

import subprocess
import sys

LEAKS = """
import resource, subprocess, sys
from harness.worker import witness

resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
kept = []
try:
    while True:
        kept.append(open(sys.executable, "rb"))
except OSError:
    witness.room()
subprocess.run([sys.executable, "-c", "print('started')"], stderr=subprocess.DEVNULL)
"""


def test_calls_that_leave_no_file_to_open_leave_room_for_the_witnesses() -> None:
    done = subprocess.run([sys.executable, "-c", LEAKS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("started\n", 0), done.stderr
