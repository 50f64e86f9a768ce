"""What records cost. Times are not judged here (`harness selfcost` does that), but how they grow, and what they are made of."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.proof.selfcost import records
from harness.proof.selfcost.records import Cost


def test_time_and_memory_to_summarise_requests_grow_like_their_number() -> None:
    """Memory is no time: how busy the machine is does not matter. 500 MB is the promise for a million requests."""
    sizes = (100_000, 200_000, 400_000)
    costs = tuple(records.summarise(size) for size in sizes)
    assert records.growth(sizes, costs) < 1.5  # sorting adds a logarithm; quadratic would be 2
    assert costs[-1].peak_bytes < 400e6
    assert (costs[-1].peak_bytes - costs[0].peak_bytes) / 300_000 < 500  # bytes a request


def test_growth_is_the_power_of_n() -> None:
    sizes = (100, 200, 400)
    for power in (1, 2):
        costs = tuple(Cost(seconds=1e-6 * size**power, peak_bytes=0) for size in sizes)
        assert records.growth(sizes, costs) == pytest.approx(power)


def test_the_time_to_tabulate_cells_grows_like_their_number() -> None:
    few, many = (min(records.tabulate(cells) for _ in range(2)) for cells in (500, 4000))
    assert many / few < 3 * 8  # quadratic would be 64


def test_the_time_to_list_cells_grows_like_their_number() -> None:
    few, many = (min(records.list_cells(cells) for _ in range(2)) for cells in (500, 4000))
    assert many / few < 3 * 8


@pytest.mark.parametrize(
    ("figure", "size"),
    [(records.record_requests, 5_000), (records.tabulate, 500), (records.list_cells, 1000), (records.append_records, 10)],
)
def test_cost_of(benchmark: BenchmarkFixture, figure: object, size: int) -> None:
    """A table of figures for people to compare, by pytest-benchmark; nothing is asserted of the time."""
    assert callable(figure)
    assert benchmark.pedantic(figure, args=(size,), rounds=2, iterations=1) > 0
