"""Real workers that no command line tells: one that a script has started, below a program that supervises it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import broker, environments
from harness.live import choose, find, scripts
from harness.machine import procfs
from tests.integration.conftest import Harness
from tests.integration.test_why import TASKS
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

RUN = "import sys, shop\nshop.app.worker_main(['worker', '-P', sys.argv[1], '-c', '1', '-l', 'WARNING'])\n"


@contextmanager
def supervised(environment: environments.Environment, folder: Path, pool: str, url: str) -> Iterator[tuple[int, int]]:
    """(the program that supervises, the worker's main process)."""
    (folder / "shop.py").write_text(TASKS)
    (folder / "run.py").write_text(RUN)
    argv = ["timeout", "600", str(environment.python), "run.py", pool]
    log = (folder / "worker.log").open("wb")
    variables = {**os.environ, "SHOP_URL": url}
    with log, subprocess.Popen(argv, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True) as outer:
        try:
            assert wait_until(lambda: any(scripts.main_of(pid) == pid for pid in procfs.children(outer.pid)))
            (main,) = procfs.children(outer.pid)
            yield outer.pid, main
        finally:
            for pid in [stat.pid for stat in procfs.tree(outer.pid)]:  # timeout gives its program a group of its own
                os.kill(pid, signal.SIGKILL)
            os.killpg(outer.pid, signal.SIGKILL)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_of_a_script_is_found_by_itself_by_its_child_and_by_what_supervises_it(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path, pool: str
) -> None:
    with (
        broker.embedded(tmp_path / "broker") as server,
        supervised(celery_environment, tmp_path, pool, server.url) as (outer, main),
    ):
        assert not find.is_worker(find.command(main))

        def asked() -> subprocess.CompletedProcess[str]:
            return harness("why", outer, "--json", "--broker", server.url)

        assert wait_until(lambda: json.loads(asked().stdout)["workers"][0]["broker"].get("asks"))
        said = asked()
        (told,) = json.loads(said.stdout)["workers"]
        assert told["pid"] == main
        assert told["pool"] in (pool, "") if pool != "prefork" else told["pool"] == pool  # what shows while nothing runs
        assert f"process {outer} timeout is no worker itself: below it runs worker {main}" in said.stderr
        assert main in [one.main for one in choose.chosen((), "", "").workers]
        assert [choose.mains_of(child) for child in procfs.children(main)] == [[main]] * len(procfs.children(main))
        probe = harness("why", "--probe", outer)
        assert (probe.returncode, f"worker {main}" in probe.stdout) == (0, True)
