"""What is watched, as metrics in a file for Prometheus' node exporter (its textfile collector): replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.errors import CannotWrite
from harness.live.executor import State
from harness.live.watch.loop import Watch
from harness.live.watch.names import name_of
from harness.texts import visible


class Metrics(Collector):
    """Read from the watch when they are written."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def collect(self) -> Iterator[Metric]:
        watch = self.watch
        states = GaugeMetricFamily(
            "harness_worker_state", "1 for the state that a worker is in", labels=("worker", "pid", "state")
        )
        for main, watched in sorted(watch.workers.items()):
            for state in State if watched.state else ():
                known = [visible(name_of(watched.worker)), str(main), state.value]
                states.add_metric(known, float(watched.state is state))
        yield states
        restarts = CounterMetricFamily("harness_worker_restarts", "restarts that were seen", labels=("worker",))
        for name, count in sorted(watch.restarts.items()):
            restarts.add_metric([visible(name)], count)
        yield restarts
        yield CounterMetricFamily("harness_watch_rounds", "rounds of the watch", value=watch.rounds)
        yield CounterMetricFamily("harness_watch_looks", "looks at a worker", value=watch.looks)
        yield CounterMetricFamily("harness_watch_late_seconds", "seconds in which nothing was watched", value=watch.late_s)
        yield CounterMetricFamily("harness_watch_cpu_seconds", "what the watch itself costs", value=watch.means.cpu_s())
        yield GaugeMetricFamily("harness_watch_round_timestamp_seconds", "when the last round was", value=watch.means.wall())


class Textfile:
    """The file. Raises CannotWrite."""

    def __init__(self, path: Path, watch: Watch) -> None:
        self.path, self.registry = path, CollectorRegistry()
        self.registry.register(Metrics(watch))

    def write(self) -> None:
        try:
            write_to_textfile(str(self.path), self.registry)
        except OSError as error:
            raise CannotWrite(f"{self.path} cannot be written: {error.strerror}", remedy="name another file") from error
