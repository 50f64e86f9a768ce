"""What a worker of somebody's own application tells of itself, as the trial reads it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery

from harness import broker
from harness.client.plan import new_prefix, request_id
from harness.environments import Environment
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.machine.processes import OwnedProcess
from harness.observe import stacks
from harness.observe.progress import OpenStage, Progress
from harness.trial.application import Application
from harness.worker import contract
from tests.integration.conftest import environment_variables
from tests.waiting import wait_until

SIDES = Path(__file__).resolve().parent.parent / "probe_projects" / "sides"


class Worker:
    """A worker of the project `sides`, with the visitor, and its signs of life."""

    def __init__(
        self, stack: ExitStack, environment: Environment, folder: Path, pool: str, variables: dict[str, str],
        project: Path = SIDES,
    ) -> None:  # fmt: skip
        self.server = stack.enter_context(broker.embedded(folder / "broker"))
        self.events, self.prefix = folder / "events", new_prefix()
        self.events.mkdir()
        self.application = Application(
            app="sides:app", tasks=("sides.ingest",), python=environment.python, folder=project, rows=folder / "rows.json",
            own_variables={**environment_variables(), **variables}, queue_keys=("celery",),
        )  # fmt: skip
        spec = folder / "trial.json"
        spec.write_text(json.dumps(self.application.spec(prefix=self.prefix, events=self.events)))
        self.cell = Cell(
            backend=OWN_APP, pool=pool, concurrency=2, placement=AS_WRITTEN, call="task", workload="sides", traffic="closed-1"
        )
        environ = {**self.application.variables(self.server.url), contract.SPEC: str(spec)}
        argv = self.application.worker_command(self.cell)
        self.process = stack.enter_context(OwnedProcess(argv, log=folder / "log", env=environ, cwd=project))
        self.progress = Progress(self.events)

    def send(self, task: str, number: int | None, count: float) -> None:
        """Send a task: one of our requests if it has a number."""
        named = {} if number is None else {"task_id": request_id(self.prefix, number)}
        with Celery(broker=self.server.url, backend=self.server.url, set_as_current=False) as app:
            app.send_task(task, args=[count], **named)  # type: ignore[arg-type]

    def until(self, what: Callable[[Progress], object]) -> bool:
        def seen() -> bool:
            self.progress.read()
            return bool(what(self.progress))

        return wait_until(seen, limit_s=30.0)

    @property
    def open(self) -> list[OpenStage]:
        return list(self.progress.open.values())


@pytest.fixture
def worker(celery_environment: Environment, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    with ExitStack() as stack:
        yield lambda pool, **variables: Worker(stack, celery_environment, tmp_path, pool, variables)


#: with variables of the owner's own in its first line, as a `.env` file has them
ASTRAY = "import os\nos.environ.update(CELERY_BROKER_URL={url!r}, CELERY_RESULT_BACKEND={url!r})\n"


@pytest.mark.parametrize("pool", ["prefork", "prefork-spawn", "threads"])
def test_an_application_that_names_a_broker_of_its_own_takes_no_message_from_it(
    pool: str, celery_environment: Environment, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owners, ExitStack() as stack:
        owners.setblocking(False)
        url = f"redis://127.0.0.1:{owners.getsockname()[1]}/0"
        project = tmp_path / "project"
        project.mkdir()
        (project / "sides.py").write_text(ASTRAY.format(url=url) + (SIDES / "sides.py").read_text())
        worker = Worker(stack, celery_environment, tmp_path, pool, {}, project)
        assert worker.until(is_ready)
        worker.send("sides.plus", 0, 0.1)
        assert worker.until(lambda progress: progress.ended)
        with pytest.raises(BlockingIOError):
            owners.accept()


def is_ready(progress: Progress) -> bool:
    return progress.ready_at_s is not None


def kinds(progress: Progress) -> set[str]:
    return {stage.kind for stage in progress.open.values()}


@pytest.mark.parametrize("pool", ["prefork", "prefork-spawn"])
def test_a_child_that_starts_is_seen_to_start_and_then_to_serve(worker: Callable[..., Worker], pool: str) -> None:
    one = worker(pool)
    assert one.until(lambda progress: kinds(progress) == {"start"})
    assert {stage.pid for stage in one.open} <= one.progress.child_pids - {one.process.pid}
    assert one.until(lambda progress: is_ready(progress) and len(progress.child_pids) == 3 and not progress.open)


def test_a_child_that_never_gets_through_its_start_stays_open(worker: Callable[..., Worker]) -> None:
    one = worker("prefork", SIDES_LOCKED="1")
    assert one.until(lambda progress: len([stage for stage in progress.open.values() if stage.kind == "start"]) == 2)
    time.sleep(1.5)
    one.progress.read()
    assert {stage.kind for stage in one.open} == {"start"}
    assert all(stage.tid == stage.pid for stage in one.open)


def test_a_process_that_the_application_forks_is_no_child_that_starts(worker: Callable[..., Worker]) -> None:
    one = worker("prefork")
    assert one.until(lambda progress: is_ready(progress) and not progress.open)
    one.send("sides.forking", 0, 1)
    assert one.until(lambda progress: progress.ended == 1)
    assert not one.progress.open


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "solo"])
def test_an_executor_that_runs_another_task_is_busy_and_the_task_has_a_name(worker: Callable[..., Worker], pool: str) -> None:
    one = worker(pool)
    assert one.until(is_ready)
    one.send("sides.ingest", 0, 2.0)
    assert one.until(lambda progress: "other" in kinds(progress))
    stage = next(stage for stage in one.open if stage.kind == "other")
    assert one.progress.task_of(stage) == "sides.index"
    assert one.until(lambda progress: progress.busy == {(stage.pid, stage.tid): 1})
    assert one.until(lambda progress: progress.ended == 1 and not progress.busy)


def test_silence_on_purpose_is_told(worker: Callable[..., Worker]) -> None:
    one = worker("threads")
    assert one.until(is_ready)
    one.send("sides.ignored", 0, 1)
    one.send("sides.rejected", 1, 1)
    one.send("sides.ignored", None, 1)
    assert one.until(lambda progress: progress.ended == 2)
    assert one.until(lambda progress: progress.ignored == {0, 1})


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_the_threads_of_an_idle_worker_are_celerys_own(worker: Callable[..., Worker], pool: str) -> None:
    one = worker(pool)
    assert one.until(lambda progress: is_ready(progress) and not progress.open)
    one.send("sides.fresh", 0, 1)
    assert one.until(lambda progress: progress.ended == 1)
    time.sleep(0.5)  # until everything is idle again
    for pid in {one.process.pid, *one.progress.child_pids}:
        glance = stacks.glance(pid)
        assert glance is not None
        assert {glance.functions.get(tid) for tid in glance.foreign} == set(), pid
