from functools import partial

import numpy as np
import pytest
from games import most_right_guesses, right_of_gaussian, threshold_counts
from scipy.stats import binom, norm

from probes.results import NotMeasured
from probes.stats.curve_audit import (
    mmc_fewest_right_guesses,
    mmc_largest_refutable,
    mmc_lower_bound,
    mmc_rejects,
    mmc_tails,
)
from probes.stats.epsilon import fewest_right_guesses
from probes.stats.tradeoff import dp_sgd_curve, gdp_curve, gdp_mu, profile_curve

# m, r, v: epsilon at a delta of 1e-5, at 95 %, and its mu. Computed from the recursion of Mahloujifar, Melis and
# Chaudhuri (2025), https://arxiv.org/abs/2410.22235, by other code than ours (numpy, scipy).
BOUNDS = [
    (1000, 100, 100, 5.549028, 1.225533),
    (1000, 100, 95, 3.323300, 0.786812),
    (1000, 100, 90, 2.456405, 0.602504),
    (1000, 100, 75, 1.005916, 0.269495),
    (1000, 100, 60, 0.043523, 0.015267),
    (1000, 100, 50, 0, 0),
    (1000, 1000, 600, 0.583540, 0.163850),
    (1000, 1000, 1000, 12.334569, 2.368074),
    (200, 50, 45, 2.446365, 0.600314),
    (100, 10, 10, 1.625892, 0.416410),
    (500, 250, 200, 2.027945, 0.507821),
    (5000, 500, 300, 0.328105, 0.096609),
]

# m, r: fewest right guesses that refute epsilon 1, 2, 4, 8 at a delta of 1e-5; by the same code as BOUNDS
POWER = [
    (200, 50, (39, 44, 49, None)),
    (200, 100, (72, 82, 95, None)),
    (1000, 100, (75, 87, 98, None)),
    (1000, 250, (176, 205, 237, None)),
    (1000, 500, (338, 397, 465, 498)),
    (5000, 500, (355, 418, 480, None)),
]


def gaussian_points(mu: float, epsilons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(epsilon, delta) points of a Gaussian mechanism."""
    deltas = norm.cdf(-epsilons / mu + mu / 2) - np.exp(epsilons) * norm.cdf(-epsilons / mu - mu / 2)
    return epsilons, deltas


@pytest.mark.parametrize(("m", "r", "v", "epsilon", "mu"), BOUNDS)
def test_the_bounds_are_the_tabled_ones(m, r, v, epsilon, mu):
    assert mmc_lower_bound(m, r, v, delta=1e-5).value == pytest.approx(epsilon, abs=1e-6)
    if mu > 0:
        assert mmc_rejects(gdp_curve(mu - 1e-6), m, r, v)
        assert not mmc_rejects(gdp_curve(mu + 1e-6), m, r, v)


@pytest.mark.parametrize(("m", "r", "fewest"), POWER)
def test_the_fewest_right_guesses_are_the_tabled_ones(m, r, fewest):
    curves = [gdp_curve(gdp_mu(epsilon, 1e-5)) for epsilon in (1, 2, 4, 8)]
    assert tuple(mmc_fewest_right_guesses(curve, m, r) for curve in curves) == fewest


@pytest.mark.parametrize(
    ("truth", "guesses", "bounds"),
    [
        # Mistakes that a Gaussian mechanism of that mu is expected to leave, m = 1000, delta = 1e-5
        (0.5, {100: 26, 250: 75, 500: 172, 1000: 401}, (0.93, 0.99, 0.86, 0.58)),
        (1.0, {50: 3, 100: 10, 250: 36, 500: 103, 1000: 309}, (2.47, 2.46, 2.42, 2.02, 1.30)),
        (2.0, {100: 1, 250: 4, 500: 20, 1000: 159}, (4.73, 5.58, 4.93, 2.83)),
    ],
)
def test_the_expected_outcome_of_each_number_of_guesses_is_the_tabled_one(truth, guesses, bounds):
    found = [mmc_lower_bound(1000, r, r - wrong, delta=1e-5).value for r, wrong in guesses.items()]
    assert found == pytest.approx(bounds, abs=5.1e-3)


@pytest.mark.parametrize(("shift", "bound"), [(0, 0.0), (1, 2.164749), (2, 4.7218075), (4, 9.133752)])
def test_the_best_of_all_thresholds_is_the_published_one(shift, bound):
    # google-deepmind/jax_privacy, tests/auditing_test.py: significance 0.05 shared by the thresholds, delta 1e-6
    counts = threshold_counts(shift)
    level, best = 1 - 0.05 / len(counts), 0.0
    for right, guesses in np.random.default_rng(0).permutation(counts).tolist():  # the best is seldom improved on
        if guesses and mmc_rejects(gdp_curve(gdp_mu(best, 1e-6)), 20_000, guesses, right, level=level):
            best = mmc_lower_bound(20_000, guesses, right, delta=1e-6, level=level).value
    assert best == pytest.approx(bound, abs=2e-6)


def test_the_accountants_own_curve_falls_before_the_gaussian_one():
    claim = dp_sgd_curve(noise_multiplier=0.8, sample_rate=0.02, steps=500)  # epsilon 4.668 at 1e-5

    assert mmc_fewest_right_guesses(claim, 1000, 250) == 237
    assert mmc_fewest_right_guesses(gdp_curve(gdp_mu(4.668, 1e-5)), 1000, 250) == 242
    assert fewest_right_guesses(1000, 250, 4.668, 1e-5) is None


@pytest.mark.parametrize("mu", [0.5, 1.0])
@pytest.mark.parametrize(("m", "r"), [(1, 1), (2, 2), (3, 2), (3, 3)])
def test_no_mechanism_that_keeps_the_curve_guesses_more_often_than_the_tails_say(m, r, mu):
    # The best of all mechanisms and all guessing rules, by linear programming over the whole table of probabilities.
    points = gaussian_points(mu, np.array([0.0, 0.5, 1.0, 2.0]))
    tails = mmc_tails(profile_curve(*points), m, r)
    best = [most_right_guesses(m, r, v, list(zip(*points, strict=True))) for v in range(r + 1)]
    assert all(b <= t + 1e-6 for b, t in zip(best, tails, strict=True))
    assert best[r] == pytest.approx(tails[r], abs=2e-6)  # that all are right: the recursion is exact


@pytest.mark.parametrize("mu", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("m", [5, 50, 400])
def test_independent_gaussian_canaries_stay_within_the_tails(mu, m):
    # All canaries guessed by their signs: right ones are Bin(m, Φ(mu / 2)), every outcome of which is enumerated.
    tails = mmc_tails(gdp_curve(mu), m, m)
    exact = binom.sf(np.arange(m + 1) - 1, m, norm.cdf(mu / 2))
    assert (exact <= tails + 1e-12).all()


def test_tails_are_the_levels_at_which_the_test_rejects():
    curve = gdp_curve(1.0)
    tails = mmc_tails(curve, 200, 30)
    for v in range(31):
        if tails[v] < 1:
            assert mmc_rejects(curve, 200, 30, v, level=1 - tails[v] * (1 + 1e-9))
            assert not mmc_rejects(curve, 200, 30, v, level=1 - tails[v] * (1 - 1e-5))


def test_fewer_guesses_than_the_fewest_refute_nothing():
    for v in range(101):
        assert mmc_rejects(gdp_curve(gdp_mu(1.0, 1e-5)), 1000, 100, v) == (v >= 75)


def test_more_right_guesses_never_lower_the_bound():
    values = [mmc_lower_bound(200, 30, v, delta=1e-5).value for v in range(31)]
    assert values == sorted(values)


def test_a_bound_is_one_sided_and_at_most_the_largest_refutable():
    estimate = mmc_lower_bound(1000, 100, 90, delta=1e-5)

    assert (estimate.low, estimate.high) == (estimate.value, None)
    assert (estimate.n, estimate.unit_of_n) == (100, "guessed canary")
    assert mmc_largest_refutable(1000, 100, delta=1e-5) == mmc_lower_bound(1000, 100, 100, delta=1e-5).value


def test_a_bound_without_a_guess_is_not_measured():
    assert mmc_lower_bound(100, 0, 0, delta=1e-5) == NotMeasured(reason="no canary was guessed")
    for call in (mmc_largest_refutable, partial(mmc_tails, gdp_curve(1.0))):
        with pytest.raises(ValueError, match="r must be at least 1"):
            call(100, 0, **({"delta": 1e-5} if call is mmc_largest_refutable else {}))


@pytest.mark.parametrize(("m", "r", "v"), [(10, 20, 5), (20, 10, 11), (20, 10, -1)])
def test_impossible_counts_are_refused(m, r, v):
    with pytest.raises(ValueError, match="0 <= v <= r <= m"):
        mmc_rejects(gdp_curve(1.0), m, r, v)


@pytest.mark.parametrize("mu", [0.0, 0.5, 1.0])
def test_few_false_alarms_are_raised_against_a_true_claim(mu):
    right = right_of_gaussian(mu, 400, 100, 1000, np.random.default_rng(1))
    refuted = {v: mmc_rejects(gdp_curve(mu), 400, 100, int(v)) for v in np.unique(right)}

    assert sum(refuted[v] for v in right) <= 67  # 50 expected at most, 67 exceeded one time in a hundred
