"""Memory of a process tree by role: what each process has for itself, what it shares, and whether it grows.

From /proc/PID/smaps_rollup. *Proportional set size* (PSS) splits each shared page between those that share it, so PSS may be
summed; resident size may not. *Private* pages are what a process costs in addition to the others; *shared* ones are what
a fork (or a library that several map) did not have to copy, counted in each process that maps them. What sharing
saves in all is the sum of private and shared over the processes, less their PSS.

The kernel walks all pages of a process to answer, milliseconds for a large one: `monitor` paces the readings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.machine import procfs
from harness.records.sections import Growth

KIB = 1024
LEAST_STEPS = 4
LEVEL = 0.01  # one-sided: so seldom does a tree whose memory only goes up and down count as one that grows


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Bytes of one process, or of several together."""

    pss_bytes: int = 0
    private_bytes: int = 0
    shared_bytes: int = 0

    def __add__(self, other: Pages) -> Pages:
        return Pages(
            pss_bytes=self.pss_bytes + other.pss_bytes,
            private_bytes=self.private_bytes + other.private_bytes,
            shared_bytes=self.shared_bytes + other.shared_bytes,
        )


@dataclass(frozen=True, kw_only=True)
class MemoryReading:
    """A tree's pages by role, at one moment of CLOCK_MONOTONIC."""

    at_s: float
    pages: Mapping[str, Pages]

    @property
    def pss_bytes(self) -> int:
        return sum(pages.pss_bytes for pages in self.pages.values())


def read(pid: int) -> Pages | None:
    """The pages of a process; None where it has ended or may not be read."""
    text = procfs.read(f"/proc/{pid}/smaps_rollup")
    if not text:
        return None
    sizes = {name: int(rest.split()[0]) * KIB for name, _, rest in (row.partition(":") for row in text.splitlines()[1:])}
    return Pages(
        pss_bytes=sizes["Pss"],
        private_bytes=sizes["Private_Clean"] + sizes["Private_Dirty"],
        shared_bytes=sizes["Shared_Clean"] + sizes["Shared_Dirty"],
    )


def growth(readings: Sequence[MemoryReading], requests: int) -> Growth | None:
    """How fast the PSS grew through these readings; None with too few of them to tell growth from noise.

    Memory resembles what it was a moment ago, so a line through the readings would find a slope in any random walk. The
    steps from reading to reading do not have that fault: growth is certain if their mean is above 0 (Student's t, one-sided).
    One large step among small ones, a pool that was filled once, is no certain growth.
    """
    if len(readings) <= LEAST_STEPS:
        return None
    at_s, sizes = np.array([one.at_s for one in readings]), np.array([float(one.pss_bytes) for one in readings])
    seconds, grown = float(at_s[-1] - at_s[0]), float(sizes[-1] - sizes[0])
    rates = np.diff(sizes) / np.diff(at_s)
    error = float(rates.std(ddof=1)) / math.sqrt(len(rates))
    certain = grown > 0 and (error == 0.0 or special.stdtr(len(rates) - 1, -float(rates.mean()) / error) <= LEVEL)
    return Growth(
        readings=len(readings),
        seconds=seconds,
        bytes_per_s=grown / seconds,
        bytes_per_request=grown / requests if requests else None,
        certain=bool(certain),
    )
