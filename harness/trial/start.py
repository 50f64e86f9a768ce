"""What a trial's worker is started with: its spec, its place, its command. Pure: nothing is started here."""

from __future__ import annotations

from harness.experiment import brokers
from harness.experiment.matrix import Cell, engine_threads, fault_options
from harness.trial import supervisor
from harness.trial.assignment import Assignment
from harness.trial.supervisor import Place
from harness.worker import spec
from harness.worker.spec import Spec

RAISED_START_WINDOW_S = 600.0


def place_of(work: Assignment, told: Spec) -> Place:
    return Place(
        environment=work.environment,
        folder=work.folder,
        broker_url=work.worker_broker_url or work.broker.url,
        spec=told,
        application=work.application,
        result_url=work.result_url,
    )


def command_of(work: Assignment) -> list[str]:
    """The worker's command line; or that of the calls without a worker, where the cell is a baseline."""
    cell, settings = work.cell, work.settings
    if work.application is not None and cell.is_baseline:
        return work.application.serial_command(settings.measure_s, settings.requests, work.result, settings.limit_s)
    if work.application is not None:
        return work.application.worker_command(cell)
    if not cell.is_baseline:
        return supervisor.worker_command(cell, work.environment)
    return supervisor.baseline_command(
        work.environment,
        seconds=settings.measure_s,
        requests=settings.requests,
        result=work.result,
        processes=cell.concurrency,
    )


def _celery(cell: Cell) -> dict[str, object]:
    """Settings of Celery's that the cell asks for."""
    queue_type = brokers.queue_type(cell.broker)
    return {
        **({"worker_max_tasks_per_child": cell.max_tasks} if cell.max_tasks else {}),
        **({"task_default_queue_type": queue_type} if queue_type else {}),
    }


def spec_of(work: Assignment, *, queue: str, prefix: str) -> Spec:
    """See `worker.contract.SPEC_KEYS`; or what the processes of somebody's own application read."""
    cell = work.cell
    if work.application is not None:
        return work.application.spec(prefix=prefix, events=work.events)
    intra, inter = engine_threads(cell.engine_threads)
    cold = work.folder / "compile-cache"
    return spec.for_worker(
        backend=cell.backend,
        placement=cell.placement,
        call=cell.call,
        parent=cell.parent,
        bundle=str(work.bundle),
        batch=cell.batch,
        intra=intra,
        inter=inter,
        cache_dir=str(cold if cell.compile_cache == "cold" else work.environment.cache_dir),
        events_dir=str(work.events),
        prefetch=cell.prefetch,
        celery=_celery(cell),
        proc_alive_timeout=cell.start_window_s or RAISED_START_WINDOW_S,
        queue=queue,
        options={**fault_options(cell.fault), "trial": work.trial, "folder": str(work.folder)},
    )
