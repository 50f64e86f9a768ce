"""The load of one trial: the plan of its load generator, which is a process of its own (`harness.client`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from harness.client import own_message
from harness.client.deck import Deck
from harness.client.plan import Plan
from harness.experiment import seeds
from harness.experiment.pools import POOLS
from harness.experiment.traffic import parse
from harness.machine.processes import OwnedProcess
from harness.places import CHECKOUT, home
from harness.trial.assignment import Assignment
from harness.worker import serial

SEARCH_SHARE = 0.5  # of the time limit, for finding a peak


def plan_of(work: Assignment, *, queue: str, prefix: str) -> Plan:
    cell, settings = work.cell, work.settings
    executors = POOLS[cell.pool].executors
    many = executors in ("processes", "threads")
    return Plan(
        url=work.broker.url,
        queue=queue,
        traffic=cell.traffic,
        rows=work.rows,
        batch=cell.batch,
        measure_s=settings.measure_s,
        requests=settings.requests,
        warmup_limit_s=settings.warmup_limit_s,
        stable_limit_s=settings.stable_limit_s,
        search_s=SEARCH_SHARE * settings.limit_s,
        executors=cell.concurrency if many else 1,
        by_thread=executors == "threads",
        in_flight_warmup=max(parse(cell.traffic).in_flight, 2 * cell.concurrency),
        arrivals_seed=seeds.seed_for("arrivals", settings.seed, work.trial),
        rows_seed=seeds.seed_for("rows", settings.seed, work.trial),
        events_dir=str(work.events),
        result=str(work.result),
        prefix=prefix,
        few=work.few,
        cold=work.cold,
        most_s=work.most_s,
        early=settings.stop_early,
        control=cell.backend == "null",
        rival=work.rival.cell if work.rival else "",
        rival_per_s=work.rival.least_per_s if work.rival else 0.0,
        at_once=1 if executors == "main" else cell.concurrency,
        messages=str(work.application.messages) if work.application else "",
        rate_limited=work.rate_interval_s > 0,
        kept="" if work.application else str(own_message.place(home(), work.broker.url)),
        **_of_mix(work),
        results=work.stored_in,
        results_prefix=work.application.results_prefix if work.application else "",
    )


def _of_mix(work: Assignment) -> dict[str, Any]:
    """What the plan says of a mix; its queues, too, if they are several."""
    application = work.application
    if application is None or application.mix is None:
        return {}
    keys = application.queue_keys if len(application.queue_keys) > 1 else ()
    return {"shares": application.mix.shares, "of_rows": application.mix.of_rows, "queues": keys}


def place_of(work: Assignment, plan: Plan | None) -> Callable[[int], int]:
    """Which task of a mix a request is of, by its number: of serial calls, or of the worker's requests."""
    application = work.application
    if application is None or (mix := application.mix) is None:
        return lambda number: 0
    if plan is None:
        return lambda number: mix.of_rows[serial.row_of(number, len(mix.of_rows), application.turns)]  # type: ignore[no-untyped-call]
    return Deck(plan).task


def start(work: Assignment, plan: Plan) -> OwnedProcess:
    """The load generator; it waits for the file GO before it sends."""
    path = work.folder / "plan.json"
    plan.write(path)
    argv = [sys.executable, "-m", "harness.client", str(path)]
    return OwnedProcess(argv, log=work.folder / "client.log", env=variables())


def variables() -> dict[str, str]:
    """The variables of programs of our own: one thread of linear algebra, and nothing of the user's shell."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
