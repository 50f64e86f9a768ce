"""Two cells differ, tie, or cannot be told apart; which of them is said follows from the trials."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.certainty.comparison import ComparisonWord, compare

STEADY = [100.0, 101.0, 99.0, 100.5, 99.5]


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        (STEADY, [value * 1.2 for value in STEADY], ComparisonWord.DIFFER),
        ([value * 1.2 for value in STEADY], STEADY, ComparisonWord.DIFFER),
        (STEADY, STEADY[::-1], ComparisonWord.TIE),
        (STEADY, [value * 1.03 for value in STEADY], ComparisonWord.TIE),  # surely apart, and by less than matters
        ([80.0, 100.0, 130.0], [90.0, 120.0, 140.0], ComparisonWord.CANNOT_SAY),
        ([100.0], [200.0], ComparisonWord.CANNOT_SAY),
        ([100.0, 100.0], [0.0, 100.0], ComparisonWord.CANNOT_SAY),
        ([100.0, 100.0, 100.0], [120.0, 120.0, 120.0], ComparisonWord.DIFFER),
        ([100.0, 100.1], [10.0, 10.01], ComparisonWord.CANNOT_SAY),  # workers of two kinds do that in 5 % of like pairs
    ],
)
def test_a_comparison_says_what_the_trials_allow(first: list[float], second: list[float], word: ComparisonWord) -> None:
    assert compare(first, second).word is word


def test_a_difference_needs_the_factor_and_the_test() -> None:
    apart = [value * 1.06 for value in STEADY]
    assert compare(STEADY, apart).word is ComparisonWord.DIFFER
    assert compare(STEADY, apart, factor=1.1).word is ComparisonWord.TIE
    assert compare(STEADY[:2], apart[:2]).word is ComparisonWord.CANNOT_SAY  # the factor alone does not do


def test_the_test_is_welchs_on_logarithms() -> None:
    first, second = [100.0, 110.0, 95.0], [130.0, 120.0, 180.0, 140.0]
    found = compare(first, second)
    logs = stats.ttest_ind(np.log(second), np.log(first), equal_var=False)
    low, high = np.exp(logs.confidence_interval(0.95))
    assert found.p == pytest.approx(logs.pvalue)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_a_comparison_does_not_depend_on_the_unit() -> None:
    first, second = STEADY, [value * 1.2 for value in STEADY]
    seconds = compare([1 / value for value in first], [1 / value for value in second])
    rates = compare(first, second)
    assert (seconds.word, seconds.p) == (rates.word, pytest.approx(rates.p))
