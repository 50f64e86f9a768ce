"""A few minutes: asv run --bench quick."""

from .cells import MISSING, OUTCOME_CODES, RUN_LIMIT_S, figure, labels, measured


def setup_cache():
    return measured("quick")


setup_cache.timeout = RUN_LIMIT_S


class Suite:
    """One value for each cell of the run."""

    params = (labels("quick"),)
    param_names = ("cell",)
    version = "1"
    timeout = 60


class Throughput(Suite):
    def track_seconds_per_1000(self, rows, cell):
        return figure(rows.get(cell, {}), "throughput_per_s", 1000.0, inverse=True)

    track_seconds_per_1000.unit = "seconds"
    track_seconds_per_1000.pretty_name = "seconds per 1000 predictions"


class Latency(Suite):
    def track_p50(self, rows, cell):
        return figure(rows.get(cell, {}), "latency_p50_s")

    track_p50.unit = "seconds"
    track_p50.pretty_name = "median latency"

    def track_p95(self, rows, cell):
        return figure(rows.get(cell, {}), "latency_p95_s")

    track_p95.unit = "seconds"
    track_p95.pretty_name = "95th percentile of latency"


class Cost(Suite):
    def track_cpu_seconds(self, rows, cell):
        return figure(rows.get(cell, {}), "cpu_s_per_request")

    track_cpu_seconds.unit = "seconds"
    track_cpu_seconds.pretty_name = "CPU seconds per prediction"

    def track_peak_bytes(self, rows, cell):
        return figure(rows.get(cell, {}), "peak_pss_bytes")

    track_peak_bytes.unit = "bytes"
    track_peak_bytes.pretty_name = "peak memory (PSS) of the worker's processes"


class Start(Suite):
    def track_ready(self, rows, cell):
        return figure(rows.get(cell, {}), "ready_s")

    track_ready.unit = "seconds"
    track_ready.pretty_name = "time to READY"


class Outcome(Suite):
    def track_code(self, rows, cell):
        return OUTCOME_CODES.get(rows.get(cell, {}).get("outcome"), MISSING)

    track_code.unit = "code"
    track_code.pretty_name = "outcome (0 ok … 10 hung)"

    def track_hang_rate(self, rows, cell):
        return figure(rows.get(cell, {}), "hang_rate")

    track_hang_rate.unit = "share"
    track_hang_rate.pretty_name = "share of fresh workers that hung"
