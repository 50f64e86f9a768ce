"""Small programs for an interpreter of an environment, each in a process forked from one that has imported what they need.

The imports take most of the time of such a program. It is run as `python -c` would run it, and may end by itself.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

LIMIT_S = 60  # of one program
SERVE = """
import json, os, signal, sys, traceback
IMPORTS
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        signal.alarm(LIMIT_S)
        program, sys.argv[1:] = json.loads(line)
        try:
            exec(program, {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.waitpid(pid, 0)
    print(flush=True)
""".replace("LIMIT_S", str(LIMIT_S))


class Forking:
    """The process that has imported them. It runs one program at a time, and ends with the `with`."""

    def __init__(self, python: Path, imports: str) -> None:
        argv = [str(python), "-c", SERVE.replace("IMPORTS", imports)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._runs = False

    def __enter__(self) -> Forking:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def first_line(self, program: str, *words: str) -> str:
        """What the program prints first, or nothing: then its traceback is on stderr. The one before it has to have ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        while self._runs and self._process.stdout.readline().strip():
            pass
        self._process.stdin.write(json.dumps([program, words]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline().strip()
        self._runs = bool(line)  # or it has ended
        return line
