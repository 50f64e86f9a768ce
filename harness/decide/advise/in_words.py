"""What was measured of one configuration, in words. Pure."""

from __future__ import annotations

from harness.decide.advise.candidates import Candidate
from harness.texts import milliseconds


def figures(one: Candidate) -> str:
    """'531 rows/s (498 - 566 at 95 %; one fresh worker 460 - 613), p50 7.2 ms, 1.2 of 2 cores, 200 MiB, 5 trials'."""
    row = one.row
    low, high = row["throughput_low_per_s"], row["throughput_high_per_s"]
    batch = one.cell.batch
    least, most = one.fresh_worker
    fresh = f"; one fresh worker {least:.4g} - {most:.4g}" if least is not None and most is not None else ""
    within = f" ({low * batch:.4g} - {high * batch:.4g} at 95 %{fresh})" if low is not None and high is not None else ""
    said = [f"{one.rows_per_s:.4g} rows/s{within}"]
    for name in ("p50", "p95", "p99"):
        if (value := row[f"latency_{name}_s"]) is not None:
            end = row["fresh"][name].end
            most_s = f" (one fresh worker at most {milliseconds(end)})" if end else ""
            said.append(f"{name} {milliseconds(value)}{most_s}")
    if row["cpu_saturation"] is not None and row["cores_available"]:
        said.append(f"{row['cpu_saturation'] * row['cores_available']:.1f} of {row['cores_available']} cores")
    if row["peak_pss_bytes"] is not None:
        said.append(f"{row['peak_pss_bytes'] / 2**20:.0f} MiB")
    return ", ".join([*said, f"{len(one.paces)} trial{'s' if len(one.paces) != 1 else ''}"])


def in_short(one: Candidate) -> str:
    """'35.1 rows/s, p50 109 ms, 762 MiB in 1 trial'."""
    usual_s, peak = one.row["latency_p50_s"], one.row["peak_pss_bytes"]
    known = [f"{one.rows_per_s:.3g} rows/s", f"p50 {milliseconds(usual_s)}" if usual_s is not None else "",
             f"{peak / 2**20:.0f} MiB" if peak is not None else ""]  # fmt: skip
    return f"{', '.join(filter(None, known))} in {len(one.paces)} trial{'s' if len(one.paces) != 1 else ''}"
