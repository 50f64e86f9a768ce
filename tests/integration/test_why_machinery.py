"""`harness why` beside real workers whose tasks are well: a consumer that is lost, a broker that is gone, a pool that does not
start; and healthy ones, of which nothing of that is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import broker, environments
from harness.live import find, machinery
from harness.machine import procfs
from tests import waiting
from tests.integration.conftest import Harness, sent

pytestmark = pytest.mark.integration

SHOP = """
import os, time
from celery import Celery, bootsteps
from celery.signals import worker_process_init

URL, HOW = os.environ["SHOP_URL"], os.environ.get("SHOP_HOW", "")
app = Celery("shop", broker=URL, backend=os.environ.get("SHOP_RESULTS", URL))
app.conf.broker_connection_retry_on_startup = True
app.conf.broker_transport_options = {"global_keyprefix": os.environ.get("SHOP_PREFIX", "")}


@app.task
def price(seconds):
    time.sleep(seconds)
    return seconds


@worker_process_init.connect
def prepare(**_):
    if HOW == "slow-init":
        time.sleep(600)


class Lose(bootsteps.StartStopStep):
    '''What kombu#2629 leaves: connected, registered, and nobody reads.'''

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer):
        if HOW == "lose":
            consumer.timer.call_after(3.0, self.lose, (consumer,))

    def lose(self, consumer):
        cycle = consumer.connection.transport.cycle
        for descriptor, (_, kind) in list(cycle._fd_to_chan.items()):
            if kind == "BRPOP":
                del cycle._fd_to_chan[descriptor]
                consumer.hub.remove(descriptor)


app.steps["consumer"].add(Lose)
"""


def wait_until(condition: Callable[[], object]) -> bool:
    """One look takes 20 s on a machine that is full."""
    return waiting.wait_until(condition, limit_s=240.0)


class Shop:
    """A broker, workers of one application, and what is asked of them."""

    def __init__(self, environment: environments.Environment, harness: Harness, folder: Path, url: str) -> None:
        self.python, self.harness, self.folder, self.url = str(environment.python), harness, folder, url
        (folder / "shop.py").write_text(SHOP)

    @contextmanager
    def worker(
        self, pool: str = "prefork", *options: str, how: str = "", url: str = "", many: int = 2, prefix: str = ""
    ) -> Iterator[subprocess.Popen[bytes]]:
        told = {"SHOP_URL": url or self.url, "SHOP_RESULTS": self.url, "SHOP_HOW": how, "SHOP_PREFIX": prefix}
        variables = {**os.environ, **told}
        argv = [self.python, "-m", "celery", "-A", "shop", "worker", "-P", pool, "-c", str(many), "-l", "WARNING", *options]
        log = (self.folder / "worker.log").open("ab")
        with log, subprocess.Popen(
            argv, cwd=self.folder, env=variables, stdout=log, stderr=log, start_new_session=True
        ) as worker:  # fmt: skip
            try:
                assert wait_until(lambda: find.is_worker(find.command(worker.pid)))  # not before its program runs
                yield worker
            finally:
                os.killpg(worker.pid, signal.SIGKILL)

    def send(self, seconds: float, queue: str = "celery", prefix: str = "", times: int = 1) -> list[str]:
        """The ids of tasks that were sent."""
        return sent(self.url, "shop.price", seconds, queue=queue, times=times, prefix=prefix)

    def asked(self, pid: int, *options: str, url: str = "") -> tuple[int, dict[str, Any]]:
        done = self.harness("why", pid, "--json", "--broker", url or self.url, *options)
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, found

    def why(self, pid: int, url: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self.asked(pid, url=url)[1]["workers"][0]
        return found

    def until(self, pid: int, cause: str, url: str = "") -> dict[str, Any]:
        """The first answer that names that cause, else the last one: another look may fall into another moment."""
        told: dict[str, Any] = {}

        def named() -> bool:
            told.update(self.why(pid, url))
            return bool(told["cause"] == cause)

        wait_until(named)
        return told

    def serves(self, pid: int) -> bool:
        return wait_until(lambda: self.why(pid)["broker"].get("asks"))


@pytest.fixture
def shop(celery_environment: environments.Environment, harness: Harness, tmp_path: Path) -> Iterator[Shop]:
    with broker.embedded(tmp_path / "broker") as server:
        yield Shop(celery_environment, harness, tmp_path, server.url)


def test_a_consumer_that_was_lost_is_stuck(shop: Shop) -> None:
    with shop.worker(how="lose") as worker:
        assert wait_until(lambda: shop.why(worker.pid)["cause"] == "consumer-lost")  # after a while nothing asks any more
        shop.send(0.0, times=2)
        code, found = shop.asked(worker.pid)
        (told,) = found["workers"]
        assert (code, told["state"], told["cause"]) == (20, "stuck", "consumer-lost")
        assert "messages wait in celery" in told["reason"]


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_consumer_that_was_cancelled_is_told_as_that_and_not_as_lost(shop: Shop, pool: str) -> None:
    with shop.worker(pool) as worker:
        assert shop.serves(worker.pid)
        argv = [shop.python, "-m", "celery", "-b", shop.url, "control", "cancel_consumer", "celery"]
        subprocess.run(argv, check=True, capture_output=True)
        told = shop.until(worker.pid, "consumer-cancelled")
        assert (told["state"], told["cause"]) == ("waiting", "consumer-cancelled")


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_a_healthy_worker_works_idle_and_busy(shop: Shop, pool: str) -> None:
    with shop.worker(pool) as worker:
        assert shop.serves(worker.pid)
        code, idle = shop.asked(worker.pid)
        assert (code, idle["workers"][0]["executors"]) == (0, [])
        assert (idle["workers"][0]["cause"], idle["workers"][0]["broker"].get("also")) == ("", None)
        sent = shop.send(600.0)
        assert wait_until(lambda: [one["task_id"] for one in shop.why(worker.pid)["executors"]] == sent)
        code, busy = shop.asked(worker.pid)
        assert code == 0
        assert (busy["workers"][0]["cause"], busy["workers"][0]["broker"].get("also")) == ("", None)


def test_a_queue_that_nobody_consumes_is_named(shop: Shop) -> None:
    with shop.worker("threads", "-Q", "early") as worker:
        assert shop.serves(worker.pid)
        shop.send(0.0, "late")
        told = shop.until(worker.pid, "nobody-consumes-queue")
        assert (told["state"], told["cause"]) == ("works", "nobody-consumes-queue")
        assert "in late" in told["reason"]


def test_messages_that_wait_behind_a_long_task_beside_an_idle_worker_are_named(shop: Shop) -> None:
    with ExitStack() as stack:
        busy = stack.enter_context(shop.worker("threads", "-n", "busy@x", many=1))
        assert shop.serves(busy.pid)
        sent = shop.send(600.0, times=3)
        assert wait_until(lambda: [one["task_id"] for one in shop.why(busy.pid)["executors"]] == sent[:1])
        free = stack.enter_context(shop.worker("threads", "-n", "free@x", many=1))
        assert shop.serves(free.pid)
        told = shop.until(busy.pid, "prefetched-behind")
        assert (told["state"], told["cause"]) == ("works", "prefetched-behind")
        code, found = shop.asked(busy.pid, "--task", sent[2])
        assert (code, found["task"]["where"]) == (21, "handed-out")
        only = shop.harness("why", "--hostname", "busy", "--app", "shop", "--json", "--task", sent[0])
        answer = json.loads(only.stdout)
        assert ([one["pid"] for one in answer["workers"]], answer["task"]["where"]) == ([busy.pid], "running")


def test_a_worker_whose_executors_are_all_busy_is_saturated(shop: Shop) -> None:
    with shop.worker("threads", many=1) as worker:
        assert shop.serves(worker.pid)
        sent = shop.send(600.0, times=7)
        assert wait_until(lambda: shop.why(worker.pid)["cause"] == "saturated")
        told = shop.asked(worker.pid, "--task", sent[-1])[1]["task"]
        assert (told["where"], "place 2 of 2" in told["said"]) == ("queued", True)
        assert shop.asked(worker.pid, "--task", "no-such-id")[0] == 22


def test_what_waits_under_a_prefix_is_counted_for_the_worker_that_has_it(shop: Shop) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(shop.worker("threads", "-n", "one@x", many=1, prefix="shop:"))
        assert shop.serves(one.pid)
        sent = shop.send(600.0, prefix="shop:", times=7)
        assert wait_until(lambda: shop.why(one.pid)["broker"]["queues"] == {"celery": 2})
        assert shop.why(one.pid)["broker"]["unacked"] == 4  # one is acknowledged, and runs
        other = stack.enter_context(shop.worker("threads", "-n", "two@x", many=1, prefix="mail:"))
        assert shop.serves(other.pid)
        assert [shop.why(pid)["broker"]["queues"] for pid in (one.pid, other.pid)] == [{"celery": 2}, {}]
        code, found = shop.asked(other.pid, "--task", sent[-1])
        assert (code, "shop:celery, place 2 of 2" in found["task"]["said"]) == (21, True)
        unnamed = stack.enter_context(shop.worker("threads", "-n", "one@x", "--without-mingle", many=1, prefix="third:"))
        assert wait_until(lambda: shop.why(unnamed.pid)["broker"].get("asks"))
        told = shop.why(one.pid)
        assert told["broker"]["queues"] is None
        assert any("global_keyprefix" in line for line in told["unseen"])


def test_a_pool_is_short_by_its_own_children_and_an_embedded_beat_is_none(shop: Shop) -> None:
    shrink = [shop.python, "-c", "import shop; print(shop.app.control.pool_shrink(1, reply=True, timeout=5))"]
    with shop.worker("prefork", "-B", "-s", str(shop.folder / "schedule")) as worker:
        assert wait_until(lambda: len(procfs.children(worker.pid)) == 3)
        assert shop.serves(worker.pid)
        time.sleep(machinery.START_S)
        assert shop.why(worker.pid)["cause"] == ""
        subprocess.run(shrink, cwd=shop.folder, env={**os.environ, "SHOP_URL": shop.url}, check=True, stdout=subprocess.DEVNULL)
        assert wait_until(lambda: len(procfs.children(worker.pid)) == 2)
        told = shop.until(worker.pid, "pool-short")
        assert (told["cause"], told["reason"].partition(" live")[0]) == ("pool-short", "no task runs now; 1 of the 2 children")


def test_children_that_never_serve_are_a_respawn_loop(shop: Shop) -> None:
    with shop.worker(how="slow-init") as worker:
        assert wait_until(lambda: len(procfs.children(worker.pid)) == 2)
        time.sleep(5.0)  # the worker is in its loop: those that it starts from now on have to be up within 4 s
        for pid in procfs.children(worker.pid):
            os.kill(pid, signal.SIGKILL)
        told = shop.until(worker.pid, "respawn-loop")
        assert (told["state"], told["cause"]) == ("waiting", "respawn-loop")


def test_a_broker_that_refuses_the_worker_is_named_without_its_password(shop: Shop) -> None:
    wrong = shop.url.replace("redis://:", "redis://:not-")
    with shop.worker("threads", url=wrong) as worker:
        assert wait_until(lambda: shop.why(worker.pid, wrong)["cause"] == "broker-refusing")
        done = shop.harness("why", worker.pid, "--broker", wrong)
        assert (done.returncode, wrong.split("@")[0].rpartition(":")[2] in done.stdout) == (21, False)


def test_a_broker_that_is_gone_is_waited_for(
    celery_environment: environments.Environment, harness: Harness, tmp_path: Path
) -> None:
    with broker.embedded(tmp_path / "broker") as server:
        shop = Shop(celery_environment, harness, tmp_path, server.url)
        with shop.worker("threads") as worker:
            assert shop.serves(worker.pid)
            assert server.process is not None
            server.process.kill()
            told = shop.until(worker.pid, "broker-lost")
            assert (told["state"], told["cause"]) == ("waiting", "broker-lost")
