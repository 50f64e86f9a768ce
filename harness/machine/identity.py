"""Facts about this computer that numbers depend on; taken once a run and kept in `run.json`."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

import psutil

from harness import __version__
from harness.machine import cores, procfs

#: what figures depend on
DECISIVE = ("processor", "cores_available", "cpu_quota_cores", "cores_total", "memory_bytes", "system", "virtual")
MEMORY_SLACK = 0.05  # a kernel keeps another part of the same memory to itself after an update


def differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In what two machines (`facts`) differ, '' where they are alike as far as is known."""
    pairs = [(name, one.get(name), other.get(name)) for name in DECISIVE]
    return ", ".join(f"{name} {here} -> {there}" for name, here, there in pairs if here != there and not _close(here, there))


def usable(machine: Mapping[str, Any]) -> float | None:
    """Cores that one could use on a machine (`facts`), by affinity and quota; None if that is not known."""
    count = machine.get("cores_available")
    return cores.usable(count, machine.get("cpu_quota_cores")) if count is not None else None


def _close(here: Any, there: Any) -> bool:
    """Whether two sizes of memory are those of one machine; cores and words are the same, or are not."""
    big = all(isinstance(value, int) and value > 1 << 20 for value in (here, there))
    return big and abs(here - there) <= MEMORY_SLACK * max(here, there)


def facts() -> dict[str, Any]:
    """Processor and its microcode, cores available by affinity, CPU quota in cores (None without one), memory in bytes, kernel,
    Python."""
    return {
        "processor": _of_processor("model name") or platform.processor() or platform.machine(),
        "cores_available": len(os.sched_getaffinity(0)),
        "cpu_quota_cores": cores.quota(),
        "cores_total": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "microcode": _of_processor("microcode"),
        "system": platform.system(),
        "virtual": "hypervisor" in (procfs.read("/proc/cpuinfo") or ""),
        "load_average": list(os.getloadavg()),
        "driver_python": platform.python_version(),
        "harness": __version__,
    }


def _of_processor(name: str) -> str:
    """What the kernel says of the first processor under this name; '' if it says nothing."""
    lines = (procfs.read("/proc/cpuinfo") or "").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
