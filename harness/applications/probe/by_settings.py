"""What neither an option nor a pasted line says of a worker, taken from its application's settings, as Celery does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.applications.probe import pasted
from harness.applications.probe.order import ProbeOrder


def settled(order: ProbeOrder, told: Mapping[str, Any]) -> tuple[ProbeOrder, str]:
    """The order with what the application says of its worker (`worker.app_facts`), and that in words; '' if nothing was left
    to it."""
    line, unsaid = order.line, order.unsaid
    if line is None or order.grid or not unsaid & {"pool", "concurrency"}:
        return order, ""
    count = str(told.get("concurrency", ""))
    if by_setting := "concurrency" in unsaid and count.isdecimal() and int(count) > 0:
        order = replace(order, concurrency=(int(count),))
        order = replace(order, traffic=pasted.traffic(order.concurrency)) if "traffic" in unsaid else order
    pool = str(told["pool"]) if "pool" in unsaid else line.pool
    if "pool" in unsaid:
        order = replace(
            order, pools=(pool,) if order.one_pool else pasted.tried(order.pools, replace(line, pool=pool), order.concurrency)
        )
    whence = "as the settings say" if by_setting else "as many as this machine has cores" if "concurrency" in unsaid else ""
    said = [pool if order.one_pool else f"{pool} first"] if "pool" in unsaid else []
    executors = f"{order.concurrency[0]} executor{'s' * (order.concurrency[0] > 1)}"
    said += [f"{executors}, {whence}"] if whence and order.pools != ("solo",) else []
    return order, f"worker line: {', '.join(said)}; requests are sent as {order.traffic}" if said else ""
