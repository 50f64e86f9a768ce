"""Owned processes: every program we start runs under a keeper, and is gone when its `with` block ends.

Used for the broker, the workers, the baseline and the load generator, and through `run` for every helper program (uv, py-spy,
probes), so that none of them outlives a driver that was killed. Naming the signal that ended a program is done
here, once. What the processes did is for `monitor` and `progress` to say.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from harness.errors import HarnessError
from harness.machine import keeper

STOP_GRACE_S = 10.0


def signal_name(code: int | None) -> str:
    """'exit 1', 'SIGSEGV': how a program ended, from its return code (negative: a signal)."""
    if code is None:
        return "unknown"
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


class OwnedProcess:
    """One program under its keeper. Usable as a context manager; leaving it kills what is left of the tree."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        errors: Path | None = None,
        scratch: str = "",
    ) -> None:
        """`log` takes what the program prints; `errors` its standard error, if that is to be apart. `scratch`: a folder that
        whoever starts the program removes afterwards, and the keeper, if that one is killed before it could."""
        self.log = log
        self.exit_code: int | None = None
        self.kernel_cpu_s: float | None = None
        self._buffer = b""
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(log), str(errors or log), scratch, "--", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        self.pid: int = self._message(limit_s=30.0)["pid"]

    @property
    def keeper_pid(self) -> int:
        """The tree's root: everything below it is ours."""
        return self._keeper.pid

    def poll(self) -> int | None:
        """The program's return code if it has ended (and its whole tree with it), else None."""
        if self.exit_code is None and self._ended(0.0):
            self._finish()
        return self.exit_code

    def wait(self, limit_s: float) -> int | None:
        """Like `poll`, after waiting up to `limit_s` for the end."""
        self._ended(limit_s)
        return self.poll()

    def terminate(self, grace_s: float = STOP_GRACE_S) -> bool:
        """TERM to the program, and KILL to the tree after `grace_s`; True if it went by itself."""
        if self.poll() is not None:
            return True
        with contextlib.suppress(ProcessLookupError):  # it may just have ended; the keeper will say how
            os.kill(self.pid, signal.SIGTERM)
        if self._ended(grace_s):
            self._finish()
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """SIGKILL to everything below the keeper, at once."""
        if self.exit_code is None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            self._ended(STOP_GRACE_S)
            self._finish()

    def __enter__(self) -> OwnedProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def _ended(self, limit_s: float) -> bool:
        return self._line(limit_s) is not None

    def _finish(self) -> None:
        line = self._line(0.0)
        message = json.loads(line) if line else {"exit": -signal.SIGKILL, "cpu_s": None}
        code = message["exit"]
        self.exit_code = -signal.SIGKILL if code is None else code
        self.kernel_cpu_s = message["cpu_s"]
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        self._keeper.wait()

    def _message(self, limit_s: float) -> dict[str, int]:
        line = self._line(limit_s)
        if line is None:
            self._keeper.kill()
            raise HarnessError(f"the keeper of {self.log.stem} did not start", evidence=str(self.log))
        self._buffer = self._buffer[len(line) + 1 :]
        message: dict[str, int] = json.loads(line)
        return message

    def _line(self, limit_s: float) -> bytes | None:
        """The keeper's next line, left in the buffer; b'' when the keeper itself died; None when there is none yet."""
        assert self._keeper.stdout is not None
        until, ready = time.monotonic() + limit_s, select.poll()  # select(2) knows no descriptor above 1023
        ready.register(self._keeper.stdout, select.POLLIN)
        while b"\n" not in self._buffer:
            if not ready.poll(max(0.0, until - time.monotonic()) * 1000):
                return None
            data = os.read(self._keeper.stdout.fileno(), 4096)
            if not data:
                return b""
            self._buffer += data
        return self._buffer.partition(b"\n")[0]


def run(
    argv: Sequence[str], *, env: Mapping[str, str], limit_s: float, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """subprocess.run for an owned process, output captured. Raises subprocess.TimeoutExpired; exit 127: cannot start."""
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        with OwnedProcess(argv, log=output, errors=errors, env=env, cwd=cwd, scratch=folder) as process:
            code = process.wait(limit_s)
        if code is None:
            raise subprocess.TimeoutExpired(list(argv), limit_s)
        texts = [path.read_text(errors="replace") if path.exists() else "" for path in (output, errors)]
    return subprocess.CompletedProcess(list(argv), code, *texts)
