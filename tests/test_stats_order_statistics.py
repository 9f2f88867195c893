import numpy as np
import pytest
from published_audits import GAUSSIAN, SAMPLED_FIFTH, SAMPLED_HALF
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import beta, binom, norm

from probes.results import NotMeasured
from probes.stats.order_statistics import (
    few_mistakes_probability,
    gaussian_error_above,
    order_statistics_estimate,
    order_statistics_limit,
)
from probes.stats.tradeoff import gdp_mu

# n, r, v: epsilon at a delta of 1e-5, at 95 %, and its mu. Computed from the formula of Xiang et al. (2025) by other
# code than ours (numpy, scipy), which gives the 36 published rows below as well, to four digits.
LIMITS = [
    (1000, 100, 100, 6.795966, 1.454376),
    (1000, 100, 95, 4.251968, 0.975223),
    (1000, 100, 90, 3.164458, 0.753699),
    (1000, 100, 75, 1.287064, 0.337129),
    (1000, 100, 60, 0.075572, 0.025192),
    (1000, 100, 50, 0, 0),
    (1000, 1000, 600, 1.435912, 0.372234),
    (1000, 1000, 1000, 37.8193, 5.497478),
    (200, 50, 45, 3.416712, 0.806157),
    (100, 10, 10, 2.004510, 0.502564),
    (500, 250, 200, 3.601855, 0.844228),
    (5000, 500, 300, 0.422552, 0.121864),
]


@pytest.mark.parametrize(("n", "r", "v", "epsilon", "mu"), LIMITS)
def test_the_limits_are_the_tabled_ones(n, r, v, epsilon, mu):
    found = order_statistics_limit(n, r, v, delta=1e-5, level=0.95)
    assert found == pytest.approx(epsilon, abs=5e-5 if epsilon > 30 else 2e-6)
    assert (gdp_mu(found, 1e-5) if found else 0) == pytest.approx(mu, abs=1e-6)


@pytest.mark.parametrize(("n", "r", "mistakes", "_", "epsilon"), GAUSSIAN)
def test_the_limits_are_the_published_ones(n, r, mistakes, _, epsilon):
    assert order_statistics_limit(n, r, r - mistakes, delta=1e-5, level=0.95) == pytest.approx(epsilon, abs=6e-5)


@pytest.mark.parametrize(
    ("truth", "guesses", "limits"),
    [
        # Mistakes that a Gaussian mechanism of that mu is expected to leave, m = 1000, delta = 1e-5
        (0.5, {100: 26, 250: 75, 500: 172, 1000: 401}, (1.19, 1.42, 1.47, 1.41)),
        (1.0, {50: 3, 100: 10, 250: 36, 500: 103, 1000: 309}, (2.99, 3.16, 3.63, 3.76, 3.67)),
        (2.0, {100: 1, 250: 4, 500: 20, 1000: 159}, (5.90, 7.95, 8.92, 9.00)),
    ],
)
def test_the_expected_outcome_of_each_number_of_guesses_is_the_tabled_one(truth, guesses, limits):
    found = [order_statistics_limit(1000, r, r - wrong, delta=1e-5, level=0.95) for r, wrong in guesses.items()]
    assert found == pytest.approx(limits, abs=5.1e-3)


@pytest.mark.parametrize(
    ("m", "r", "fewest"),
    [
        (200, 50, (37, 41, 47, None)),
        (200, 100, (68, 74, 85, 97)),
        (1000, 100, (72, 82, 95, None)),
        (1000, 250, (166, 188, 219, 247)),
        (1000, 500, (311, 347, 404, 472)),
        (5000, 500, (336, 388, 455, 497)),
    ],
)
def test_the_fewest_right_guesses_are_the_tabled_ones(m, r, fewest):
    for epsilon, count in zip((1, 2, 4, 8), fewest, strict=True):
        beyond = (
            [v for v in (count - 1, count) if order_statistics_limit(m, r, v, delta=1e-5, level=0.95) >= epsilon]
            if count
            else []
        )
        assert beyond == [count] if count else order_statistics_limit(m, r, r, delta=1e-5, level=0.95) < epsilon


@pytest.mark.parametrize(("q", "rows"), [(0.5, SAMPLED_HALF), (0.2, SAMPLED_FIFTH)])
def test_the_sub_sampled_gaussian_limits_are_the_published_ones(q, rows):
    for n, r, mistakes, _, epsilon in rows:
        below, above = (
            few_mistakes_probability(n, r, mistakes, sampled_error_above(sampled_mu(epsilon + off, q, 1e-5), q))
            for off in (-2e-3, 2e-3)
        )
        assert below < 0.05 < above


def test_the_sub_sampled_gaussian_epsilons_are_the_published_ones():
    assert sampled_epsilon(1.0, 0.5, 1e-5) == pytest.approx(3.5340, abs=5e-5)
    assert sampled_epsilon(2.0, 0.2, 1e-5) == pytest.approx(7.6204, abs=5e-5)


def sampled_error_above(mu: float, q: float):
    """Mean error of the surest guesses between N(0, 1) and (1 − q) N(0, 1) + q N(mu, 1), on a fine grid of outcomes."""
    x = np.linspace(-12, 12 + mu, 100_001)
    out = norm.pdf(x)
    drawn = (1 - q) * out + q * norm.pdf(x - mu)
    order = np.argsort(np.abs(np.log(drawn / out)), kind="stable")
    both, wrong = ((out + drawn) / 2)[order], (np.minimum(out, drawn) / 2)[order]
    above = both.sum() - np.cumsum(both) + both
    error = (wrong.sum() - np.cumsum(wrong) + wrong) / above
    return lambda w: np.interp(w, 1 - above / both.sum(), error)


def sampled_epsilon(mu: float, q: float, delta: float) -> float:
    """The epsilon at which the drawn side exceeds the other by delta: it does so above one outcome x."""

    def excess(epsilon: float) -> float:
        x = mu / 2 + np.log((np.exp(epsilon) - 1 + q) / q) / mu
        return (1 - q) * norm.sf(x) + q * norm.sf(x - mu) - np.exp(epsilon) * norm.sf(x) - delta

    return brentq(excess, 0.0, 20.0, xtol=1e-12)


def sampled_mu(epsilon: float, q: float, delta: float) -> float:
    """The inverse of `sampled_epsilon`."""
    return brentq(lambda mu: sampled_epsilon(mu, q, delta) - epsilon, 0.3, 3.0, xtol=1e-10)


def test_the_probability_of_few_mistakes_is_an_integral_over_the_order_statistic():
    error = gaussian_error_above(1.0)
    slow, _ = quad(lambda w: beta.pdf(w, 40, 11) * binom.cdf(1, 10, error(np.array([w]))[0]), 0, 1, epsabs=1e-12)
    assert few_mistakes_probability(50, 10, 1, error) == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("mu", [0.0, 0.4, 1.0, 4.0])
def test_the_error_above_a_quantile_is_that_of_the_surest_outcomes(mu):
    rng = np.random.default_rng(0)
    x = rng.normal(mu / 2, 1, 400_000)  # of canaries that were planted; the others mirror them
    surest = np.sort(np.abs(x))
    for quantile in (0.0, 0.5, 0.9):
        above = np.abs(x) >= surest[int(quantile * len(x))]
        assert gaussian_error_above(mu)(np.array([quantile]))[0] == pytest.approx(np.mean(x[above] < 0), abs=6e-3)


@pytest.mark.parametrize("r", [30, 100])
def test_independent_gaussian_canaries_are_within_the_limit_as_often_as_it_says(r):
    # Guesses are made in the order of |score − mu / 2|, not half and half: the model's own rule.
    rng = np.random.default_rng(3)
    coins = rng.random((2000, 100)) < 0.5
    sign = np.where(coins, 1, -1)
    x = rng.normal(size=coins.shape) + sign * 0.5
    surest = np.argsort(-np.abs(x), axis=1)[:, :r]
    right = (np.take_along_axis(x, surest, axis=1) > 0) == np.take_along_axis(coins, surest, axis=1)
    p = {v: few_mistakes_probability(100, r, r - v, gaussian_error_above(1.0)) for v in range(r + 1)}
    rejected = np.mean([p[v] < 0.05 for v in right.sum(axis=1)])
    assert 0.02 < rejected < 0.066  # at most 5 %, and the outcomes are whole numbers; 0.005 of simulation


def test_a_leak_shared_by_all_canaries_breaks_the_limit():
    # The mechanism is exactly 1-Gaussian for each canary: it tells each coin with odds e^t, for one t = |N(½, 1)| for
    # all canaries. All are guessed as told, and every outcome is enumerated.
    refuting = min(v for v in range(201) if order_statistics_limit(200, 200, v, delta=1e-5, level=0.95) > 4.377178)
    t, weights = np.linspace(0, 10, 20_001), norm.pdf(np.linspace(0, 10, 20_001), 0.5)
    density = weights + norm.pdf(-t, 0.5)
    shared = np.average(binom.sf(refuting - 1, 200, expit(t)), weights=density)
    assert binom.sf(refuting - 1, 200, norm.cdf(0.5)) <= 0.05  # as it promises for independent ones
    assert shared == pytest.approx(0.34, abs=0.005)


def test_the_estimate_stands_in_its_interval_and_says_what_it_is():
    estimate = order_statistics_estimate(1000, 100, 90, delta=1e-5)
    assert estimate.low == order_statistics_limit(1000, 100, 90, delta=1e-5, level=0.975)
    assert estimate.high == order_statistics_limit(1000, 100, 91, delta=1e-5, level=0.025)
    assert estimate.low < estimate.value < estimate.high
    assert "an estimate, no bound" in estimate.method


def test_the_ends_of_what_can_be_guessed():
    assert order_statistics_estimate(1000, 0, 0, delta=1e-5) == NotMeasured(reason="no canary was guessed")
    assert order_statistics_estimate(1000, 100, 100, delta=1e-5).high is None
    assert order_statistics_estimate(1000, 100, 0, delta=1e-5).value == 0


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="0 <= v <= r <= m"):
        order_statistics_limit(10, 20, 5, delta=1e-5, level=0.95)
    with pytest.raises(ValueError, match="r must be at least 1"):
        few_mistakes_probability(10, 0, 0, gaussian_error_above(1.0))
