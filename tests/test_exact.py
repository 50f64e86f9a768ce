"""Exact intervals of a counted rate, held to SciPy's."""

from __future__ import annotations

import pytest
from scipy import special

from harness.certainty import exact


@pytest.mark.parametrize(("found", "of"), [(0, 1), (1, 1), (3, 12), (1, 30), (97, 97), (0, 120), (40, 2000), (1999, 2000)])
def test_an_interval_is_that_of_the_incomplete_beta_function(found: int, of: int) -> None:
    low, high = exact.interval(found, of)
    assert low == pytest.approx(special.betaincinv(found, of - found + 1, exact.TAIL) if found else 0.0, abs=1e-9)
    assert high == pytest.approx(special.betaincinv(found + 1, of - found, 1 - exact.TAIL) if found < of else 1.0, abs=1e-9)
    assert low <= found / of <= high
