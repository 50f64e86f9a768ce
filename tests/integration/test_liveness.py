"""`harness why --probe` beside real workers; what `why` says of those that it may not look into, or that are in a container."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import broker, environments
from harness.live import sight
from harness.machine import containers, procfs
from tests.integration.conftest import ROOT, Harness, environment_variables
from tests.integration.test_why import send, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

NOBODY = 65534
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root may become another user, and lay rights down"
)
PROGRAM = "import sys, time; print(flush=True); time.sleep(600)"


def probed(harness: Harness, pid: int) -> tuple[int, str]:
    """The exit code and the one line of a probe."""
    done = harness("why", "--probe", pid)
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stderr
    return done.returncode, lines[0]


def test_a_prefork_worker_is_alive_until_a_task_of_its_is_proved_to_be_stuck(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path
) -> None:
    with broker.embedded(tmp_path / "broker") as server, serving(celery_environment, tmp_path, "prefork", server.url) as worker:
        assert wait_until(lambda: procfs.children(worker.pid))
        assert probed(harness, worker.pid)[0] == 0
        send(server.url, "sleep")
        assert probed(harness, worker.pid)[0] == 0
        stuck = send(server.url, "stuck")
        assert wait_until(lambda: probed(harness, worker.pid)[0] == 1)
        code, line = probed(harness, worker.pid)
        assert (code, line.startswith(f"stuck: worker {worker.pid} (shop): process ")) == (1, True)
        assert f"shop.price[{stuck}]" in line


def test_a_busy_solo_worker_that_answers_nobody_is_alive(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path
) -> None:
    with broker.embedded(tmp_path / "broker") as server, serving(celery_environment, tmp_path, "solo", server.url) as worker:
        send(server.url, "sleep")

        def runs() -> bool:
            told = json.loads(harness("why", worker.pid, "--json").stdout)["workers"][0]["executors"]
            return [one["task"] for one in told] == ["shop.price"]

        assert wait_until(runs)
        assert probed(harness, worker.pid)[0] == 0


@needs_root
def test_a_worker_of_another_user_is_named_with_what_hides_it_and_a_stopped_one_is_proved() -> None:
    """The looker has not the right to trace, and what it looks at is another user's."""
    with _titled("[celeryd: web@here:MainProcess] -active- (worker -A shop -P solo)", user=NOBODY) as pid:
        found = _without_rights("why", str(pid), "--json")
        (worker,) = json.loads(found.stdout)["workers"]
        assert (found.returncode, worker["state"]) == (22, "cannot-say")
        assert f"process {pid} may not be read: it is of user {NOBODY}, and we are user 0" in worker["unseen"][0]
        probe = _without_rights("why", "--probe", str(pid))
        assert (probe.returncode, probe.stdout.startswith("cannot-say: ")) == (0, True)
        assert f"{pid} (user {NOBODY})" in _without_rights("doctor").stdout
        os.kill(pid, signal.SIGSTOP)
        assert wait_until(lambda: _without_rights("why", "--probe", str(pid)).returncode == 1)
        stopped = json.loads(_without_rights("why", str(pid), "--json").stdout)["workers"][0]
        assert (stopped["state"], stopped["cause"]) == ("stuck", "stopped")


@needs_root
def test_without_the_right_to_trace_a_worker_of_the_same_user_with_more_rights_is_hidden_too() -> None:
    with _titled("[celeryd: web@here:MainProcess] -active- (worker -A shop -P solo)", user=0) as pid:
        found = _without_rights("why", str(pid), "--json")
        (worker,) = json.loads(found.stdout)["workers"]
        assert (found.returncode, worker["state"]) == (22, "cannot-say")
        assert "ptrace is not allowed here" in worker["unseen"][0]


def test_a_process_in_a_container_has_two_numbers_and_is_none_of_ours() -> None:
    unshare = shutil.which("unshare")
    argv = [unshare or "unshare", "--pid", "--fork", "--kill-child", sys.executable, "-I", "-c", PROGRAM]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as outer:
        assert outer.stdout is not None
        if not outer.stdout.readline():
            pytest.skip("no PID namespace may be made here")
        try:
            (inner,) = procfs.children(outer.pid)
            assert (containers.inside(inner), containers.is_here(inner)) == (1, False)
            assert (containers.inside(outer.pid), containers.is_here(outer.pid)) == (0, True)
            assert procfs.own_numbers(inner)[0] == inner
        finally:
            outer.kill()


def test_the_doctor_says_that_our_own_processes_may_be_looked_at() -> None:
    found = {one.name: one for one in sight.findings()}
    assert found["why: py-spy"].status is sight.Status.OK
    assert sight.may_look(os.getpid())


def _without_rights(*words: str) -> subprocess.CompletedProcess[str]:
    """The command line as root, but without CAP_SYS_PTRACE, as a container has it."""
    return subprocess.run(
        ["setpriv", "--bounding-set", "-sys_ptrace", sys.executable, "-m", "harness.cli", *words], env=environment_variables(),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@contextmanager
def _titled(title: str, user: int) -> Iterator[int]:
    """A program of this user that shows the command line of a worker."""
    with subprocess.Popen([title, "600"], executable=shutil.which("sleep"), user=user, group=user, extra_groups=[]) as process:
        try:
            yield process.pid
        finally:
            process.kill()
