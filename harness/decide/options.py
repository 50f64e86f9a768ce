"""What must be kept, as options: bounds on latency, memory, cores, throughput and hangs."""

from __future__ import annotations

from typing import Annotated

import typer

Latency = Annotated[
    list[str] | None, typer.Option(help="Maximum latency at a percentile, such as p99=50ms; can be given several times.")
]
Memory = Annotated[str, typer.Option(help="Maximum memory of a worker with its children, such as 4GiB.")]
Cores = Annotated[float | None, typer.Option(min=0.1, help="Maximum number of busy cores.")]
MinThroughput = Annotated[float | None, typer.Option(min=0, help="Minimum throughput, in requests per second.")]
MaxHangRate = Annotated[str, typer.Option(help="Maximum share of fresh workers that hang, such as 1%.")]
