"""Your own application in asv: copy this file to your benchmarks folder, and change what stands between the lines.

asv builds your commit; 'harness probe' then serves it with real workers, once per commit, and each benchmark reads a figure of
one pool. asv takes what is smaller for better: so every figure is a cost, and the outcome is a code, a step in the graph if a
pool begins to hang. A pool that did not end 'ok' has no pace, which is a gap. The harness need not be in asv's environment.
"""

import csv
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

# ---- change this --------------------------------------------------------------------------------------------------------
POOLS = ("prefork", "threads", "solo")
APPLICATION = ["--app", "proj.tasks:app", "--task", "proj.tasks.predict", "--args", str(HERE / "rows.json")]
OPTIONS = ["--repeat", "3"]
# -------------------------------------------------------------------------------------------------------------------------

HARNESS = shlex.split(os.environ.get("HARNESS", "harness"))
LIMIT_S = 3 * 3600
#: 0 is best. Published graphs are read by these numbers: none changes.
OUTCOME_CODES = {
    "ok": 0, "skipped": 1, "invalid": 2, "slow": 3, "refused": 4, "stalled": 5, "errors": 6, "respawning": 7, "wrong": 8,
    "crashed": 9, "hung": 10, "waiting": 12, "unchecked": 13,
}  # fmt: skip
MISSING = 11  # the probe left no row for the pool


def setup_cache():
    """{pool: its row of cells.csv}. A probe that fails leaves what it measured, or nothing; its words and evidence stay."""
    out = Path(tempfile.mkdtemp(prefix="serving-asv-"), "probe")
    asked = [
        *HARNESS,
        "probe",
        *APPLICATION,
        "--python",
        sys.executable,
        "--pools",
        ",".join(POOLS),
        *OPTIONS,
        "--out",
        str(out),
    ]
    print(f"records and evidence: {out}", flush=True)
    asv = os.getppid()
    with subprocess.Popen(asked) as probe:
        while probe.poll() is None:
            time.sleep(0.5)
            if os.getppid() != asv:  # asv is gone, so nobody waits for this; the probe ends its workers, and keeps what it has
                probe.terminate()
    if probe.returncode:
        print(f"'{shlex.join(asked)}' ended with {probe.returncode}", flush=True)
    if not (out / "cells.csv").exists():
        return {}
    with open(out / "cells.csv", newline="") as file:
        return {row["pool"]: row for row in csv.DictReader(file) if row["pool"] in POOLS}


setup_cache.timeout = LIMIT_S


def figure(row, column, *, pace=True, factor=1.0, inverse=False):
    """A cost of one pool; NaN if there is none. `pace`: only trials that ended ok have one."""
    try:
        value = float(row.get(column, ""))
    except ValueError:
        return math.nan
    if (pace and "ok:" not in row.get("outcomes", "")) or (inverse and not value):
        return math.nan
    return factor / value if inverse else factor * value


class Serving:
    params = (POOLS,)
    param_names = ("pool",)
    version = "1"

    def track_seconds_per_1000(self, rows, pool):
        return figure(rows.get(pool, {}), "throughput_per_s", factor=1000.0, inverse=True)

    def track_p50(self, rows, pool):
        return figure(rows.get(pool, {}), "latency_p50_s")

    def track_p95(self, rows, pool):
        return figure(rows.get(pool, {}), "latency_p95_s")

    def track_cpu_seconds(self, rows, pool):
        return figure(rows.get(pool, {}), "cpu_s_per_request")

    def track_peak_bytes(self, rows, pool):
        return figure(rows.get(pool, {}), "peak_pss_bytes", pace=False)

    def track_outcome_code(self, rows, pool):
        return OUTCOME_CODES.get(rows.get(pool, {}).get("outcome"), MISSING)

    track_seconds_per_1000.unit = track_p50.unit = track_p95.unit = track_cpu_seconds.unit = "seconds"
    track_peak_bytes.unit = "bytes"
    track_outcome_code.unit = "code"
    track_seconds_per_1000.pretty_name = "seconds per 1000 requests"
    track_p50.pretty_name = "median latency"
    track_p95.pretty_name = "95th percentile of latency"
    track_cpu_seconds.pretty_name = "CPU seconds per request"
    track_peak_bytes.pretty_name = "peak memory (PSS) of the worker's processes"
    track_outcome_code.pretty_name = "outcome (0 ok, 10 hung)"
