"""A command line that has imported everything already: each call is a process of its own, forked from one that stands ready.

Most of what a short command of the harness costs is its imports, which are the same each time. The process that stands ready
(`python -m tests.warm`) has imported every verb and runs none. Of a call it is told the folder, the variables, the words and
where the output goes; it forks, and the child becomes what `python -m harness.cli WORDS…` would have been, and ends as that
would. What needs a command line of its own in /proc, or a signal before all is imported, starts `conftest.HARNESS`.

Between the two go JSON lines: `[goes_on, cwd, variables, words, output, errors]`, answered by the pid and, if it does not go on
meanwhile, by the exit code; or the pid of one that does, answered by its exit code or by RUNS.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 120.0  # for the imports of the first call, on a full machine
LOOK_EVERY_S = 0.05
RUNS = 1000  # no exit code


class Warm:
    """The process that stands ready, started with the first call."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._started: set[int] = set()
        self._busy = Lock()
        atexit.register(self.close)

    def run(
        self, words: list[str], *, cwd: Path, env: Mapping[str, str], limit_s: float
    ) -> subprocess.CompletedProcess[str] | None:
        """As subprocess.run with captured text; None if another thread's call is under way: it takes one at a time."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            with tempfile.TemporaryDirectory() as folder:
                output, errors = Path(folder, "output"), Path(folder, "errors")
                code = self._call([False, str(cwd), dict(env), words, str(output), str(errors)], limit_s)
                texts = [path.read_text() for path in (output, errors)]
            return subprocess.CompletedProcess(["harness", *words], code, *texts)
        except BaseException:
            self.close()  # whatever it was about to answer is of no use
            raise
        finally:
            self._busy.release()

    def start(self, words: list[str], *, cwd: Path, env: Mapping[str, str], output: Path) -> Started:
        """As subprocess.Popen, with all that is printed in one file. Whatever runs at the end is killed."""
        with self._busy:
            pid = self._ask([True, str(cwd), dict(env), words, str(output), str(output)])
            assert pid is not None
            self._started.add(pid)
        return Started(self, pid)

    def code(self, pid: int) -> int | None:
        """The exit code of one that was started; None while it runs."""
        with self._busy:
            code = self._ask(pid)
            if code == RUNS:
                return None
            self._started.discard(pid)
            return code

    def close(self) -> None:
        for pid in self._started:
            os.kill(pid, signal.SIGKILL)
        self._started.clear()
        if self._process is not None:
            with self._process as ended:
                ended.kill()
            self._process = None

    def _ask(self, asked: object) -> int | None:
        if self._process is None:
            argv = [sys.executable, "-m", "tests.warm"]
            self._process = subprocess.Popen(argv, cwd=ROOT, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return self._answer(LIMIT_S)

    def _call(self, asked: list[object], limit_s: float) -> int:
        pid = self._ask(asked)
        assert pid is not None
        code = self._answer(limit_s)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["harness", *map(str, asked[3:4])], limit_s)
        return code

    def _answer(self, limit_s: float) -> int | None:
        """The number in the next line; None if there is none in time."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], limit_s)
        return int(self._process.stdout.readline()) if ready else None


class Started:
    """A command line that goes on, with what subprocess.Popen has to offer."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self.pid, self._warm = pid, warm
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._warm.code(self.pid)
        return self.returncode

    def wait(self, timeout: float = LIMIT_S) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(["harness"], timeout)
            time.sleep(LOOK_EVERY_S)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve() -> list[str]:
    """The words of a call, in the process that is to carry it out; the one that stands ready ends as its input does."""
    for line in sys.stdin.buffer:
        if isinstance(asked := json.loads(line), int):
            pid, status = os.waitpid(asked, os.WNOHANG)
            print(os.waitstatus_to_exitcode(status) if pid else RUNS, flush=True)
            continue
        goes_on, cwd, variables, words, *files = asked
        pid = os.fork()
        if pid == 0:
            become(cwd, variables, files)
            return list(words)
        print(pid, flush=True)
        if not goes_on:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    sys.exit()


def become(cwd: str, variables: Mapping[str, str], files: list[str]) -> None:
    """A process as subprocess would have started it."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(files, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    os.chdir(cwd)
    sys.path[0] = cwd
    os.environ.clear()
    os.environ.update(variables)


if __name__ == "__main__":
    from harness import cli

    cli.command_line()  # imports them all
    gc.freeze()  # or the first collection in each child would copy their memory
    del sys.modules["harness.cli"]
    sys.argv[1:] = serve()
    runpy.run_module("harness.cli", run_name="__main__", alter_sys=True)
