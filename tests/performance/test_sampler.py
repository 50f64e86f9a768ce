"""What watching costs grows like the number of processes, and hardly with their threads. `harness selfcost` judges times."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.measure.monitor import Monitor
from harness.proof.selfcost import sampler


def test_the_cost_of_a_sample_grows_like_the_number_of_processes() -> None:
    assert sampler.growth((8, 32), calls=40) < 1.5  # quadratic would be 2


def test_growth_is_the_power_of_n() -> None:
    assert sampler.power((4, 8, 16), (1.0, 2.0, 4.0)) == pytest.approx(1.0)
    assert sampler.power((4, 8, 16), (1.0, 4.0, 16.0)) == pytest.approx(2.0)


def test_the_cost_of_a_plain_sample_hardly_grows_with_the_threads() -> None:
    few, many = (sampler.plain_s(8, threads=threads) for threads in (10, 80))
    assert many / few < 2  # reading each thread would make it 5 or more


def test_a_measurement_counts_every_process_and_thread() -> None:
    cost = sampler.measure(6, seconds=1.0, threaded=2)
    assert (cost.processes, cost.threads, cost.samples) == (6, 4 + 2 * sampler.THREADS, 2)
    assert 0 < cost.call_s < cost.edge_s
    assert cost.share > 0


def test_a_sample_of_16_processes(benchmark: BenchmarkFixture) -> None:
    with sampler.tree(sampler.PROCESSES, memory=0) as worker:
        monitor = Monitor(worker=worker)
        monitor.sample("measure", edge=True)
        benchmark.pedantic(monitor.sample, rounds=20)
    assert len(monitor.samples[-1].pids) == sampler.PROCESSES
