"""What the machine did beside us while a trial was measured: swapping, and the processors' frequency.

What other programs and the hypervisor took stands in `record.CpuUse`. All is read from /proc and /sys; what this
machine does not show is None, never 0.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.machine import procfs
from harness.records.cpu import Noise

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`swapped_bytes`: in and out since boot. `frequency_hz`: of the fastest core; the others may be asleep."""

    swapped_bytes: int | None
    frequency_hz: float | None


def read(cpus: Path = CPUS) -> Reading:
    """Look once. The kernel's `scaling_cur_freq` is in kHz."""
    pages = [int(line.split()[1]) for line in (procfs.read("/proc/vmstat") or "").splitlines() if line.startswith("pswp")]
    found = [procfs.read(str(path)) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    khz = [float(text) for text in found if text]
    return Reading(swapped_bytes=sum(pages) * PAGE_BYTES if pages else None, frequency_hz=max(khz) * 1e3 if khz else None)


def between(readings: Sequence[Reading]) -> Noise | None:
    """What happened from the first reading to the last; None without two of them."""
    if len(readings) < 2:
        return None
    first, last = readings[0].swapped_bytes, readings[-1].swapped_bytes
    known = [reading.frequency_hz for reading in readings if reading.frequency_hz is not None]
    return Noise(
        swapped_bytes=last - first if first is not None and last is not None else None,
        frequency_low_hz=min(known, default=None),
        frequency_high_hz=max(known, default=None),
    )
