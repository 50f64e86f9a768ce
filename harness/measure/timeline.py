"""The time line of a trial: every sample of the monitor as one row of a small Parquet file, for reports to draw.

Columns, times in nanoseconds of CLOCK_MONOTONIC (the clock of the requests' stamps), CPU in seconds, cumulative:
    at_ns               when the sample was taken
    phase               the client's phase as it was taken, '' before the worker was ready
    cpu_worker_s, cpu_children_s, cpu_broker_s, cpu_client_s
                        CPU time by role: the worker's main process, all it ever started, the broker, the load generator
    cores_busy_s        a list: how long each core available was busy since boot, whoever used it
    steal_s             of all these, what the hypervisor took
    processes, threads  of the worker's tree
    pss_worker_bytes, pss_children_bytes, private_bytes, shared_bytes
                        memory, see `harness.measure.memory`; null in samples that did not read it
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.measure.monitor import ROLES, Sample

MEMORY = ("pss_worker_bytes", "pss_children_bytes", "private_bytes", "shared_bytes")
SCHEMA = pa.schema([
    ("at_ns", pa.int64()),
    ("phase", pa.string()),
    *((f"cpu_{role}_s", pa.float64()) for role in ROLES),
    ("cores_busy_s", pa.list_(pa.float64())),
    ("steal_s", pa.float64()),
    ("processes", pa.int32()),
    ("threads", pa.int32()),
    *((name, pa.int64()) for name in MEMORY),
])  # fmt: skip


def save(samples: Sequence[Sample], path: Path) -> None:
    """Write them, replacing a file of an earlier try whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    pq.write_table(pa.Table.from_pylist([_row(sample) for sample in samples], schema=SCHEMA), draft)
    draft.replace(path)


def _row(sample: Sample) -> dict[str, Any]:
    return {
        "at_ns": round(sample.at_s * 1e9),
        "phase": sample.phase,
        **{f"cpu_{role}_s": sample.cpu_s[role] for role in ROLES},
        "cores_busy_s": list(sample.cores_busy_s),
        "steal_s": sample.steal_s,
        "processes": len(sample.pids),
        "threads": sum(sample.threads.values()),
        **_memory(sample),
    }


def _memory(sample: Sample) -> dict[str, int]:
    if sample.memory is None:
        return {}
    pages = sample.memory.pages
    sizes = (
        pages["worker"].pss_bytes,
        pages["children"].pss_bytes,
        sum(one.private_bytes for one in pages.values()),
        sum(one.shared_bytes for one in pages.values()),
    )
    return dict(zip(MEMORY, sizes, strict=True))
