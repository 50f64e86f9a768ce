"""Facts about this computer that numbers depend on; taken once a run and kept in `run.json`."""

from __future__ import annotations

import os
import platform
from typing import Any

import psutil

from harness import __version__, procfs


def cores() -> int:
    """Cores that this process, and so all that it starts, may use."""
    return len(os.sched_getaffinity(0))


def facts() -> dict[str, Any]:
    """Processor, cores available, memory in bytes, kernel, Python of the driver."""
    return {
        "processor": _processor(),
        "cores_available": cores(),
        "cores_total": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "system": platform.system(),
        "virtual": "hypervisor" in (procfs.read("/proc/cpuinfo") or ""),
        "load_average": list(os.getloadavg()),
        "driver_python": platform.python_version(),
        "harness": __version__,
    }


def _processor() -> str:
    for line in (procfs.read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
