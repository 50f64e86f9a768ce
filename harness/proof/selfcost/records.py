"""What records cost: to make, to read and to summarise, for many requests and for many cells.

Each figure is made on records of the real shape, written by the code that a run uses. Times are CPU seconds of the process:
all this is computation, and a busy machine must not change the figure. What needs much memory runs in a process of its own
(`python -m harness.proof.selfcost.records FOLDER`), whose peak is then that of the work and the imports alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from harness import display
from harness.certainty import intervals
from harness.experiment.experiment import Block, Experiment
from harness.experiment.matrix import Cell
from harness.machine import procfs
from harness.measure import figures
from harness.records import answers, store
from harness.records.answers import MEASURE, Requests
from harness.records.cpu import Cpu, CpuUse, Noise
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, to_line
from harness.records.sections import Answers, Asked, Certainty, Ended, Figures, Memory, Pace
from harness.report import content, page
from harness.run import plan
from harness.summary import summary
from harness.worker import contract

CELL = Cell(backend="theano", pool="prefork", concurrency=4)
GAP_NS, LATENCY_NS = 1_000_000, 4_000_000
SIZES = (125_000, 250_000, 500_000, 1_000_000)  # requests, for growth


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU seconds, and the peak of the process's memory in bytes (imports included)."""

    seconds: float
    peak_bytes: int


def _peak_bytes() -> int:
    """The most memory that this program had; getrusage's ru_maxrss begins with that of the program before the exec."""
    status = procfs.read("/proc/self/status") or ""
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def summarise(requests: int = 1_000_000) -> Cost:
    """Read one trial's requests from its Parquet file and make the table, figures and intervals included."""
    with tempfile.TemporaryDirectory(prefix="harness-selfcost-") as name:
        folder = Path(name)
        _write_run(folder, requests)
        argv = [sys.executable, "-m", "harness.proof.selfcost.records", str(folder)]
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return Cost(**json.loads(told))


def growth(sizes: tuple[int, ...] = SIZES, costs: tuple[Cost, ...] = ()) -> float:
    """The power of N with which the time to summarise N requests grows: 1 is linear, 2 quadratic."""
    costs = costs or tuple(summarise(size) for size in sizes)
    return float(np.polyfit(np.log(sizes), np.log([cost.seconds for cost in costs]), 1)[0])


def record_requests(requests: int = 20_000) -> float:
    """CPU seconds a request: check its answer, save its stamps, and compute the trial's figures."""
    with tempfile.TemporaryDirectory(prefix="harness-selfcost-") as name:
        path, reference = Path(name) / "requests.npz", np.zeros((100, 10))
        columns: dict[str, Any] = {**_columns(requests), "error": np.full(requests, ""), "answers": np.zeros((requests, 10))}
        np.savez(path, **columns)
        begun = time.process_time()
        checked = answers.load(path, reference, batch=1, rtol=1e-5, atol=1e-6)
        answers.save(checked, path.with_suffix(".parquet"))
        _compute(path.with_suffix(".parquet"), requests)
        return (time.process_time() - begun) / requests


def append_records(records: int = 200) -> float:
    """Wall seconds a record: append it to trials.jsonl, synced to disk."""
    with tempfile.TemporaryDirectory(prefix="harness-selfcost-") as name:
        folder, made = store.RunFolder(Path(name)), trials(records)
        begun = time.monotonic()
        for record in made:
            folder.append(record)
        return (time.monotonic() - begun) / records


def tabulate(cells: int = 10_000) -> float:
    """CPU seconds: read that many records, a cell each, and make the table of their run."""
    with tempfile.TemporaryDirectory(prefix="harness-selfcost-") as name:
        folder = store.RunFolder(Path(name))
        folder.trials_path.write_text("".join(map(to_line, trials(cells))))
        begun = time.process_time()
        table = summary.table(folder.current().values(), folder.path)
        took = time.process_time() - begun
    assert len(table) == cells
    return took


def write_page(cells: int = 500, requests: int = 1_000_000) -> tuple[float, int]:
    """(CPU seconds, bytes): the page of a run of so many cells, each with its part of the requests."""
    with tempfile.TemporaryDirectory(prefix="harness-selfcost-") as name:
        folder, each = Path(name), requests // cells
        run = store.RunFolder(folder)
        made = []
        for number in range(cells):
            cell = Cell(backend="theano", pool=("prefork", "threads", "gevent")[number % 3], batch=number // 3 + 1)
            path = f"requests/{cell.id}.parquet"
            answers.save(_answered(each), folder / path)
            made.append(_trial(cell, None, each).changed(answers={"requests_file": path}))
        run.trials_path.write_text("".join(map(to_line, made)))
        begun = time.process_time()
        text = page.render(content.read(folder))
        return time.process_time() - begun, len(text.encode())


def list_cells(cells: int = 10_000) -> float:
    """CPU seconds: expand an experiment to so many cells or a few more, say which cannot exist, and print them all."""
    # each batch: two cells, their two null controls, one or two baselines
    block = Block(backend=["theano"], pool=["prefork", "threads"], batch=list(range(1, cells // 5 + 1)))
    spec = Experiment(name="big", summary="many cells", cells=[block])
    console = Console(file=StringIO(), highlight=False)
    begun = time.process_time()
    found = plan.chosen_cells(spec, [])
    display.cells(console, [(cell.id, plan.why_skipped(cell)) for cell in found])
    return time.process_time() - begun


def trials(count: int) -> list[TrialRecord]:
    """Records of distinct cells, with all that a measured trial has."""
    return [_trial(Cell(backend="theano", pool="prefork", batch=number + 1), FIGURES, 1000) for number in range(count)]


def _trial(cell: Cell, known: Figures | None, requests: int) -> TrialRecord:
    use = CpuUse(
        window_s=10.0, cores=2, requests=requests, worker=1.0, children=8.0, broker=1.0, client=1.0, machine=12.0, steal=0.0
    )  # fmt: skip
    return TrialRecord(
        asked=Asked(
            cell_id=cell.id, cell=cell.as_dict(), trial=1, plan_key="selfcost", started="2026-01-01T00:00:00+00:00"
        ),
        ended=Ended(outcome=Outcome.OK, reason=f"{requests} of {requests} answers match the reference", seconds=15.0),
        answers=Answers(requests=requests, ok=requests, requests_file="requests/one.parquet"),
        pace=Pace(
            measured_s=requests * GAP_NS * 1e-9, measured_requests=requests, ready_s=1.0, first_predict_s=0.1
        ),
        cpu=Cpu(use=use, noise=Noise(swapped_bytes=0)),
        memory=Memory(peak_pss_bytes=1 << 28),
        certainty=Certainty(figures=known),
    )  # fmt: skip


def _columns(requests: int) -> dict[str, answers.Stamps]:
    """Stamps of requests answered a millisecond apart, with latencies that vary as real ones do."""
    numbers = np.arange(requests, dtype=np.int64)
    latency = (LATENCY_NS * np.random.default_rng(1).lognormal(0.0, 0.3, requests)).astype(np.int64)
    received = 10**9 + numbers * GAP_NS + LATENCY_NS * 10
    columns = dict.fromkeys(contract.REQUEST_FIELDS[:-2], numbers)
    return columns | {
        "row": numbers % 100, "phase": np.full(requests, MEASURE), "published": received - latency, "received": received,
        "begin": received - latency // 2, "predict_begin": received - latency // 2, "predict_end": received - latency // 4,
    }  # fmt: skip


def _answered(requests: int) -> Requests:
    """So many requests, all answered rightly."""
    yes = np.ones(requests, dtype=bool)
    columns = {**_columns(requests), "error": np.full(requests, "")}
    return Requests(columns=columns, answered=yes, right=yes, raised=~yes, difference=np.zeros(requests))


def _write_run(folder: Path, requests: int) -> None:
    answers.save(_answered(requests), folder / "requests" / "one.parquet")
    store.RunFolder(folder).append(_trial(CELL, None, requests))


def _compute(path: Path, requests: int) -> Figures:
    measured = answers.measured(path)
    return figures.compute(measured, seconds=requests * GAP_NS * 1e-9, requests=requests, backlog=False)


FIGURES = Figures(
    requests=1000,
    throughput_per_s=100.0,
    throughput_span_per_s=intervals.Span(98.0, 102.0),
    latency_s={"p50": 0.004, "p95": 0.007, "p99": 0.009},
    latency_span_s={"p50": intervals.Span(0.0039, 0.0041), "p95": intervals.Span(0.0068, 0.0072)},
    predict_p50_s=0.001,
    window_throughputs_per_s=[99.0, 101.0, 100.0],
    window_latencies_s=[0.004, 0.004, 0.004],
    stable=True,
)


def main(folder: Path) -> None:
    """Make the table of a run and tell what that cost, as JSON."""
    begun = time.process_time()
    table = summary.table(store.RunFolder(folder).records(), folder)
    seconds = time.process_time() - begun
    assert table["latency_p99_high_s"].notna().all()
    print(json.dumps({"seconds": seconds, "peak_bytes": _peak_bytes()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
