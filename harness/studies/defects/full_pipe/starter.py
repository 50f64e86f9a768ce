"""A service manager that takes the worker's standard error through a pipe, and does not read it."""

import subprocess
import sys
import time

with subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE) as worker:
    while worker.poll() is None:
        time.sleep(0.5)
