import numpy as np
import pytest
from scipy.stats import binom

from probes.results import NotMeasured
from probes.stats.median import median, weighted_median


def test_the_median_lies_between_two_of_the_values():
    # P[Bin(20, 1/2) <= 5] is 0.0207: five are left out on either side.
    found = median(np.arange(20.0)[::-1], unit_of_n="text")
    assert (found.low, found.value, found.high, found.n) == (5, 9, 14, 20)


@pytest.mark.parametrize("n", [6, 7, 20, 101, 400])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_interval_covers_at_least_as_often_as_it_says_and_no_longer_than_it_must(n, level):
    found = median(np.arange(float(n)), unit_of_n="text", level=level)
    if isinstance(found, NotMeasured):
        assert 2 * 0.5**n > 1 - level
        return
    missed = 2 * binom.cdf(found.low, n, 0.5)  # the value at place k lies above the median: k or fewer lie below
    assert missed <= 1 - level
    assert 2 * binom.cdf(found.low + 1, n, 0.5) > 1 - level


def test_values_that_tie_have_a_median():
    found = median(np.zeros(10), unit_of_n="text")
    assert (found.low, found.value, found.high) == (0, 0, 0)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_few_values_do_not_enclose_their_median(n):
    assert median(np.zeros(n), unit_of_n="text").reason == f"values: {n}, too few to enclose their median"


def test_a_weight_is_a_value_given_so_many_times():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 8, 30):
        values, weights = rng.integers(0, 9, n).astype(float), rng.integers(0, 4, n)
        weights[0] += 1
        repeated = np.sort(np.repeat(values, weights))
        assert weighted_median(values, weights.astype(float)) == repeated[(len(repeated) - 1) // 2]
