import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from probes.results import NotMeasured, Null
from probes.stats.intervals import clopper_pearson, lower_limit, upper_limit, wilson, wilson_limits


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 500, 0.0, 0.00735061), (10, 1000, 0.00480551, 0.01831324), (3, 300, 0.00206701, 0.02894451)],
)
def test_clopper_pearson_gives_the_tabled_limits(successes, n, low, high):
    interval = clopper_pearson(successes, n, unit_of_n="row")

    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-8)


@pytest.mark.parametrize(("successes", "n"), [(0, 12), (1, 1), (7, 20), (19, 20), (1999, 2000)])
def test_both_intervals_are_those_of_statsmodels(successes, n):
    ours = [wilson(successes, n, unit_of_n="row"), clopper_pearson(successes, n, unit_of_n="row")]
    theirs = [proportion_confint(successes, n, method=method) for method in ("wilson", "beta")]

    for interval, ends in zip(ours, theirs, strict=True):
        assert (interval.low, interval.high) == pytest.approx(ends, abs=1e-9)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@pytest.mark.parametrize("n", [1, 7, 60, 1000])
def test_the_ends_are_exact_and_never_pass_the_value(interval, n):
    found = [interval(k, n, unit_of_n="row") for k in {0, 1, n // 2, n - 1, n}]

    assert all(e.low <= e.value <= e.high for e in found)
    assert interval(0, n, unit_of_n="row").low == 0.0
    assert interval(n, n, unit_of_n="row").high == 1.0


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_nothing_of_nothing_is_not_measured(interval):
    assert interval(0, 0, unit_of_n="person") == NotMeasured(reason="there is no person to take a share of")


def test_wilson_covers_the_truth_about_as_often_as_it_says():
    n, p = 200, 0.3  # every outcome can be enumerated, so nothing is drawn
    intervals = [wilson(k, n, unit_of_n="row") for k in range(n + 1)]
    covered = [k for k, e in enumerate(intervals) if e.low <= p <= e.high]

    assert binom.pmf(covered, n, p).sum() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("p", [0.001, 0.01, 0.1, 0.5, 0.97])
def test_clopper_pearson_covers_the_truth_at_least_as_often_as_it_says(p):
    n = 40
    intervals = [clopper_pearson(k, n, unit_of_n="row", level=0.9) for k in range(n + 1)]
    covered = [k for k, e in enumerate(intervals) if e.low <= p <= e.high]

    assert binom.pmf(covered, n, p).sum() >= 0.9


def test_a_one_sided_limit_spends_the_whole_error_on_its_side():
    one_sided = clopper_pearson(0, 1000, unit_of_n="canary", side="high")

    assert one_sided.low is None
    assert one_sided.high == pytest.approx(1 - 0.05 ** (1 / 1000), abs=1e-10)  # the rule of three
    assert upper_limit(3, 10, level=0.975) == clopper_pearson(3, 10, unit_of_n="canary").high
    assert lower_limit(3, 10, level=0.975) == clopper_pearson(3, 10, unit_of_n="canary").low
    assert clopper_pearson(3, 10, unit_of_n="canary", side="low").high is None


def test_many_wilson_limits_at_once_are_those_of_one():
    low, high = wilson_limits(np.array([0.0, 0.35, 1.0, np.nan]), np.array([10, 20, 30, 0]))
    single = [wilson(k, n, unit_of_n="row") for k, n in ((0, 10), (7, 20), (30, 30))]

    np.testing.assert_allclose(low[:3], [e.low for e in single], atol=1e-12)
    np.testing.assert_allclose(high[:3], [e.high for e in single], atol=1e-12)
    assert np.isnan([low[3], high[3]]).all()


def test_a_null_is_handed_through():
    null = Null(value=0.5, meaning="chance")

    assert wilson(3, 5, unit_of_n="pair", null=null).null == null
    assert clopper_pearson(3, 5, unit_of_n="pair", null=null).null == null


@pytest.mark.parametrize("call", [wilson, clopper_pearson])
@pytest.mark.parametrize(("successes", "n"), [(6, 5), (-1, 5)])
def test_impossible_counts_are_refused(call, successes, n):
    with pytest.raises(ValueError, match="successes must lie in"):
        call(successes, n, unit_of_n="row")


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="n must be at least 1"):
        upper_limit(0, 0)
