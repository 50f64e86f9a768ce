"""What must be kept, as options: bounds on latency, memory, cores, throughput and hangs."""

from __future__ import annotations

from typing import Annotated

import typer

Latency = Annotated[list[str] | None, typer.Option(help="A bound on a percentile, such as p99=50ms; may be given again.")]
Memory = Annotated[str, typer.Option(help="The most memory of a worker with its children, such as 4GiB.")]
Cores = Annotated[float | None, typer.Option(min=0.1, help="The most cores that it may keep busy.")]
MinThroughput = Annotated[float | None, typer.Option(min=0, help="The least requests a second.")]
MaxHangRate = Annotated[str, typer.Option(help="The most fresh workers that may hang, such as 1%.")]
